"""`make bench`: nothing is forgotten, and what fails does not end the rest."""

from pathlib import Path

import pytest

import benchmarks
from benchmarks.__main__ import BENCHMARKS, EXCUSED, run_all

FOLDER = Path(benchmarks.__file__).parent


def test_every_script_is_run_or_excused() -> None:
    scripts = {path.stem for path in FOLDER.glob("*.py") if '__name__ == "__main__"' in path.read_text()}
    listed = {name for name, *_ in BENCHMARKS}
    assert scripts - {"__main__"} == listed | EXCUSED.keys()
    assert not listed & EXCUSED.keys() and all(EXCUSED.values())


def test_one_that_fails_does_not_end_the_others(capfd: pytest.CaptureFixture[str]) -> None:
    failed = run_all([["no_such_benchmark", "fast"], ["timed_command", "true"], ["nor_this"]])
    assert failed == ["no_such_benchmark fast", "nor_this"]
    assert '"exit_code": 0' in capfd.readouterr().out
