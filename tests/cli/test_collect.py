"""`sartor collect` as a person calls it."""

import json
import signal
import subprocess
import sys
import time

from sartor.cli.main import main
from sartor.data.document_folder import DocumentFolder
from tests.data.collecting.web_server import web_server


def test_a_folder_is_collected_and_the_summary_says_what_became_of_everything(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "a.txt").write_text("one")
    (tmp_path / "books" / "b.txt").write_text("")
    (tmp_path / "books" / "c.png").write_bytes(b"x")
    assert main(["collect", "books", "--out", "out", "--licence", "cc0-1.0"]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "out: 1 documents, 3 B of text",
        "2 found: 1 read, 1 rejected",
        "rejected: 1 empty",
        "the rejects with their reasons: out/rejects.jsonl",
        "left out: 1 .png files",
        "clean them: sartor prepare out --out out-clean",
    ]
    (table,) = DocumentFolder.open(tmp_path / "out").tables()
    assert table.to_pylist()[0]["id"] == "books/a.txt" and table.to_pylist()[0]["licence"] == "CC0-1.0"
    assert main(["collect", "books", "--out", "out", "--licence", "cc0-1.0", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["found"], report["total"], report["unchanged"], report["reasons"]) == (2, 1, 1, {"empty": 1})


def test_rows_with_another_column(tmp_path, capsys):
    (tmp_path / "rows.jsonl").write_text('{"body": "one"}\n{"body": "two"}\n')
    source, out = str(tmp_path / "rows.jsonl"), str(tmp_path / "out")
    assert main(["collect", source, "--out", out, "--text-field", "body", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["documents"] == 2


def test_settings_come_from_a_file_too(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "collect.yaml").write_text(f"sources: [{tmp_path / 'a.txt'}]\nout: {tmp_path / 'out'}\nfollow: 2\n")
    assert main(["collect", "--config", str(tmp_path / "collect.yaml")]) == 0
    assert "1 found: 1 read" in capsys.readouterr().out


def test_ctrl_c_stops_soon_and_says_how_to_go_on(tmp_path):
    """Even while a host is to be left in peace for a minute."""
    with web_server() as server:
        server.page("/robots.txt", "User-agent: *\nCrawl-delay: 60", Content_Type="text/plain")
        server.page("/a", "<p>a")
        command = [sys.executable, "-m", "sartor", "collect", server.url + "/a", "--out", str(tmp_path / "out")]
        process = subprocess.Popen(
            [*command, "--allow-private-addresses"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        until = time.monotonic() + 30
        while "/robots.txt" not in server.asked and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        started = time.monotonic()
        out, error = process.communicate(timeout=30)
    assert time.monotonic() - started < 5
    assert (process.returncode, out) == (75, "")
    assert error.endswith("what is collected is kept\nhint: the same command goes on from here\n")
    assert not (tmp_path / "out" / "documents.json").exists() and server.count("/a") == 0


def test_an_out_that_cannot_be_a_folder_is_one_line(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("one")
    for out in ("a.txt", "a.txt/below"):
        assert main(["collect", str(tmp_path / "a.txt"), "--out", str(tmp_path / out)]) == 2
        assert f"error: {tmp_path / 'a.txt'}: is a file, not a folder" in capsys.readouterr().err
