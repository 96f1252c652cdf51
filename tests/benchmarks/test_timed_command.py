"""Time and memory of a command are its own."""

import sys

import pytest

from benchmarks.timed_command import timed


def test_the_peak_is_the_commands_and_not_that_of_whoever_measures() -> None:
    block = b"x" * 300_000_000
    _, small = timed([sys.executable, "-S", "-c", "pass"])
    seconds, large = timed([sys.executable, "-S", "-c", "import time; time.sleep(0.2); block = b'x' * 200_000_000"])
    assert small < 50_000_000 < 200_000_000 < large < len(block) and seconds > 0.2


def test_a_command_that_fails_is_named() -> None:
    with pytest.raises(SystemExit, match="-c import sys; sys.exit.3. failed"):
        timed([sys.executable, "-S", "-c", "import sys; sys.exit(3)"])
