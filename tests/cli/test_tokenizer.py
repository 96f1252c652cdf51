"""`sartor tokenizer` from the command line."""

import json
from pathlib import Path

import pytest

from sartor.cli.main import main

TEXT = "The ship lies in the northern harbour, and the captain said nothing at all about it. "


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SARTOR_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"id": f"{n}", "text": TEXT * (n + 1)}) + "\n" for n in range(20)))
    return path


def test_json_says_what_was_made(rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tokenizer", str(rows), "--vocab-size", "512", "--out", str(tmp_path / "own"), "--json"]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert found["asked"] == 512 and found["measured_on"] == "held-out" and found["not_restored"] == 0
    assert [each["name"] for each in found["compressions"]] == ["this one", "bytes"]
    assert (tmp_path / "own" / "tokenizer.json").is_file()
    assert f"{found['vocabulary']:,} were found" in captured.err  # so little text has no 512 tokens


def test_the_table_names_every_tokenizer(rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tokenizer", str(rows), "--vocab-size", "512", "--out", str(tmp_path / "own")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("this one ") for line in lines)
    assert any(line.split() == ["bytes", "256", "1.000"] for line in lines)
    assert any("all came back from their ids" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--vocab-size", "100"], 2, "vocab_size"),
        (["--vocab-size", "512", "--pre-tokenizer", "llama"], 2, "pre_tokenizer"),
        (["--vocab-size", "512", "--held-out-share", "0.9"], 2, "held_out_share"),
        ([], 2, "--vocab-size is missing"),
        (["--vocab-size", "512", "--compare", "./no-such-model"], 2, "no model folder"),
    ],
)
def test_wrong_uses_are_explained(
    rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    assert main(["tokenizer", str(rows), "--out", str(tmp_path / "own"), *arguments]) == code
    captured = capsys.readouterr()
    assert said in captured.err and "hint: " in captured.err and captured.out == ""
    assert not (tmp_path / "own").exists()


def test_damaged_texts_are_named(rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows.write_bytes(rows.read_bytes() + b'{"text": "\xff"}\n')
    assert main(["tokenizer", str(rows), "--vocab-size", "512", "--out", str(tmp_path / "own")]) == 3
    assert "rows.jsonl:21" in capsys.readouterr().err
