"""Tries are kept as they are done: a run that goes on does not make them again, and pays for none twice."""

from pathlib import Path

import pytest

from sartor.choosing.fitting import tries
from sartor.choosing.fitting.tries import Tries


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(tries.time, "monotonic", lambda: now[0])
    return now


def test_a_try_is_made_once_also_after_a_kill(tmp_path: Path, clock: list[float]) -> None:
    made: list[str] = []

    def work(value: object) -> object:
        made.append(str(value))
        clock[0] += 2.0
        return value

    first = Tries(tmp_path / "path" / "tries.jsonl")
    assert first.once(lambda: work(0.5), "prompt a", 0, 16).value == 0.5
    assert first.once(lambda: work([1.0, 0.0]), "prompt a", 16, 32).value == [1.0, 0.0]
    with (tmp_path / "path" / "tries.jsonl").open("a") as file:
        file.write('{"about": "torn')  # killed in the middle of a line
    again = Tries(tmp_path / "path" / "tries.jsonl")
    assert again.knows("prompt a", 0, 16) and not again.knows("prompt b", 0, 16)
    done = again.once(lambda: pytest.fail("tried again"), "prompt a", 0, 16)
    assert (done.value, done.seconds) == (0.5, 2.0)
    assert again.once(lambda: work(0.25), "prompt b", 0, 16).value == 0.25
    assert made == ["0.5", "[1.0, 0.0]", "0.25"] and again.seconds == 6.0
    assert Tries(tmp_path / "path" / "tries.jsonl").seconds == 6.0


def test_a_try_that_fails_is_not_kept(tmp_path: Path) -> None:
    kept = Tries(tmp_path / "tries.jsonl")
    with pytest.raises(ZeroDivisionError):
        kept.once(lambda: 1 / 0, "x")
    assert not kept.knows("x") and not Tries(tmp_path / "tries.jsonl").knows("x")


def test_without_a_file_they_are_kept_for_the_while() -> None:
    kept = Tries()
    assert kept.once(lambda: 1.0, "x").value == kept.once(lambda: 2.0, "x").value == 1.0
