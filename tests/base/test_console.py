"""What is shown of a text with marks."""

import pytest

from sartor.base.console import MARKED_CONTEXT, say_marked


def test_what_stands_between_marks_is_never_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    learnt = "answer " * 200
    say_marked("row", f"begin {'x' * 5000} end ⟦{learnt}⟧", "⟦", "⟧")
    shown = capsys.readouterr().err
    assert f"⟦{learnt}⟧" in shown and "row (⟦between marks⟧): begin x" in shown and " end ⟦" in shown
    assert f"[… {5011 - 2 * MARKED_CONTEXT:,} characters …]" in shown


def test_a_short_text_is_shown_whole(capsys: pytest.CaptureFixture[str]) -> None:
    say_marked("row", f"{'x' * 500} ⟦y⟧ z", "⟦", "⟧")
    assert f"{'x' * 500} ⟦y⟧ z" in capsys.readouterr().err
