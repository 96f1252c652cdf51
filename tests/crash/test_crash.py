"""The crash campaign with few tries; `make crash-test` runs it in full."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
IDS = ("R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8", "R9", "R10", "R11", "R12", "choice")
SECONDS_TO_END = 60
Rows = list[dict[str, Any]]


class Served:
    """A campaign in a process of its own, which imports everything once, and forks. After a test that got no answer,
    the next one is asked of a new process: the old one may still give the answer that nobody waits for."""

    def __init__(self, command: tuple[str, ...] = (sys.executable, "-m", "tests.crash", "--reduced", "--serve")):
        self.command = command
        self.answered: dict[str, Rows] = {}
        self._process: subprocess.Popen[str] | None = None

    def rows(self, id: str) -> Rows:
        if self._process is None:
            self._process = subprocess.Popen(
                self.command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                start_new_session=True,
            )  # fmt: skip
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(id + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            assert line, "the campaign ended"
            rows: Rows = json.loads(line)
            assert rows and {row["id"] for row in rows} == {id}, f"an answer to another question: {line[:200]}"
        except BaseException:
            self.kill()
            raise
        self.answered[id] = rows
        return rows

    def kill(self) -> None:
        """With all of its children."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._close()

    def end(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                self._process.wait(SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                self.kill()
            else:
                self._close()

    def _close(self) -> None:
        assert self._process is not None
        with self._process:  # closes the pipes and waits
            self._process = None


@pytest.fixture(scope="module")
def campaign() -> Iterator[Served]:
    served = Served()
    yield served
    served.end()


@pytest.mark.parametrize("id", IDS)
def test_crashes(campaign: Served, id: str) -> None:
    for row in campaign.rows(id):
        assert not row["failures"], "\n".join(row["failures"])
        if row["skipped"] and not row["tries"]:
            pytest.skip(what_is_left_out([row]))
        assert row["tries"] > 0


@pytest.mark.parametrize("id", IDS)
def test_nothing_is_left_out(campaign: Served, id: str) -> None:
    """Skipped where a part of the test above cannot be tried on this machine."""
    if id not in campaign.answered:
        pytest.skip("there are no answers: the test itself did not run, or not to its end")
    if left_out := what_is_left_out(campaign.answered[id]):
        pytest.skip(left_out)


def what_is_left_out(rows: Rows) -> str:
    return "; ".join(dict.fromkeys(reason for row in rows for reason in row["skipped"]))


BEHIND = """
import json, sys
for line in sys.stdin:
    for _ in range(2 if line.strip() == "R1" else 1):
        print(json.dumps([{"id": line.strip()}]), flush=True)
"""


def test_an_answer_belongs_to_its_question() -> None:
    """As after a test that was given up: its answer comes when another one is asked for."""
    served = Served((sys.executable, "-c", BEHIND))
    try:
        assert served.rows("R1") == [{"id": "R1"}]
        with pytest.raises(AssertionError, match="an answer to another question"):
            served.rows("R2")
        assert served.rows("R3") == [{"id": "R3"}]  # by a new process: the old one would say R2
        assert served.answered.keys() == {"R1", "R3"}
    finally:
        served.end()
