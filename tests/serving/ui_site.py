# ruff: noqa: E501 -- the texts and scripts in it are easier to read unbroken
"""A whole `sartor ui` on a free port, with runs, a choice and documents made up for it, and a browser to look at it.

One model answers in words that are written down here; one is a real, tiny, random model that streams nonsense.
"""

import json
import math
import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from sartor.cli.ui import RunsBelow
from sartor.data.extract import make_document
from sartor.data.records import Conversation
from sartor.generation.local import LocalModel
from sartor.generation.protocol import Passage, Sampling
from sartor.models.hub import locate
from sartor.retrieval.indexing import index_folder
from sartor.retrieval.search import search
from sartor.retrieval.store import KnowledgeStore
from sartor.serving.served_model import ServedModel
from sartor.serving.server import http_server, listen
from sartor.serving.ui import Ui, build_ui, remember_knowledge
from sartor.serving.ui_documents import DocumentShelf
from sartor.serving.ui_models import ModelRoom, OpenedPath
from tests import tiny_folders
from tests.retrieval.conftest import HashEmbedder
from tests.serving.conftest import FakeEngine, FakeRow, TextStream, decode, served

PLAIN_ANSWER = """A ferry company usually keeps lost things for a while:

- small things for some weeks
- **passports** go to the police

Ask at the office in the harbour."""
GROUNDED_ANSWER = (
    "Ordinary things are kept for *seventy-five days* [1]. Passports are handed to the police [1], and what \
nobody fetches is sold at the harvest fair [3]."
)
DOCUMENTS = {
    "px-4-lost-property.md": (
        "Lost property (PX-4)",
        "# Lost property (PX-4)\n\n## How long things are kept\n\nOrdinary things are kept for seventy-five days. Wet "
        "clothing and food are thrown away after one day. Keys are kept for a year. Passports are handed to the police "
        "within twenty-four hours.\n\n## Where things are sold off\n\nWhat nobody fetches is sold at the harvest fair "
        "in aid of the lifeboat. The auctioneer gets nothing but a good lunch.\n\n## Giving things back\n\nAsk the owner "
        "for two details that cannot be seen from outside. The owner signs the found book and pays nothing.\n",
    ),
    "rules/dogs.md": (
        "Dogs on board",
        "# Dogs on board\n\nDogs travel on the open deck and on a lead. Guide dogs go where their people go. A dog that "
        "bites travels in the kennel from then on, whatever its owner says of its character.\n",
    ),
    "rules/fog.md": (
        "Sailing in fog",
        "# Sailing in fog\n\nBelow five hundred metres of sight the ship sounds its horn every two minutes. Below two "
        "hundred metres it stays in the harbour, and the office tells the passengers when it will try again.\n",
    ),
}  # fmt: skip


class ScriptedEngine(FakeEngine):
    """Says what is in `script` for the model that is asked, letter by letter."""

    script: str = PLAIN_ANSWER

    def _add(self, text: str, sampling: Sampling) -> int:
        number = len(self.samplings)
        self.samplings.append(sampling)
        self.rows[number] = FakeRow(self.script, sampling, TextStream(decode, ()))
        return number


@dataclass
class Site:
    url: str
    app: Any
    engine: ScriptedEngine
    room: ModelRoom
    knowledge: Path
    runs: Path
    opened: list[OpenedPath] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])


