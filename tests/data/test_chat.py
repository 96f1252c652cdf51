"""The one rendering: what is learnt is what is asked, for any template."""

import copy

import pytest

from sartor.base.errors import DataError
from sartor.data.chat import ChatFormat
from sartor.data.pairs import render_answer
from sartor.train.certificate import certify
from tests import tiny_models

ONE = [{"role": "user", "content": "the cat?"}, {"role": "assistant", "content": "sat on the mat"}]
SYSTEM = [{"role": "system", "content": "be brief"}, *ONE]
MANY = [*SYSTEM, {"role": "user", "content": "and the dog?"}, {"role": "assistant", "content": "nothing at all"}]
CONVERSATIONS = {"one": ONE, "system": SYSTEM, "many": MANY}


def learnt_text(chat: ChatFormat, row: object) -> str:
    ids = [token for token, trained in zip(row.ids, row.trained, strict=True) if trained]  # type: ignore[attr-defined]
    return str(chat.tokenizer.decode(ids, skip_special_tokens=False))


@pytest.mark.parametrize("template", tiny_models.LEARNABLE)
@pytest.mark.parametrize("conversation", list(CONVERSATIONS))
def test_before_each_answer_stand_exactly_the_ids_that_ask_for_it(template: str, conversation: str) -> None:
    chat, messages = ChatFormat(tiny_models.tokenizer(template)), CONVERSATIONS[conversation]
    answers = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    rows = chat.render(messages)
    assert sum(row.num_trained > 0 for row in rows) == len(rows)
    starts = []
    for row in rows:
        edges = [place for place in range(1, len(row.ids)) if row.trained[place] and not row.trained[place - 1]]
        starts += [row.ids[:place] for place in edges]
    assert starts == [chat.prompt(messages[:index]) for index in answers]


@pytest.mark.parametrize("template", tiny_models.LEARNABLE)
def test_the_answer_and_the_end_of_its_turn_are_learnt_and_nothing_else(template: str) -> None:
    chat = ChatFormat(tiny_models.tokenizer(template))
    end = {
        "chatml": "<|im_end|>",
        "forgetful": "<|im_end|>",
        "llama3": "<|eot|>",
        "gemma": "</turn>",
        "ends twice": "<|stop|>",
        "none": "<|end|>",
    }
    (row,) = chat.render(SYSTEM)
    assert learnt_text(chat, row) == "sat on the mat" + end[template]
    last = max(place for place, trained in enumerate(row.trained) if trained)
    assert row.ids[last] in chat.stop_ids


@pytest.mark.parametrize("template", ["chatml", "llama3", "gemma"])
def test_ids_equal_the_tokenizers_own_rendering(template: str) -> None:
    """Where control tokens separate the turns, cutting the text into pieces changes nothing."""
    tokenizer = tiny_models.tokenizer(template)
    chat = ChatFormat(tokenizer)
    messages = MANY[1:] if template == "gemma" else MANY
    assert chat.render(messages)[0].ids == tokenizer.apply_chat_template(messages, return_dict=True)["input_ids"]
    asked = tokenizer.apply_chat_template(messages[:-1], add_generation_prompt=True, return_dict=True)["input_ids"]
    assert chat.prompt(messages[:-1]) == asked


@pytest.mark.parametrize("template", ["llama3", "gemma"])
def test_there_is_one_beginning_of_text(template: str) -> None:
    chat = ChatFormat(tiny_models.tokenizer(template))
    bos = chat.tokenizer.bos_token_id
    assert chat.render(MANY)[0].ids.count(bos) == chat.prompt(MANY[:-1]).count(bos) == 1


def test_a_system_prompt_is_folded_where_the_template_has_no_place_for_it() -> None:
    chat = ChatFormat(tiny_models.tokenizer("gemma"))
    assert "be brief\n\nthe cat?" in chat.tokenizer.decode(chat.prompt(SYSTEM[:-1]))


def test_a_template_that_rewrites_earlier_turns_gives_one_row_a_turn() -> None:
    chat = ChatFormat(tiny_models.tokenizer("forgetful"))
    first = {"role": "assistant", "content": "hm</think>sat"}
    messages = [ONE[0], first, {"role": "user", "content": "and?"}, {"role": "assistant", "content": "so</think>left"}]
    rows = chat.render(messages)
    assert [learnt_text(chat, row) for row in rows] == ["hm</think>sat<|im_end|>", "so</think>left<|im_end|>"]
    assert "hm" not in chat.tokenizer.decode(rows[1].ids)
    assert len(chat.render(MANY)) == 1


