"""Tiny random models as folders, a tiny task, and a tiny service: what whole commands run on, quick and offline."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import BertProcessing
from transformers import BertConfig, BertModel

from sartor.models import hub
from tests import tiny_models

SHIPS = ("red", "green", "blue", "white", "black", "grey")
HARBOURS = ("north", "south", "east", "west", "upper", "lower")
WORDS = (*SHIPS, *HARBOURS, "ship", "harbour", "the", "lies", "in", "where", "does", "captain", "of")
ANYTHING = "(?s).*"  # as a pattern every reply matches it; as an exact answer none does


def language_model(folder: Path, seed: int = 0) -> Path:
    """A random Llama of 20,000 weights with a chat template, in float32."""
    model = tiny_models.model("llama", seed)
    model.config.max_position_embeddings = 4096
    model.save_pretrained(folder)
    tiny_models.tokenizer().save_pretrained(folder)
    return folder


def embedding_model(folder: Path) -> Path:
    """A random BERT in the form of a sentence-transformers folder; each of WORDS is a token."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {word: index for index, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(vocabulary), max_position_embeddings=128, **sizes)).save_pretrained(folder)
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 64}))
    return folder


def use_embedder(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """`minilm` is the embedder in `folder` wherever it is named."""
    own = hub.fetch
    patch.setattr(hub, "fetch", lambda name: folder if name == "minilm" else own(name))


def write_rows(file: Path, rows: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def task(folder: Path, scorer: str = "regex") -> Path:
    """40 train rows, 20 test rows of which every other one accepts any reply, and 6 documents."""
    (folder / "documents").mkdir(parents=True)
    (folder / "task.yaml").write_text(f"name: ships\ninstruction: Name the harbour.\nscorer: {scorer}\n")
    pairs = [(ship, harbour) for ship in SHIPS for harbour in HARBOURS]
    train = [
        {"question": f"where does captain {n} of the {ship} ship moor", "answer": harbour, "evidence": [f"{ship}.md"]}
        for n, (ship, harbour) in enumerate((pairs * 2)[:40])
    ]
    test = [
        {
            "id": f"t{n}",
            "question": f"tell me harbour {n}, {SHIPS[n % 6]} vessel?",
            "answer": ANYTHING if n % 2 else HARBOURS[n % 6],
            "evidence": [f"{SHIPS[n % 6]}.md"],
        }
        for n in range(20)
    ]
    write_rows(folder / "train.jsonl", train)
    write_rows(folder / "test.jsonl", test)
    for ship, harbour in zip(SHIPS, HARBOURS, strict=True):
        (folder / "documents" / f"{ship}.md").write_text(
            f"# {ship} ship\n\nthe {ship} ship lies in the {harbour} harbour"
        )
    return folder


@dataclass
class Service:
    """An OpenAI-compatible service that echoes; `failing` questions get a plain 400."""

    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    failing: set[str] = field(default_factory=set)


@contextmanager
def service() -> Iterator[Service]:
    made = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            made.asked.append(body)
            question = body["messages"][-1]["content"]
            failed = question in made.failing
            message = {"role": "assistant", "content": f"echo {question}"}
            usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
            choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
            answer = {
                "id": "x",
                "object": "chat.completion",
                "created": 0,
                "model": "m",
                "choices": choices,
                "usage": usage,
            }
            raw = json.dumps({"error": {"message": "not this one"}} if failed else answer).encode()
            self.send_response(400 if failed else 200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
