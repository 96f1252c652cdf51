"""`sartor check URL --remote-model NAME`: a service's silent faults in words, as JSON and as an exit code."""

import json

import pytest

from sartor.cli.main import main
from tests.generation.fake_service import Act, running
from tests.generation.test_service_checks import WordModel


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def check(model: WordModel, *options: str) -> int:
    with running(lambda *_: model.answer(service.requests[-1])) as service:
        return main(["check", service.url, "--remote-model", "m", *options])


def test_a_sound_service_and_one_that_cuts(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(WordModel()) == 0
    assert "ok     long prompts are read whole" in capsys.readouterr().out
    assert check(WordModel("cuts")) == 4
    printed = capsys.readouterr()
    assert "FAILED long prompts are read whole: prompts are cut without a word, at about 500 tokens" in printed.out
    assert "error: 1 of 6 checks failed: long prompts are read whole" in printed.err


def test_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(WordModel("ignores stop"), "--json") == 4
    found = json.loads(capsys.readouterr().out)
    assert [each["check"] for each in found if each["passed"] is False] == ["stop is heeded"]


@pytest.mark.parametrize("arguments", [["rows.jsonl"], ["http://127.0.0.1:9/v1", "--batch-rows", "3"]])
def test_what_is_no_service_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with running(lambda *_: Act()) as service:
        assert main(["check", *arguments, "--remote-model", "m"]) == 2
        assert not service.requests
    assert "hint: sartor check https://host/v1" in capsys.readouterr().err
