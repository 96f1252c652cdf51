"""A line of the table comes with the command that gives it."""

import sys
from argparse import Namespace

import pytest

from benchmarks import finetune_vs_trl
from benchmarks.finetune_vs_trl import git, whole_command

OPTIONS = Namespace(rows="long", full=True, steps=4, base="a folder", peer="trl", peer_micro_batch=0, side=None)


def test_the_command_has_what_was_left_to_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/benchmarks/finetune_vs_trl.py", "--full"])
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setattr(finetune_vs_trl, "git", lambda *arguments: "abc1234\n" if arguments[0] == "rev-parse" else "")
    command = "OMP_NUM_THREADS=2 python -m benchmarks.finetune_vs_trl --rows long --full --steps 4 --base 'a folder'"
    assert whole_command(OPTIONS) == f"{command} --peer trl    # commit abc1234"
    monkeypatch.setattr(finetune_vs_trl, "git", lambda *arguments: "x")
    assert whole_command(OPTIONS).endswith("# commit x and changes")


def test_without_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert git("rev-parse", "HEAD") == "" and "#" not in whole_command(OPTIONS)
