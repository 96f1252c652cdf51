"""A deterministic engine whose tokens are characters, and servers with it on free ports."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from sartor.base.errors import DataError
from sartor.data.records import Conversation
from sartor.generation.protocol import Passage, Sampling
from sartor.generation.text import TextStream
from sartor.serving.app import build_app
from sartor.serving.served_model import ServedModel
from sartor.serving.server import http_server, listen

END = 0
CONTEXT_TOKENS = 200


def decode(ids: Sequence[int]) -> str:
    return "".join(chr(number) for number in ids if number != END)


@dataclass(frozen=True)
class FakeEvent:
    request_id: int
    token_id: int
    log_prob: float
    text: str
    finish: str | None
    top: tuple[tuple[int, float], ...] = ()
    prompt: Any = None


@dataclass
class FakeRow:
    answer: str
    sampling: Sampling
    stream: TextStream
    made: int = 0


@dataclass
class FakeEngine:
    """Answers with what the user said last, sampled ones with their seed. `gate` holds back every step."""

    rows: dict[int, FakeRow] = field(default_factory=dict)
    samplings: list[Sampling] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)
    tokens: Counter[int] = field(default_factory=Counter)
    threads: set[int] = field(default_factory=set)
    steps: int = 0
    gate: threading.Event = field(default_factory=threading.Event)
    step_seconds: float = 0.0
    failures_to_come: int = 0
    unclean: bool = False
    max_rows: int = 64
    queued: int = 0

    def __post_init__(self) -> None:
        self.gate.set()

    @property
    def has_work(self) -> bool:
        return bool(self.rows) or self.unclean

    @property
    def active(self) -> int:
        return len(self.rows)

    def add_group(
        self,
        prompt: Sequence[int],
        samplings: Sequence[Sampling],
        constraints: Any = None,
        adapter: str | None = None,
        prompt_log_probs: int | None = None,
    ) -> list[int]:
        self.threads.add(threading.get_ident())
        return [self._add(decode(prompt), sampling) for sampling in samplings]

    def _add(self, text: str, sampling: Sampling) -> int:
        if "REFUSE" in text:
            raise DataError("the engine does not take this")
        if "ADD-FAILS" in text:
            raise RuntimeError("a secret of the machine")
        self.samplings.append(sampling)
        answer = text.rpartition("user: ")[2]
        if sampling.temperature > 0:
            answer += f"#{sampling.seed}"
        self.rows[len(self.samplings)] = FakeRow(answer, sampling, TextStream(decode, sampling.stop))
        return len(self.samplings)

    def step(self) -> list[FakeEvent]:
        self.threads.add(threading.get_ident())
        assert self.gate.wait(30)
        time.sleep(self.step_seconds)
        self.steps += 1
        if self.failures_to_come:
            self.failures_to_come -= 1
            raise RuntimeError("a secret of the machine")
        return [self._advance(number, row) for number, row in list(self.rows.items())]

    def _advance(self, number: int, row: FakeRow) -> FakeEvent:
        self.tokens[number] += 1
        if row.made == len(row.answer):
            del self.rows[number]
            return FakeEvent(number, END, -0.5, row.stream.finish(), "stop")
        token = ord(row.answer[row.made])
        row.made += 1
        text, finish = row.stream.push(token), None
        if row.stream.stopped:
            finish = "stop"
        elif row.made == row.sampling.max_new_tokens:
            text, finish = text + row.stream.finish(), "length"
        if finish:
            del self.rows[number]
        return FakeEvent(number, token, -row.made / 8, text, finish)

    def cancel(self, request_id: int) -> None:
        self.threads.add(threading.get_ident())
        self.cancelled.append(request_id)
        self.rows.pop(request_id, None)


def prepare(messages: Conversation, tools: Any = ()) -> tuple[list[int], list[Passage] | None]:
    text = "\n".join(f"{message['role']}: {message['content']}" for message in messages)
    if "UNRENDERABLE" in text:
        raise DataError("the template has no place for this")
    if "PREPARE-FAILS" in text:
        raise RuntimeError("a secret of the machine")
    return [ord(character) for character in text], None


def prepare_grounded(messages: Conversation, tools: Any = ()) -> tuple[list[int], list[Passage] | None]:
    ids, _ = prepare(messages)
    return ids, [
        Passage("c7", "d1", "The gate opens at nine.", 1.5, 10, 33, "Hours"),
        Passage("c9", "d2", "…", 0.5),
    ]


def served(engine: Any, **options: Any) -> ServedModel:
    settings: dict[str, Any] = {
        "id": "echo",
        "engine": engine,
        "prepare": prepare,
        "decode": decode,
        "max_context_tokens": CONTEXT_TOKENS,
        "sampling": Sampling(max_new_tokens=64),
        "created": 7,
    }
    return ServedModel(**settings | options)


@dataclass
class Live:
    url: str
    engine: FakeEngine
    app: Any
    stop: Callable[[], None]


@pytest.fixture
def start() -> Iterator[Callable[..., Live]]:
    """Start a server with an `echo` and a `grounded` model on one fake engine."""
    stops = []

    def run(**options: Any) -> Live:
        engine = FakeEngine()
        models = [served(engine), served(engine, id="grounded", prepare=prepare_grounded)]
        app = build_app(models, **options)
        server, listening = http_server(app), listen("127.0.0.1", 0)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()

        def stop() -> None:
            server.should_exit = True
            engine.gate.set()
            thread.join(30)
            assert not thread.is_alive(), "the server did not end"

        stops.append(stop)
        return Live(f"http://127.0.0.1:{listening.getsockname()[1]}", engine, app, stop)

    yield run
    for stop in stops:
        stop()


@pytest.fixture
def live(start: Callable[..., Live]) -> Live:
    return start()


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def make_model() -> Callable[..., ServedModel]:
    return served


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Wait for something that other threads bring about; how long it takes is not what is tested."""

    def wait(happened: Callable[[], bool]) -> None:
        end = time.monotonic() + 20
        while not happened():
            assert time.monotonic() < end, "it never happened"
            time.sleep(0.005)

    return wait
