"""The `llm` command against our server, set up as its documentation says."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.serving.tiny_server import TinyServer, tiny_server

pytest.importorskip("llm", reason="llm is not installed")
KEY = "correct-horse-0123456789"
Llm = Callable[..., str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyServer]:
    with tiny_server(tmp_path_factory.mktemp("tiny"), KEY) as made:
        yield made


@pytest.fixture(scope="module")
def llm(server: TinyServer, tmp_path_factory: pytest.TempPathFactory) -> Llm:
    """`llm` with a folder of its own, in which our models are listed."""
    folder: Path = tmp_path_factory.mktemp("llm")
    common = {"api_base": f"{server.url}/v1", "api_key_name": "sartor"}
    models = [
        {"model_id": "ours", "model_name": "tiny", "supports_tools": True, "supports_schema": True, **common},
        {"model_id": "ours-text", "model_name": "tiny", "completion": True, **common},
    ]
    (folder / "extra-openai-models.yaml").write_text(yaml.safe_dump(models))
    (folder / "keys.json").write_text(f'{{"sartor": "{KEY}"}}')

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "llm", *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            env=os.environ | {"LLM_USER_PATH": str(folder)},
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def asked(server: TinyServer, **options: Any) -> str:
    import openai

    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0)
    messages: Any = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}]
    answer = client.chat.completions.create(model="tiny", messages=messages, **options)
    return answer.choices[0].message.content or ""


def test_a_prompt_streamed_and_whole(server: TinyServer, llm: Llm) -> None:
    expected = asked(server, temperature=0, max_tokens=8)
    options = ("-s", "be brief", "-o", "temperature", "0", "-o", "max_tokens", "8", "-n")
    assert llm("-m", "ours", "hello", *options).rstrip("\n") == expected.rstrip("\n")
    assert llm("-m", "ours", "hello", *options, "--no-stream").rstrip("\n") == expected.rstrip("\n")


def test_a_plain_completion(server: TinyServer, llm: Llm) -> None:
    ids = server.chat.tokenizer("the cat").input_ids
    assert ids and llm("-m", "ours-text", "the cat", "-o", "max_tokens", "4", "-o", "temperature", "0", "-n").strip(
        "\n"
    )
