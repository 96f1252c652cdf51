"""What a scripted author writes: which of it can be used, and that it is written once."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from sartor.choosing.prompted.instructions import HINTS, MOST_CHARACTERS, request, usable, write_instructions
from sartor.generation.protocol import Reply, Sampling


class Author:
    """Gives the replies it was handed, in order."""

    def __init__(self, *replies: Reply):
        self.replies, self.asked = list(replies), list[Any]()

    def generate(self, conversations: Sequence[Any], sampling: Sampling, on_reply: Any = None) -> list[Reply]:
        self.asked += conversations
        assert sampling.temperature > 0
        return self.replies[: len(conversations)]


def said(text: str, finish: str = "stop") -> Reply:
    return Reply(text, finish)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (said("Name the intent."), ("Name the intent.", None)),
        (said('  "Name the intent."\n'), ("Name the intent.", None)),
        (said("Instruction: Name it."), ("Name it.", None)),
        (said("**New instruction:** Name it."), ("Name it.", None)),
        (said("Here is a better instruction:\n\n“Name it.”"), ("Name it.", None)),
        (said("Answer with one word: yes or no."), ("Answer with one word: yes or no.", None)),
        (said("Name the", "length"), ("Name the", "cut off")),
        (said(' "" '), ("", "empty")),
        (said("Answer."), ("Answer.", "as it was")),
        (said("x" * (MOST_CHARACTERS + 1)), ("x" * (MOST_CHARACTERS + 1), "too long")),
        (Reply("", "error", error="no"), ("", "not answered")),
    ],
)
def test_what_can_be_used(reply: Reply, expected: tuple[str, str | None]) -> None:
    assert usable(reply, "Answer.") == expected


def test_instructions_are_written_once_and_what_is_left_out_is_counted(
    brief: Callable[..., Any], row: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = brief([row(0, "q", "a")]).task
    groups = [[(f"question {n}", f"answer {n}")] for n in range(len(HINTS))]
    author = Author(said("Be quick."), said("Be quick."), said("cut", "length"), said("Be exact."))
    file = tmp_path / "instructions.json"
    written = write_instructions(author, task, groups, file, "prompt")
    assert written.instructions == ("Be quick.", "Be exact.")
    assert written.left_out == {"the same again": 1, "cut off": 1}
    assert (
        "2 of 4 instructions that the model wrote can be tried, 1 the same again, 1 cut off" in capsys.readouterr().err
    )
    assert json.loads(file.read_text())["instructions"] == ["Be quick.", "Be exact."]
    for place, (hint, conversation) in enumerate(zip(HINTS, author.asked, strict=True)):
        text = conversation[0]["content"]
        assert hint in text and f"question {place}" in text and f"answer {place}" in text and "Answer." in text
    again = Author()
    assert write_instructions(again, task, groups, file, "prompt") == written
    assert again.asked == []


def test_a_service_that_did_not_answer_is_asked_again_for_instructions(
    brief: Callable[..., Any], row: Callable[..., Any], tmp_path: Path
) -> None:
    task, groups, file = brief([row(0, "q", "a")]).task, [[("q", "a")]], tmp_path / "instructions.json"
    down = Author(Reply("", "error", error="429 too many requests"))
    assert write_instructions(down, task, groups, file, "api").left_out == {"not answered": 1}
    assert write_instructions(Author(said("Be exact.")), task, groups, file, "api").instructions == ("Be exact.",)
    assert write_instructions(Author(), task, groups, file, "api").instructions == ("Be exact.",)


def test_long_rows_are_shortened_for_the_author(brief: Callable[..., Any], row: Callable[..., Any]) -> None:
    (message,) = request(brief([row(0, "q", "a")]).task, [("word " * 1000, "a\nb")], HINTS[0])
    assert len(message["content"]) < 1000 and "Answer: a b" in message["content"]