def write_run(folder: Path, steps: int, seed: int = 0, finished: bool = True, rate: float = 3e-4) -> Path:
    """A fine-tuning run with curves that fall as they should."""
    folder.mkdir(parents=True)
    settings = {"data": "train.jsonl", "base": "starter", "adapter": "lora", "learning_rate": rate, "rank": 16}
    (folder / "config.yaml").write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in settings.items()))
    (folder / "environment.json").write_text(json.dumps({"sartor": "0.1.0", "run": "finetune"}))
    (folder / "plan.json").write_text(json.dumps({"num_steps": steps, "before": {"dev_loss": 2.91}}))
    append_steps(folder, 1, steps if finished else steps * 2 // 3, steps, seed, rate)
    if finished:
        result = {"best_step": steps, "dev_loss": 1.2, "seconds": 412.0, "steps": steps}
        (folder / "result.json").write_text(json.dumps(result))
        samples = [{"prompt": "Where are keys kept?", "text": " In the office, for a year."}]
        (folder / "samples.json").write_text(json.dumps([{"step": step, "samples": samples} for step in (0, steps)]))
    return folder


def append_steps(folder: Path, first: int, last: int, planned: int, seed: int = 0, rate: float = 3e-4) -> None:
    random.seed(seed)
    with (folder / "metrics.jsonl").open("a") as log:
        for step in range(first, last + 1):
            fall = math.exp(-step * rate * 5000 / planned)
            loss = 1.0 + 1.9 * fall + random.gauss(0, 0.09)
            record = {"step": step, "loss": loss, "learning_rate": rate * (1 - step / planned)}
            record |= {"gradient_norm": 0.6 + fall + random.random() * 0.2, "trained_tokens": 800}
            if step % 10 == 0:
                record["dev_loss"] = 1.15 + 1.75 * fall + random.gauss(0, 0.015)
            log.write(json.dumps(record) + "\n")


def write_choice(folder: Path, hostile: Sequence[str] = ()) -> Path:
    """A measured choice of three paths over some rows; `hostile` texts stand in for answers, first."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text('task: "ferry-handbook"\nbudget: "20m"\nbase: "starter"\n')
    (folder / "environment.json").write_text(json.dumps({"sartor": "0.1.0", "run": "choose"}))
    paths = [("prompt", 0.10, [0.05, 0.17]), ("rag", 0.41, [0.33, 0.5]), ("finetune", 0.22, [0.15, 0.3])]
    facts = {"n": 120, "unscored": 0, "setup_seconds": 60.0, "latency_p95_s": 1.2, "cost_per_1k": 0.003}
    choice = {
        "task": "ferry-handbook", "choice": "rag", "verdict": "decided", "needed_rows": None, "why": "",
        "would_change": ["If 95 of 100 answers had to come within 0.8 s (now 1.2 s), prompting would be the choice."],
        "paths": [{"name": name, "description": f"the path {name}", "score": score, "ci": ci,
                   "endpoint": f"sartor serve runs/choice --path {name}", "energy_wh": 0.2, "hosts": [], "bytes_sent": 0,
                   "excluded": [], "chosen_on_dev": [], "freshness_seconds": None, **facts}
                  for name, score, ci in paths],
        "comparisons": [{"a": "rag", "b": name, "difference": 0.2, "ci": [0.1, 0.3], "p": 1e-4, "p_adjusted": 2e-4,
                         "test": "exact McNemar"} for name in ("prompt", "finetune")],
        "how": {"rows_train": 300, "rows_dev": 60, "rows_test": 120, "scorer": "exact", "margin": 0.02,
                "base_model": "starter", "budget": "20m", "machine": "one laptop", "test_touched": 1},
    }  # fmt: skip
    (folder / "choice.json").write_text(json.dumps(choice))
    (folder / "answers").mkdir()
    questions = ["Where are unclaimed things sold off?", "How long are keys kept?", "Where do dogs travel?"]
    right = ["the harvest fair", "for a year", "on the open deck"]
    for name, score, _ in paths:
        random.seed(name)
        rows = []
        for at in range(max(24, len(hostile))):
            text = (
                hostile[at] if at < len(hostile) else right[at % 3] if random.random() < score * 2 else "I do not know."
            )
            passages = [
                {
                    "title": "Lost property (PX-4)",
                    "chunk_id": "px-4-lost-property.md#1",
                    "document_id": "d",
                    "text": hostile[at] if at < len(hostile) else "What nobody fetches is sold at the harvest fair.",
                }
            ]
            rows.append({"id": f"test-{at:03}", "question": hostile[at] if at < len(hostile) else questions[at % 3],
                         "accepted": [right[at % 3]], "text": text, "score": float(text == right[at % 3]),
                         "seconds": 0.8, "finish": "stop", "passages": passages if name == "rag" else []})  # fmt: skip
        (folder / "answers" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def fill_store(file: Path, texts: dict[str, tuple[str, str]], embedder: HashEmbedder) -> None:
    documents = [
        make_document(
            id, title, text, id, {"type": "markdown", "folder": id.rpartition("/")[0], "year": 2024 + len(id) % 3}
        )
        for id, (title, text) in texts.items()
    ]
    with KnowledgeStore(file, create=True) as store:
        index_folder(store, documents, embedder, target_tokens=40)


@contextmanager
def site(folder: Path, key: str | None = None, load_at_once: bool = True, tiny: bool = True) -> Iterator[Site]:
    runs = folder / "runs"
    write_run(runs / "tuned-small", 60, 1)
    write_run(runs / "tuned-large", 60, 2, rate=9e-4)
    write_run(runs / "tuned-broken-off", 60, 3, finished=False)
    write_choice(runs / "choice")
    embedder = HashEmbedder(max_tokens=60)
    knowledge = folder / "handbook.sqlite"
    fill_store(knowledge, DOCUMENTS, embedder)
    shelf = DocumentShelf([knowledge], lambda store: embedder)
    engine = ScriptedEngine(step_seconds=0.002)
    grounded_engine = ScriptedEngine(step_seconds=0.002)
    grounded_engine.script = GROUNDED_ANSWER
    store = KnowledgeStore(knowledge)

    def grounded(messages: Conversation, tools: Any = ()) -> tuple[list[int], list[Passage] | None]:
        (found,) = search(store, embedder, [str(messages[-1]["content"])], 3)
        return [65], found

    def plain(messages: Conversation, tools: Any = ()) -> tuple[list[int], list[Passage] | None]:
        return [65], None

    def open_all() -> list[OpenedPath]:
        sampling = Sampling(max_new_tokens=2000)
        one = served(engine, id="starter", prepare=plain, max_context_tokens=8192, sampling=sampling)
        other = served(grounded_engine, id="handbook", prepare=grounded, max_context_tokens=8192, sampling=sampling)
        found = [
            OpenedPath(one, "Answer in a short paragraph."),
            OpenedPath(other, knowledge=knowledge, num_examples=2),
        ]
        return [*found, OpenedPath(_tiny_model(folder / "tiny"))] if tiny else found

    room = ModelRoom(["starter", "handbook"], open_all, key, on_open=remember_knowledge(shelf))
    app = build_ui(Ui(room, shelf, RunsBelow(runs.resolve()), load_at_once=load_at_once), key)
    server, listening = http_server(app), listen("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield Site(f"http://127.0.0.1:{listening.getsockname()[1]}", app, engine, room, knowledge, runs)
    finally:
        server.should_exit = True
        thread.join(30)
        store.close()
        assert not thread.is_alive(), "the server did not end"


def _tiny_model(folder: Path) -> ServedModel:
    local = LocalModel.open(locate(str(tiny_folders.language_model(folder))), torch.float32)
    return ServedModel(
        id="tiny", engine=local.engine, prepare=lambda messages, tools=(): (local.chat.prompt(messages), None),
        decode=local.chat.decode, max_context_tokens=local.engine.max_context_tokens,
        sampling=Sampling(max_new_tokens=24), chat=local.chat,
    )  # fmt: skip
