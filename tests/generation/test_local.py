"""A local model answers every conversation it can, whatever its neighbours are like."""

from sartor.data.chat import ChatFormat
from sartor.generation.local import LocalModel, common_prefix
from sartor.generation.protocol import Sampling
from sartor.models.forward import use_packed_attention
from tests import tiny_models


def ask(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def local(template: str = "chatml") -> LocalModel:
    return LocalModel(use_packed_attention(tiny_models.model(seed=2)), ChatFormat(tiny_models.tokenizer(template)))


def test_a_prompt_that_is_too_long_is_an_error_of_its_own_reply() -> None:
    conversations = [ask("the cat"), ask("the dog " * 200), ask("the mat")]
    seen: list[int] = []
    replies = local().generate(conversations, Sampling(5), lambda index, reply: seen.append(index))
    assert [reply.finish == "error" for reply in replies] == [False, True, False]
    assert "the model reads 256" in str(replies[1].error)
    assert sorted(seen) == [0, 1, 2]
    alone = local().generate([conversations[0], conversations[2]], Sampling(5))
    assert [replies[0].token_ids, replies[2].token_ids] == [reply.token_ids for reply in alone]


def test_a_conversation_the_template_refuses_is_an_error_of_its_own_reply() -> None:
    refused = [
        {"role": "user", "content": "a"},
        {"role": "system", "content": "late"},
        {"role": "user", "content": "b"},
    ]
    replies = local("gemma").generate([ask("the cat"), refused], Sampling(5))
    assert replies[0].error is None and replies[0].completion_tokens > 0
    assert "refuses" in str(replies[1].error)


def test_the_common_beginning_leaves_every_prompt_a_token() -> None:
    same = list(range(20))
    assert common_prefix([same, same]) == same[:-1]
    assert common_prefix([same, [*same[:10], 99]]) == same[:10]
    assert common_prefix([same, [*same[:5], 99]]) == []
    assert common_prefix([same]) == common_prefix([]) == []


def test_streamed_text_is_the_reply() -> None:
    model = local()
    (reply,) = model.generate([ask("the cat")], Sampling(12))
    assert "".join(model.stream(ask("the cat"), Sampling(12))) == reply.text
