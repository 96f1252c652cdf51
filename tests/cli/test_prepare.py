import json

import pytest

from sartor.cli.main import main
from tests.data.pipeline.toy import folder

ALL_KEPT = ["--preset", "none", "--near-duplicates", "none", "--exact-duplicates", "none", "--processes", "1"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli")
    folder(path / "in", number=30)
    assert (
        main(["prepare", str(path / "in"), "--out", str(path / "out"), "--preset", "gopher", "--processes", "1"]) == 0
    )
    return path


def test_what_came_of_it_is_printed(prepared, capsys):
    again = ["prepare", str(prepared / "in"), "--out", str(prepared / "out"), "--preset", "gopher", "--processes", "1"]
    assert main(again) == 0
    out = capsys.readouterr().out
    assert "30 given = 0 kept + 30 dropped + 0 errors" in out
    assert "report.html" in out
    assert main([*again, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["counts"]["dropped"] == 30
    assert printed["seconds_by_step"] == {}


def test_rejects_can_be_browsed(prepared, capsys):
    out = str(prepared / "out")
    assert main(["prepare", "--show-rejects", out, "-n", "2", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert len(shown) == 2
    assert main(["prepare", "--show-rejects", out, "--reason", shown[0]["reason"]]) == 0
    text = capsys.readouterr().out
    assert f"{shown[0]['id']}: {shown[0]['step']}: {shown[0]['reason']}" in text
    assert main(["prepare", "--show-rejects", out, "--reason", "no_such_reason"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["prepare"], 2, "DOCUMENTS is missing"),
        (["prepare", "nowhere", "--out", "{out}"], 3, "there is no such folder"),
        (["prepare", "nowhere", "--out", "{out}", "-n", "3"], 2, "--show-rejects"),
        (["prepare", "--show-rejects", "{in}"], 3, "holds no rejects"),
        (["prepare", "{in}", "--out", "{out}", "--preset", "gofer"], 2, "preset"),
        (["prepare", "{in}", "--out", "{out}", "--engine", "ray:/x"], 2, "no engine"),
        (["prepare", "{in}", "--out", "{file}", *ALL_KEPT], 2, "is a file, not a folder"),
        (["prepare", "{in}", "--out", "{file}/below", *ALL_KEPT], 2, "is a file, not a folder"),
    ],
)
def test_mistakes_are_one_line(prepared, tmp_path, capsys, arguments, code, said):
    places = {"in": prepared / "in", "out": tmp_path / "out", "file": tmp_path / "file"}
    places["file"].write_text("x")
    assert main([argument.format(**places) for argument in arguments]) == code
    assert said in capsys.readouterr().err


def test_the_plan_is_printed_and_nothing_is_made(prepared, tmp_path, capsys):
    assert main(["prepare", str(prepared / "in"), "--out", str(tmp_path / "out"), *ALL_KEPT, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "30 documents" in printed
    assert "memory: about" in printed
    assert not (tmp_path / "out").exists()


def test_thresholds_come_from_a_file(prepared, tmp_path, capsys):
    settings = tmp_path / "settings.yaml"
    settings.write_text("preset: gopher\nthresholds:\n  gopher_quality: {min_words: 1, min_stop_words: 0}\n")
    out = tmp_path / "out"
    arguments = ["prepare", str(prepared / "in"), "--out", str(out), "--config", str(settings), "--processes", "1"]
    assert main([*arguments, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["settings"]["thresholds"] == {"gopher_quality": {"min_words": 1, "min_stop_words": 0}}
    assert "gopher_too_few_words" not in str(record["steps"])
