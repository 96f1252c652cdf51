"""`sartor prepare` killed at moments drawn evenly from its duration: the same command ends with the same bytes.

SARTOR_CRASH_TRIES sets how often (default 3), for instance
`SARTOR_CRASH_TRIES=50 python -m pytest tests/crash/test_prepare_kills.py`.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.data.pipeline.toy import folder

REPOSITORY = Path(__file__).resolve().parents[2]
TRIES = int(os.environ.get("SARTOR_CRASH_TRIES", "3"))
SECONDS = 120
OPTIONS = ("--preset", "none", "--processes", "2", "--segment-characters", "100")


def start(source: Path, out: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "sartor", "prepare", str(source), "--out", str(out), *OPTIONS]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def tree(path: Path) -> dict[str, bytes]:
    files = [file for file in sorted(path.rglob("*")) if file.is_file() and file.name != ".lock"]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def test_killed_at_any_moment(tmp_path: Path) -> None:
    source = folder(tmp_path / "in", number=150, file_bytes=4000).path
    assert start(source, tmp_path / "first").wait(SECONDS) == 0  # may compile, which none of the next has to
    began = time.monotonic()
    assert start(source, tmp_path / "straight").wait(SECONDS) == 0
    duration = time.monotonic() - began
    assert tree(tmp_path / "straight") == tree(tmp_path / "first")
    expected, draw, kills = tree(tmp_path / "straight"), random.Random(5), 0
    for number in range(TRIES):
        out = tmp_path / f"out-{number}"
        process = start(source, out)
        try:
            process.wait(draw.uniform(0, duration))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            kills += 1
            process.wait(SECONDS)
        assert start(source, out).wait(SECONDS) == 0
        assert tree(out) == expected
        shutil.rmtree(out)
    assert kills > 0
