"""environment.json: complete enough to compare, and without secrets."""

import json

from sartor.base.environment import describe_environment, told_variables


def test_secrets_never_show(monkeypatch):
    for name in ("OPENAI_API_KEY", "HF_TOKEN", "SARTOR_SERVER_PASSWORD", "OPENAI_CLIENT_SECRET"):
        monkeypatch.setenv(name, "hunter2")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("UNRELATED", "private")
    told = told_variables()
    assert told["OPENAI_API_KEY"] == told["HF_TOKEN"] == "set"
    assert told["OPENAI_BASE_URL"] == "http://127.0.0.1:1"
    text = json.dumps(describe_environment())
    assert "hunter2" not in text and "private" not in text


def test_versions_are_those_that_run():
    import torch

    described = describe_environment()
    assert described["packages"]["torch"] == torch.__version__
    assert described["torch_threads"] == torch.get_num_threads()
