"""What the comparison of servers asks, and how it names what it measured."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from benchmarks import serving_throughput
from benchmarks.serving_throughput import TITLES, _answers, command_of, figures, missing, prompts_of


def test_no_prompt_is_asked_twice() -> None:
    loads = [prompts_of(1, 3, 0), prompts_of(8, 3, 3), prompts_of(32, 3, 27)]
    assert [len(each) for each in loads] == [1, 8, 32]
    every = [prompt for load in loads for client in load for prompt in client]
    assert len(every) == len(set(every)) == 123 and serving_throughput.WARM_UP not in every


def test_the_highest_of_few_is_not_called_a_percentile(tmp_path: Path) -> None:
    tokenizer = Tokenizer(WordLevel({"word": 0}, unk_token="word"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    few = figures("side", 8, ["a b"] * 16, [*[1.0] * 15, 9.0], 2.0, tmp_path)
    assert (few.first_token_high, few.high_is, few.tokens_a_second) == (9.0, "slowest", 16.0)
    many = figures("side", 8, ["a"] * 40, [*[1.0] * 39, 9.0], 2.0, tmp_path)
    assert (many.first_token_high, many.high_is) == (1.0, "p95")


def test_llama_cpps_own_server_answers_all_clients_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    command = command_of("llama-server", 80, Path("model"), Path("model.gguf"), 2, 8)
    assert command[0] == "llama-server" and command[command.index("-np") + 1] == "8"
    assert int(command[command.index("-c") + 1]) == 8 * serving_throughput.SLOT_TOKENS
    monkeypatch.setenv("PATH", "/nowhere")
    assert missing("llama-server") == ["llama-server"] and missing("engine") == []
    assert "one request at a time" in TITLES["llama-cpp-python"]


@pytest.fixture
def loading_server() -> Iterator[HTTPServer]:
    """Says at first that it is loading, and then, as servers without /health do, that there is no such page."""

    class Handler(BaseHTTPRequestHandler):
        statuses = [503, 404]

        def do_GET(self) -> None:
            self.send_response(self.statuses.pop(0))
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_server_that_is_loading_is_waited_for(loading_server: HTTPServer) -> None:
    port = loading_server.server_address[1]
    assert [_answers(port), _answers(port)] == [False, True]
