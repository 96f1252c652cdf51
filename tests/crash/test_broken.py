"""The campaign fails what is broken on purpose, says what it cannot try, and counts each try once."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.crash.knowledge import moments_of
from tests.crash.system_calls import WHY_NOT, Call

REPOSITORY = Path(__file__).resolve().parents[2]
WATCHED = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))


def run_broken(name: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.broken", name], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@WATCHED
@pytest.mark.parametrize("name", ["write", "remove"])
def test_a_store_that_does_nothing_fails(name: str) -> None:
    failures = run_broken(f"{name} does nothing")["failures"]
    assert failures and "the documents are" in failures[0]


@pytest.mark.parametrize("name", ["rows at random", "windows at random", "answers at random"])
def test_steps_that_nothing_decides_fail(name: str) -> None:
    failures = "\n".join(run_broken(name)["failures"])
    for problem in ("when resumed", "in another order", "another stream elsewhere"):
        assert problem in failures, failures


def test_rows_that_processes_lose_fail() -> None:
    failures = run_broken("rows lost between processes")["failures"]
    assert failures and all("processes take other rows" in failure for failure in failures)


def test_parts_that_cannot_be_tried_are_said_and_not_counted() -> None:
    found = run_broken("no right to mount")
    assert found == {
        "tries": 0,
        "failures": [],
        "skipped": [
            "a small disk with room for 50%: this user has no right to mount",
            "a folder that can only be read: this user has no right to mount",
        ],
    }


def test_what_a_run_itself_wrote_is_seen_though_it_is_decided_again() -> None:
    failures = run_broken("wrong choice")["failures"]
    assert len(failures) == 2, failures
    for failure, file in zip(failures, ("choice.json", "report.md"), strict=True):
        assert failure.startswith(f"the run itself wrote another {file}: ")


def test_only_a_write_is_killed_in_its_middle() -> None:
    calls = [Call("write", ("/a",)), Call("fsync", ("/a",)), Call("write", ("/a",))]
    assert moments_of(calls) == [(1, False), (1, True), (2, False), (3, False), (3, True)]
