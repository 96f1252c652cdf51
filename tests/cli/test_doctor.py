"""`sartor doctor` tells what is there and what is wrong, and asks no network."""

import json
import socket

import pytest

from sartor.base import manifest
from sartor.cli.main import main
from sartor.models.starter import starter_folder


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("doctor used the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("SARTOR_CACHE", str(tmp_path / "cache"))


def report(capsys):
    code = main(["doctor", "--json"])
    return code, json.loads(capsys.readouterr().out)


def put_model(name):
    folder = starter_folder(name)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / manifest.NAME).write_text(manifest.manifest_text(folder))
    return folder


def test_an_empty_cache_is_no_problem(capsys, tmp_path):
    code, told = report(capsys)
    assert code == 0 and told["problems"] == []
    assert told["starter_models"] == {"starter": "not fetched yet", "minilm": "not fetched yet"}
    assert told["cache"] == str(tmp_path / "cache") and not (tmp_path / "cache").exists()
    assert told["packages"]["torch"].startswith("2.")


def test_a_damaged_model_is_a_problem(capsys):
    put_model("minilm")
    (put_model("starter") / "config.json").write_text("[]")
    code, told = report(capsys)
    assert code == 1
    assert told["starter_models"] == {
        "starter": "config.json was changed (SHA-256 differs)",
        "minilm": "ready",
    }
    assert len(told["problems"]) == 1 and "starter" in told["problems"][0]


def test_the_text_says_the_same(capsys, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hunter2")
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "model minilm" in text and "no problem found" in text and "hunter2" not in text
