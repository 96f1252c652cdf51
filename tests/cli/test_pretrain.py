"""`sartor pretrain` as it is typed: the plan, the run, what it says, and what it refuses."""

import json
from pathlib import Path

import pytest

from sartor.cli.main import main
from tests import tiny_folders
from tests.recipes.test_pretrain import write_texts

SMALL = [
    *("--preset", "1m", "--vocabulary", "512", "--window-tokens", "32", "--batch-tokens", "128", "--tokens", "512"),
    *("--evaluations", "1", "--evaluation-tokens", "64", "--sample-tokens", "4"),
]


def test_the_plan_is_told_and_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_texts(tmp_path / "texts.jsonl")
    command = ["pretrain", str(data), *SMALL, "--micro-batch-tokens", "64", "--out", str(tmp_path / "run"), "--dry-run"]
    assert main([*command, "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["course"]["num_steps"] == 4 and plan["course"]["windows_per_step"] == 4
    assert plan["peak_bytes"] > 0 and plan["tokens_per_second"] > 0 and plan["seconds"] > 0
    assert main(command) == 0
    text = capsys.readouterr().out
    assert "memory at its peak" in text and "asked for" in text and "2503.04715" in text
    assert not (tmp_path / "run").exists()


def test_a_run_says_what_came_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = write_texts(tmp_path / "texts.jsonl"), tmp_path / "run"
    assert main(["pretrain", str(data), *SMALL, "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{out}/model: ") and "bits a byte of held-out text in 4 steps" in text
    assert main(["pretrain", str(data), *SMALL, "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 4


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--tokens", "many"], "--tokens"),
        (["--tokens", "0"], "--tokens"),
        (["--preset", "10g"], "--preset"),
        (["--window-tokens", "2"], "--window-tokens"),
        (["--base", "no such model here"], "no such model here"),
    ],
)
def test_wrong_settings_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: list[str], said: str
) -> None:
    data = write_texts(tmp_path / "texts.jsonl")
    assert main(["pretrain", str(data), *wrong, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert said in error and "hint: " in error and "Traceback" not in error
    assert not (tmp_path / "run").exists()


def test_text_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_folders.write_rows(tmp_path / "short.jsonl", [{"text": "a"}, {"text": "b"}])
    assert main(["pretrain", str(tmp_path / "short.jsonl"), *SMALL, "--out", str(tmp_path / "run")]) == 3
    assert "held out" in capsys.readouterr().err
