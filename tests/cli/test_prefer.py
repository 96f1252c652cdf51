"""`sartor prefer` with a tiny model: in a terminal of its own, and on its page."""

import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from sartor.cli import prefer_terminal
from sartor.cli.prefer_terminal import printable
from sartor.data.formats import read_records
from sartor.data.records import Preference
from sartor.data.turns import message
from sartor.recipes.prefer import Pair
from sartor.recipes.prefer_questions import Question
from tests import tiny_folders
from tests.tiny_folders import write_rows

SECONDS = 90  # for torch to be imported on a busy machine
COMMAND = (sys.executable, "-m", "sartor", "prefer")
PROMPTS = "prompts.jsonl"
ENVIRONMENT = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folders.language_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_rows(tmp_path / PROMPTS, [{"prompt": f"tell me about number {number}"} for number in range(4)])
    return tmp_path


@contextmanager
def ended(process: subprocess.Popen) -> Iterator[subprocess.Popen]:
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=SECONDS)


class Screen:
    """The near end of a terminal: what was shown on it, and its keys."""

    def __init__(self, descriptor: int):
        self.descriptor, self.text = descriptor, ""

    def wait_for(self, pattern: str) -> str:
        """Everything shown up to and with `pattern`, which is then done with."""
        end = time.monotonic() + SECONDS
        while (match := re.search(pattern, self.text)) is None:
            left = end - time.monotonic()
            assert left > 0 and select.select([self.descriptor], [], [], left)[0], f"no {pattern} in {self.text!r}"
            self.text += os.read(self.descriptor, 65536).decode("utf-8", "replace")
        shown, self.text = self.text[: match.end()], self.text[match.end() :]
        return shown

    def press(self, keys: bytes) -> None:
        time.sleep(0.2)  # what is pressed before the question is there does not count
        os.write(self.descriptor, keys)


def test_keys_in_a_terminal_become_rows(folder: Path, model: Path) -> None:
    near, far = pty.openpty()
    command = [*COMMAND, str(model), PROMPTS, "--max-new-tokens", "6", "--json"]
    process = subprocess.Popen(
        command, cwd=folder, stdin=far, stderr=far, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    os.close(far)
    with ended(process):
        screen = Screen(near)
        shown = screen.wait_for("q quit")
        assert "question 1 of 4" in shown and "tell me about number" in shown and str(model) not in shown
        assert re.search("1 left.*2 right", shown), "side by side"
        screen.press(b"1")
        assert "question 2 of 4" in screen.wait_for("q quit")
        screen.press(b"\x1b[C")
        assert "question 3 of 4" in screen.wait_for("q quit")
        screen.press(b"u")
        assert "question 2 of 4" in screen.wait_for("q quit")
        screen.press(b"x")  # no key of ours
        screen.press(b"t")
        screen.wait_for("q quit")
        screen.press(b"q")
        out, _ = process.communicate(timeout=SECONDS)
    os.close(near)
    assert process.returncode == 0
    counts = json.loads(out)
    assert (counts["preferences"], counts["ties"], counts["remaining"]) == (1, 1, 2)
    (row,) = read_records(folder / counts["out"], Preference).examples
    assert row.prompt[0]["content"].startswith("tell me about number")
    (tie,) = (json.loads(line) for line in (folder / counts["ties_out"]).read_text().splitlines())
    assert tie["verdict"] == "tie"


def test_the_page_is_served_judged_on_and_ended(folder: Path, model: Path) -> None:
    command = [*COMMAND, str(model), PROMPTS, "--max-new-tokens", "6", "--json", "--page", "--out", "mine.jsonl"]
    process = subprocess.Popen(
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=ENVIRONMENT,
    )  # fmt: skip
    with ended(process), httpx.Client(timeout=SECONDS) as client:
        assert process.stderr is not None
        url = next(found[0] for line in process.stderr if (found := re.search(r"http://127\.0\.0\.1:\d+/\S+/", line)))
        assert client.get(url).headers["content-type"].startswith("text/html")
        state = client.get(url + "state").json()
        for verdict in ("left", "right", "skip", "tie"):
            end = time.monotonic() + SECONDS
            while state["pair"] is None:
                assert not state["is_finished"] and time.monotonic() < end
                time.sleep(0.05)
                state = client.get(url + "state").json()
            state = client.post(url + "judge", json={"pair": state["pair"]["id"], "verdict": verdict}).json()
        assert state["is_finished"]
        client.post(url + "finish", json={})
        out, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    assert json.loads(out)["preferences"] == 2
    assert len(read_records(folder / "mine.jsonl", Preference).examples) == 2


def test_an_interrupt_keeps_what_was_judged_and_tells_it(folder: Path, model: Path) -> None:
    near, far = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, str(model), PROMPTS, "--max-new-tokens", "6"], cwd=folder, stdin=far, stderr=far,
        stdout=subprocess.PIPE, text=True, env=ENVIRONMENT | {"COLUMNS": "60"},
    )  # fmt: skip
    os.close(far)
    with ended(process):
        screen = Screen(near)
        assert not re.search("1 left.*2 right", screen.wait_for("q quit")), "one under the other"
        screen.press(b"2")
        screen.wait_for("q quit")
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=SECONDS)
    os.close(near)
    assert process.returncode == 130
    assert out.startswith("1 preferences in preferences.jsonl") and "3 of 4 questions remain" in out


def test_answers_have_no_power_over_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = "\x1b]0;title\x07 \x1b[2J \x9b31m a\rb [bold]c[/bold] \u202eabc\n\tend"
    shown = printable(hostile)
    assert shown == "␛]0;title␇ ␛[2J <U+009B>31m a␍b [bold]c[/bold] <U+202E>abc\n    end"
    assert printable("naïve 你好 👩‍🚀") == "naïve 你好 👩‍🚀"
    written = io.StringIO()
    monkeypatch.setattr(prefer_terminal, "console", lambda: Console(file=written, width=200, soft_wrap=True))
    question = Question("q", [message("user", hostile)], [message("user", hostile)])
    pair = Pair(question, hostile, "right " * 100, (False, True), ("a", "b"))
    prefer_terminal.console().print(prefer_terminal._answers(pair, 200), soft_wrap=False)
    text = written.getvalue()
    assert "\x1b" not in text and "\x07" not in text and "\u202e" not in text
    assert "[bold]c[/bold]" in text and "cut at its greatest length" in text
    assert max(map(len, text.splitlines())) <= 200