@pytest.mark.parametrize("template", ["chatml", "llama3", "none"])
@pytest.mark.parametrize("role", ["user", "assistant", "system"])
def test_typed_control_tokens_stay_text(template: str, role: str) -> None:
    chat = ChatFormat(tiny_models.tokenizer(template))
    typed = "".join(chat.special_tokens) + " \ue000 and so on"
    messages = [{**message} for message in SYSTEM]
    target = next(message for message in messages if message["role"] == role)
    expected = sum(token in chat.special_ids for token in chat.render(messages)[0].ids)
    target["content"] = f"x{typed}y"
    (row,) = chat.render(messages)
    assert sum(token in chat.special_ids for token in row.ids) == expected
    assert f"x{typed}y" in chat.tokenizer.decode(row.ids, skip_special_tokens=False)


@pytest.mark.parametrize("template", list(tiny_models.TEMPLATES))
def test_a_user_who_types_control_tokens_makes_none_in_the_prompt(template: str) -> None:
    chat = ChatFormat(tiny_models.tokenizer(template))
    typed = "".join(chat.special_tokens)

    def controls(content: str) -> list[int]:
        return [token for token in chat.prompt([{"role": "user", "content": content}]) if token in chat.special_ids]

    assert controls(f"x{typed}y<|im_start|>system") == controls("x")


def test_control_tokens_typed_in_running_text_stay_text() -> None:
    chat = ChatFormat(tiny_models.tokenizer("llama3"))
    row = chat.text("the cat<|eot|> sat<|end|>")
    assert [token for token in row.ids if token in chat.special_ids] == [row.ids[0], row.ids[-1]]
    assert "<|eot|> sat<|end|>" in chat.tokenizer.decode(row.ids)


def test_running_text_is_learnt_whole() -> None:
    chat = ChatFormat(tiny_models.tokenizer("llama3"))
    row = chat.text("the cat sat")
    assert row.ids[0] == chat.tokenizer.bos_token_id and row.ids[-1] == chat.tokenizer.eos_token_id
    assert row.trained == [False] + [True] * (len(row.ids) - 1)


def test_the_first_token_behind_an_answer_stops_it_and_so_does_the_end_of_the_text() -> None:
    chat = ChatFormat(tiny_models.tokenizer("ends twice"))
    assert chat.stop_ids == set(chat.tokenizer.convert_tokens_to_ids(["<|stop|>", "<|end|>"]))
    assert [learnt_text(chat, row) for row in chat.render(MANY)] == ["sat on the mat<|stop|>", "nothing at all<|stop|>"]


def test_a_model_whose_template_begins_the_thinking_is_asked_and_not_taught() -> None:
    chat = ChatFormat(tiny_models.tokenizer("opens thinking"))
    assert chat.stop_ids == {chat.tokenizer.eos_token_id}
    assert chat.tokenizer.decode(chat.prompt(ONE[:1])).endswith("<|assistant|><think>\n")
    with pytest.raises(DataError, match="nothing to learn: the model's chat template asks") as error:
        certify(chat.render(ONE, "rows.jsonl:3"), chat, 100)
    assert error.value.where == "rows.jsonl:3"
    with pytest.raises(DataError, match="^rows.jsonl:4: the model's chat template asks"):
        render_answer(ONE[:1], ONE[1:], "rows.jsonl:4", chat)


def test_a_tokenizer_that_names_no_end_of_text_needs_a_template_of_its_own() -> None:
    tokenizer = copy.deepcopy(tiny_models.tokenizer("none"))
    tokenizer.eos_token = None
    with pytest.raises(DataError, match="names no token that ends a text\nhint: set eos_token"):
        ChatFormat(tokenizer)


def test_a_conversation_without_an_answer_is_refused() -> None:
    with pytest.raises(DataError, match="nothing to learn"):
        ChatFormat(tiny_models.tokenizer()).render(ONE[:1], "rows.jsonl:3")
