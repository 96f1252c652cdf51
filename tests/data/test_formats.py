"""Training data formats: each is recognised, turned into the same records, and refused by name when wrong."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from sartor.base.errors import DataError, UsageError
from sartor.data.bad_rows import BadRow, BadRows
from sartor.data.formats import FORMATS, detect, format_named, read_examples, read_records, to_record
from sartor.data.records import Example, Judged, Preference, Text
from sartor.data.turns import message

USER, ANSWER = message("user", "Hi"), message("assistant", "Hello.")
SYSTEM = message("system", "Be kind.")
OTHER = message("assistant", "No.")
PAIR = {"chosen": [USER, ANSWER], "rejected": [USER, OTHER]}


def write_rows(folder: Path, *rows: Any, name: str = "rows.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


SUPERVISED: list[tuple[str, dict[str, Any], list[Any]]] = [
    ("messages", {"messages": [SYSTEM, USER, ANSWER]}, [SYSTEM, USER, ANSWER]),
    ("messages", {"messages": [USER, ANSWER], "system": "Be kind."}, [SYSTEM, USER, ANSWER]),
    ("messages", {"messages": [USER | {"name": "Ann", "tool_calls": None}, ANSWER]}, [USER, ANSWER]),
    (
        "messages",
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}]},
                ANSWER | {"weight": 1},
            ]
        },
        [USER, ANSWER],
    ),
    (
        "conversations",
        {
            "conversations": [
                {"from": "system", "value": "Be kind."},
                {"from": "human", "value": "Hi"},
                {"from": "gpt", "value": "Hello."},
            ]
        },
        [SYSTEM, USER, ANSWER],
    ),
    ("conversations", {"conversations": [USER, ANSWER, USER, OTHER]}, [USER, ANSWER, USER, OTHER]),
    ("instruction/input/output", {"instruction": "Hi", "input": "", "output": "Hello."}, [USER, ANSWER]),
    (
        "instruction/input/output",
        {"instruction": "Sum up.", "input": "Long.", "output": "Hello.", "text": "Sum up. Long. Hello."},
        [message("user", "Sum up.\n\nLong."), ANSWER],
    ),
    (
        "instruction/input/output",
        {"instruction": "Hi", "context": None, "response": "Hello."},
        [USER, ANSWER],
    ),
    ("prompt/completion", {"prompt": "Hi", "completion": "Hello."}, [USER, ANSWER]),
    ("prompt/completion", {"prompt": [SYSTEM, USER], "completion": [ANSWER]}, [SYSTEM, USER, ANSWER]),
    ("prompt/completion", {"prompt": "Hi", "completion": "Hello.", "label": 7}, [USER, ANSWER]),
    ("question/answer", {"question": "Hi", "answer": "Hello."}, [USER, ANSWER]),
    ("question/answer", {"question": "Hi", "answer": ["Hello.", "Hi."], "group": "g"}, [USER, ANSWER]),
    ("question/answer", {"messages": [USER, OTHER, USER], "answer": "Hello."}, [USER, OTHER, USER, ANSWER]),
]


@pytest.mark.parametrize(("name", "row", "messages"), SUPERVISED)
def test_supervised_rows(name: str, row: dict[str, Any], messages: list[Any]) -> None:
    assert detect([row]).name == name
    assert to_record(row, FORMATS[name], "a.jsonl:1") == Example(messages, "a.jsonl:1")


def test_every_form_that_the_guide_names_is_read(tmp_path: Path) -> None:
    guide = Path(__file__).resolve().parents[2] / "docs" / "finetuning.md"
    (listed,) = re.findall(r"in any usual form:(.*?)\. The command", guide.read_text(encoding="utf-8"), re.DOTALL)
    forms = [re.findall(r"`(\w+)`", each) for each in listed.split(",")]
    shared = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}]
    turns: dict[str, Any] = {"messages": [USER, ANSWER], "conversations": shared}
    assert len(forms) >= 5
    for number, columns in enumerate(forms):
        path = tmp_path / f"{number}.jsonl"
        row = {column: turns.get(column, "" if column == "input" else "Hello.") for column in columns}
        path.write_text(json.dumps(row) + "\n")
        assert read_examples(path).examples, columns


DIALOGUE = "\n\nHuman: Hi\n\nAssistant: Oh?\n\nHuman: What?\n\nAssistant:"
DIALOGUE_TURNS = [USER, message("assistant", "Oh?"), message("user", "What?")]
PREFERENCES: list[tuple[dict[str, Any], list[Any], list[Any], list[Any]]] = [
    ({"prompt": "Hi", "chosen": "Hello.", "rejected": "No."}, [USER], [ANSWER], [OTHER]),
    ({"prompt": "Hi", "chosen": [ANSWER], "rejected": [OTHER]}, [USER], [ANSWER], [OTHER]),
    (
        {"prompt": [USER], "chosen": "Hello.", "rejected": "No.", "system": "Be kind."},
        [SYSTEM, USER],
        [ANSWER],
        [OTHER],
    ),
    ({"prompt": "Hi", **PAIR, "score_chosen": 9}, [USER], [ANSWER], [OTHER]),
    (PAIR, [USER], [ANSWER], [OTHER]),
    (PAIR | {"system": "Be kind."}, [SYSTEM, USER], [ANSWER], [OTHER]),
    (
        {"chosen": [USER, ANSWER, USER, ANSWER], "rejected": [USER, ANSWER]},
        [USER],
        [ANSWER, USER, ANSWER],
        [ANSWER],
    ),
    (
        {"chosen": [USER, ANSWER, USER, ANSWER], "rejected": [USER, ANSWER, message("user", "Bye"), OTHER]},
        [USER],
        [ANSWER, USER, ANSWER],
        [ANSWER, message("user", "Bye"), OTHER],
    ),
    ({"chosen": f"{DIALOGUE} Hello.", "rejected": f"{DIALOGUE} No."}, DIALOGUE_TURNS, [ANSWER], [OTHER]),
    ({"prompt": DIALOGUE, "chosen": "Hello.", "rejected": "No."}, DIALOGUE_TURNS, [ANSWER], [OTHER]),
]


@pytest.mark.parametrize(("row", "prompt", "chosen", "rejected"), PREFERENCES)
def test_preference_rows(
    row: dict[str, Any], prompt: list[Any], chosen: list[Any], rejected: list[Any]
) -> None:
    assert detect([row]).name == "prompt/chosen/rejected"
    read = to_record(row, detect([row]), "a.jsonl:1")
    assert read == Preference(prompt, chosen, rejected, "a.jsonl:1")


@pytest.mark.parametrize(("label", "desirable"), [(True, True), (0, False), ("True", True), ("0", False)])
def test_judged_rows(label: Any, desirable: bool) -> None:
    row = {"prompt": "Hi", "completion": "Hello.", "label": label}
    assert detect([row]).name == "prompt/completion/label"
    assert to_record(row, detect([row]), "a:1") == Judged([USER], [ANSWER], desirable, "a:1")


def test_plain_text_is_kept_as_it_is(tmp_path: Path) -> None:
    found = read_records(write_rows(tmp_path, {"text": "  one\n", "id": 3}), Text)
    assert found.examples == [Text("  one\n", f"{tmp_path}/rows.jsonl:1")]
    assert found.description == "saw columns text in 1 row: text; not read: id"


def test_the_description_says_what_was_seen_and_what_was_not_read(tmp_path: Path) -> None:
    rows = [{"messages": [USER | {"name": "Ann"}, ANSWER], "lang": "en", "note": None}] * 2
    found = read_examples(write_rows(tmp_path, *rows))
    assert found.format.name == "messages" and len(found.examples) == 2
    assert found.description == "saw columns messages in 2 rows: messages; not read: messages[].name, lang"


M, C, P = "messages", "conversations", "prompt/chosen/rejected"
TOOL = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
# format, row, field, part of what, part of hint
BAD_ROWS: list[tuple[str, dict[str, Any], str, str, str]] = [
    ("text", {"text": 3}, "text", "a number, not text", "double quotes"),
    ("text", {"text": " "}, "text", "is empty", "remove the row"),
    (M, {"messages": "Hi"}, M, "text, not a list of turns", "role"),
    (M, {"messages": '[{"role": "user"}]'}, M, "not a list of turns", ".jsonl"),
    (M, {"messages": []}, M, "no turns", "remove the row"),
    (M, {"messages": ["Hi"]}, "messages[0]", "text, not a turn", "role"),
    (M, {"messages": [USER, {"content": "Hi"}]}, "messages[1].role", "no role", "user and assistant"),
    (
        M,
        {"messages": [{"role": "User", "content": "Hi"}]},
        "messages[0].role",
        "unknown role 'User'",
        "system",
    ),
    (M, {"messages": [USER, {"role": "tool", "content": "3"}]}, "messages[1].role", "a tool's", "remove"),
    (M, {"messages": [USER, TOOL]}, "messages[1]", "calls a tool", "text"),
    (
        M,
        {"messages": [USER, {"role": "assistant", "content": None}]},
        "messages[1].content",
        "null",
        "remove",
    ),
    (
        M,
        {"messages": [USER, {"role": "assistant", "content": " \n"}]},
        "messages[1].content",
        "empty",
        "fill",
    ),
    (M, {"messages": [USER, {"role": "assistant", "content": 5}]}, "messages[1].content", "a number", "text"),
    (
        M,
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}, ANSWER]},
        "messages[0].content[0]",
        "not text (image_url)",
        "only text",
    ),
    (M, {"messages": [USER, ANSWER | {"weight": 0}]}, "messages[1].weight", "weight", "remove 'weight'"),
    (M, {"messages": [USER, SYSTEM, ANSWER]}, "messages[1]", "system turn stands after", "at the start"),
    (M, {"messages": [SYSTEM, ANSWER]}, M, "no user turn", "add"),
    (M, {"messages": [SYSTEM, USER]}, M, "no assistant turn", "add the assistant's answer"),
    (M, {"messages": [USER, ANSWER, USER]}, "messages[2]", "last turn is the user's", "remove the last turn"),
    (M, {"messages": [SYSTEM, USER, ANSWER], "system": "x"}, "system", "two system prompts", "keep"),
    (
        C,
        {"conversations": [{"from": "bot", "value": "x"}]},
        "conversations[0].from",
        "unknown role 'bot'",
        "system",
    ),
    (C, {"conversations": [{"from": "human", "value": ""}]}, "conversations[0].value", "empty", "fill"),
    (
        C,
        {"conversations": [{"from": "observation", "value": "x"}]},
        "conversations[0].from",
        "tool",
        "remove",
    ),
    ("instruction/input/output", {"instruction": "Hi", "output": ""}, "output", "is empty", "fill it in"),
    (
        "instruction/input/output",
        {"instruction": "Hi", "input": 3, "output": "x"},
        "input",
        "a number",
        "text",
    ),
    ("instruction/input/output", {"instruction": "Hi"}, "output", "missing", "found columns instruction"),
    ("prompt/completion", {"prompt": "Hi", "completion": " "}, "completion", "is empty", "fill it in"),
    (
        "prompt/completion",
        {"prompt": [USER, ANSWER], "completion": "x"},
        "prompt[1]",
        "assistant's",
        "remove",
    ),
    (
        "prompt/completion",
        {"prompt": "Hi", "completion": [USER, ANSWER]},
        "completion[0]",
        "user's",
        "assistant",
    ),
    ("prompt/completion", {"completion": "x"}, "prompt", "missing", "found columns completion"),
    ("question/answer", {"question": "Hi", "answer": []}, "answer", "a list", "text"),
    ("question/answer", {"question": "Hi", "answer": [4]}, "answer", "a number", "text"),
    ("question/answer", {"question": "", "answer": "x"}, "question", "is empty", "fill it in"),
    ("question/answer", {"messages": [USER, ANSWER], "answer": "x"}, "messages[1]", "last turn", "remove"),
    (P, {"prompt": "Hi", "chosen": "x", "rejected": "x"}, "rejected", "the same", "remove the row"),
    (P, {"chosen": "x", "rejected": "y"}, "prompt", "share no prompt", 'add a column "prompt"'),
    (
        P,
        {"chosen": [USER, ANSWER], "rejected": [message("user", "Ho"), OTHER]},
        "prompt",
        "no prompt",
        "prompt",
    ),
    (
        P,
        {"chosen": [USER], "rejected": [USER, OTHER]},
        "chosen",
        "last turn is not the assistant's",
        "end it",
    ),
    (P, {"prompt": "Ho", **PAIR}, "chosen", "does not go on from the prompt", "same turns"),
    (
        P,
        {"chosen": f"{DIALOGUE}", "rejected": f"{DIALOGUE} x"},
        "chosen",
        "turn 4 is empty",
        "remove the row",
    ),
    (P, {"prompt": "Hi", "chosen": "x"}, "rejected", "missing", "found columns prompt, chosen"),
    (
        "prompt/completion/label",
        {"prompt": "Hi", "completion": "x", "label": "good"},
        "label",
        "text",
        "true",
    ),
]


@pytest.mark.parametrize(("name", "row", "field", "what", "hint"), BAD_ROWS)
def test_a_bad_row_is_named(
    tmp_path: Path, name: str, row: dict[str, Any], field: str, what: str, hint: str
) -> None:
    path = write_rows(tmp_path, row)
    with pytest.raises(BadRow) as caught:
        read_records(path, FORMATS[name].record, name)  # type: ignore[type-var]
    error = caught.value
    assert error.where == f"{path}:1, {field}"
    assert what in error.what and error.hint and hint in error.hint
    assert error.exit_code == 3


def test_skipped_rows_are_counted_and_kept(tmp_path: Path) -> None:
    good, empty, other = {"question": "Hi", "answer": "x"}, {"question": "Hi", "answer": ""}, {"text": "x"}
    path = write_rows(tmp_path, good, empty, good, other, "no row", good)
    found = read_examples(path, bad_rows=BadRows("skip"))
    assert len(found.examples) == 3
    lines = [(reject.where, reject.field, reject.raw) for reject in found.rejects]
    assert sorted(lines, key=lambda line: line[0]) == [
        (f"{path}:2", "answer", empty),
        (f"{path}:4", "question", other),
        (f"{path}:5", None, '"no row"'),
    ]


def test_a_file_without_a_usable_row_is_refused_even_when_skipping(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none of 2 rows can be used\nhint: the first: is empty"):
        read_examples(write_rows(tmp_path, *[{"question": "Hi", "answer": ""}] * 2), bad_rows=BadRows("skip"))
    with pytest.raises(DataError, match=r"none of 1 rows can be used\nhint: the first: is `3`"):
        read_examples(write_rows(tmp_path, 3), bad_rows=BadRows("skip"))


def test_unknown_and_ambiguous_columns(tmp_path: Path) -> None:
    unknown = write_rows(tmp_path, {"question": "x", "sql": "y"})
    with pytest.raises(DataError) as caught:
        read_examples(unknown)
    assert caught.value.what == "columns question, sql are no known format"
    assert caught.value.hint and "nearest is question/answer, but it lacks answer" in caught.value.hint
    assert "--format" in caught.value.hint
    both = write_rows(tmp_path, {"question": "Hi", "answer": "a", "instruction": "Hi", "output": "b"})
    with pytest.raises(DataError, match="--format instruction/input/output or --format question/answer"):
        read_examples(both)
    assert read_examples(both, "question/answer").examples[0].messages[-1]["content"] == "a"
    with pytest.raises(UsageError, match="did you mean messages"):
        format_named("mesages")


def test_most_rows_decide_and_the_others_are_bad_rows(tmp_path: Path) -> None:
    rows = [{"question": "Hi", "answer": "x"}] * 3 + [{"text": "x"}]
    path = write_rows(tmp_path, *rows)
    assert detect(rows).name == "question/answer"
    with pytest.raises(BadRow, match=r"rows.jsonl:4, question: 'question' is missing"):
        read_examples(path)
    with pytest.raises(DataError, match="no known format"):
        detect([{"text": "x"}, {"a": 1}, {"question": "Hi", "answer": "x"}])


@pytest.mark.parametrize(
    ("row", "kind", "command"),
    [(PAIR, "preference pairs", "sartor dpo"), ({"text": "x"}, "plain text", "sartor pretrain")],
)
def test_rows_of_another_kind_are_refused_with_the_command_that_reads_them(
    tmp_path: Path, row: dict[str, Any], kind: str, command: str
) -> None:
    with pytest.raises(DataError) as caught:
        read_examples(write_rows(tmp_path, row))
    assert kind in caught.value.what and "not supervised examples" in caught.value.what
    assert caught.value.hint and command in caught.value.hint
