"""The crash campaign with few tries; `make crash-test` runs it in full."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
IDS = ("R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8", "R9", "R10", "R11", "R12", "choice")


@pytest.fixture(scope="module")
def campaign() -> Iterator[subprocess.Popen[str]]:
    """One process for all of them: it imports everything once, and forks."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.crash", "--reduced", "--serve"],
        cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin is not None
    yield process
    process.stdin.close()
    process.wait(60)


@pytest.mark.parametrize("id", IDS)
def test_crashes(campaign: "subprocess.Popen[str]", id: str) -> None:
    assert campaign.stdin is not None and campaign.stdout is not None
    campaign.stdin.write(id + "\n")
    campaign.stdin.flush()
    rows: list[dict[str, Any]] = json.loads(campaign.stdout.readline())
    assert rows
    for row in rows:
        assert not row["failures"], "\n".join(row["failures"])
        if row["skipped"] and not row["tries"]:
            pytest.skip(row["skipped"])
        assert row["tries"] > 0
