"""A local model answers every conversation it can, whatever its neighbours are like."""

from pathlib import Path

import pytest
import torch

from sartor.adapters.lora import LoraSettings, add_lora
from sartor.adapters.store import adapter_files
from sartor.base.errors import UsageError
from sartor.data.chat import ChatFormat
from sartor.generation.local import LocalModel, common_prefix
from sartor.generation.protocol import Sampling
from sartor.models.forward import use_packed_attention
from sartor.models.hub import ModelLocation
from tests import odd_models, tiny_folders, tiny_models


def ask(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def local(template: str = "chatml") -> LocalModel:
    return LocalModel(use_packed_attention(tiny_models.model(seed=2)), ChatFormat(tiny_models.tokenizer(template)))


def test_a_model_that_sees_as_well_is_opened_and_answers(tmp_path: Path) -> None:
    odd_models.model("gemma3").save_pretrained(tmp_path)
    tiny_models.tokenizer().save_pretrained(tmp_path)
    opened = LocalModel.open(ModelLocation("gemma3", tmp_path), torch.float32)
    assert opened.engine.max_context_tokens == 256
    (reply,) = opened.generate([ask("the cat")], Sampling(4))
    assert reply.error is None and reply.completion_tokens > 0


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


def test_a_chat_that_goes_on_does_not_compute_its_history_again() -> None:
    model = local()
    talk = ask("the cat sat on the mat and said nothing at all to the dog")
    reply = "".join(model.stream(talk, Sampling(12)))
    talk += [{"role": "assistant", "content": reply}, *ask("and the mat")]
    second = "".join(model.stream(talk, Sampling(12)))
    counts = model.engine.prefix_cache.counts
    assert counts.hits == 1 and counts.reused_tokens > 30
    assert local().generate([talk], Sampling(12))[0].text == second


def test_questions_asked_alone_share_what_they_begin_with_when_the_weights_are_a_folders(tmp_path: Path) -> None:
    model = LocalModel.open(ModelLocation("tiny", tiny_folders.language_model(tmp_path / "tiny")))
    front = [{"role": "system", "content": "the cat sat on the mat and said nothing at all to the dog " * 4}]
    talks = [[*front, *ask("the cat")], [*front, *ask("the mat")]]
    replies = [model.generate([talk], Sampling(8))[0] for talk in talks]
    counts = model.engine.prefix_cache.counts
    assert counts.hits == 1 and counts.reused_tokens > 60
    assert [reply.token_ids for reply in model.generate(talks, Sampling(8))] == [each.token_ids for each in replies]
    assert not model.engine.has_work and model.engine.live
    trained = local()  # its weights may change between two questions
    for talk in talks:
        trained.generate([talk], Sampling(8))
    assert trained.engine.prefix_cache.counts.hits == 0


def test_who_stops_reading_leaves_nothing_behind() -> None:
    model = local()
    stream = model.stream(ask("the cat"), Sampling(12))
    next(stream)
    stream.close()
    assert not model.engine.has_work
    (reply,) = local().generate([ask("the dog")], Sampling(12))
    assert "".join(model.stream(ask("the dog"), Sampling(12))) == reply.text


def adapter_location(folder: Path, base: Path, seed: int) -> ModelLocation:
    """An adapter that changes what the tiny model in `base` says."""
    model = tiny_models.model()
    numbers = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in add_lora(model, LoraSettings(4, 8.0)).values():
            layer.lora_B.normal_(std=0.3, generator=numbers)
    folder.mkdir()
    for name, content in adapter_files(model, LoraSettings(4, 8.0), str(base)).items():
        (folder / name).write_bytes(content)
    return ModelLocation(folder.name, base, folder)


def test_adapters_on_one_base_answer_as_each_does_on_its_own(tmp_path: Path) -> None:
    base = tiny_folders.language_model(tmp_path / "base")
    locations = [adapter_location(tmp_path / f"adapter{seed}", base, seed) for seed in range(2)]
    asked = [ask("the cat sat on the mat"), ask("the dog")]
    whole = LocalModel.open(ModelLocation("base", base), torch.float32)
    models = [whole, *(whole.with_adapter(location) for location in locations)]
    assert all(model.engine is whole.engine for model in models)
    texts = [[reply.text for reply in model.generate(asked, Sampling(12))] for model in models]
    alone = [LocalModel.open(location, torch.float32) for location in (ModelLocation("base", base), *locations)]
    assert texts == [[reply.text for reply in model.generate(asked, Sampling(12))] for model in alone]
    assert len({tuple(each) for each in texts}) == 3
    assert ["".join(model.stream(asked[0], Sampling(12))) for model in models] == [each[0] for each in texts]


def test_an_adapter_of_another_base_is_refused(tmp_path: Path) -> None:
    base, other = (tiny_folders.language_model(tmp_path / name) for name in ("base", "other"))
    location = adapter_location(tmp_path / "adapter", base, 0)
    with pytest.raises(UsageError, match="another base"):
        LocalModel.open(ModelLocation("other", other), torch.float32).with_adapter(location)
    with pytest.raises(UsageError, match="no adapter"):
        LocalModel.open(ModelLocation("base", base), torch.float32).with_adapter(ModelLocation("base", base))
