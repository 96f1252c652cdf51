"""What is shown of a text with marks, and of the time left."""

import pytest

from sartor.base import console
from sartor.base.console import MARKED_CONTEXT, progress, say, say_marked, warn


def test_what_stands_between_marks_is_never_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    learnt = "answer " * 200
    say_marked("row", f"begin {'x' * 5000} end ⟦{learnt}⟧", "⟦", "⟧")
    shown = capsys.readouterr().err
    assert f"⟦{learnt}⟧" in shown and "row (⟦between marks⟧): begin x" in shown and " end ⟦" in shown
    assert f"[… {5011 - 2 * MARKED_CONTEXT:,} characters …]" in shown


def test_a_short_text_is_shown_whole(capsys: pytest.CaptureFixture[str]) -> None:
    say_marked("row", f"{'x' * 500} ⟦y⟧ z", "⟦", "⟧")
    assert f"{'x' * 500} ⟦y⟧ z" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("done_before", "done_now", "line"),
    [
        (0, 20, "training: 20%, about 1 min 20 s left\n"),
        (60, 10, "training: 70%, about 1 min 00 s left\n"),
        (60, 1, "training: 61%\n"),
    ],
)
def test_time_left_counts_only_what_this_command_did_and_is_told_when_that_is_enough(
    done_before: int,
    done_now: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = 1000.0
    monkeypatch.setattr(console.time, "monotonic", lambda: now)
    with progress("training", 100, done_before) as bar:
        now += 20
        bar.advance(done_now)
    assert line in capsys.readouterr().err


def test_colons_around_a_word_or_number_are_no_emoji(capsys: pytest.CaptureFixture[str]) -> None:
    say("a.jsonl:100: x :bug: [bold]")
    warn("a.jsonl:100: y")
    assert capsys.readouterr().err == "a.jsonl:100: x :bug: [bold]\nwarning: a.jsonl:100: y\n"
