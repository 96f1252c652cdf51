"""One candidate base measured on given rows: likelihood, speed, memory and, where asked, a score and a short training.

    python -m sartor.recipes.candidate FOLDER

reads FOLDER/request.json, train.jsonl and dev.jsonl and leaves FOLDER/measured.json. It is a process of its own,
because a process's peak memory holds all that went before, and because one candidate's failure must not be another's.
"""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sartor.base.device import device
from sartor.base.errors import DataError, SartorError
from sartor.base.peak_memory import PeakMemory
from sartor.data.bad_rows import BadRows
from sartor.data.chat import ASKS_OTHERWISE, ASKS_OTHERWISE_HINT, ChatFormat, Rendered
from sartor.data.formats import read_examples
from sartor.data.records import Example
from sartor.data.task import Task
from sartor.generation.engine import Engine
from sartor.generation.local import LocalModel, context_tokens
from sartor.generation.protocol import Sampling
from sartor.models.hub import locate
from sartor.recipes.finetune import FinetuneConfig
from sartor.recipes.finetune import run as finetune
from sartor.recipes.held_out import HeldOutTask
from sartor.recipes.out_of_memory import is_out_of_memory
from sartor.train.likelihood import row_losses

REQUEST_FILE, MEASURED_FILE, TRAIN_FILE, DEV_FILE = "request.json", "measured.json", "train.jsonl", "dev.jsonl"
MICRO_BATCH_TOKENS = 2048
PREFILL_TOKENS, DECODED_TOKENS = 512, 32  # what the speeds are measured on
EPOCHS = 20.0  # at most: minutes end training, and the best held-out weights are kept


@dataclass(frozen=True)
class CandidateRequest:
    """What to measure; `minutes` of training (None: none) and the folder of a task to score by (None: not)."""

    model: str
    minutes: float | None
    task: str | None
    seed: int


@dataclass(frozen=True)
class CandidateMeasured:
    """`losses` are nats of each held-out row's answers, end of turn included; None for a row that cannot be measured
    (`example_losses`). `trained_*` are the same after training. Speeds are tokens a second of one request."""

    losses: list[float | None]
    tokens: int
    prefill_tokens_per_second: float
    decode_tokens_per_second: float
    peak_bytes: int
    score: float | None
    trained_losses: list[float | None] | None
    trained_score: float | None
    training_peak_bytes: int | None
    training_steps: int | None


def measure(request: CandidateRequest, folder: Path) -> CandidateMeasured:
    peak = PeakMemory(device())
    examples = read_examples(str(folder / DEV_FILE), None, BadRows("stop")).examples
    model = LocalModel.open(locate(request.model))
    losses, tokens = example_losses(model, examples)
    score = _score(model, request.task)
    prefill, decode = speeds(model, examples)
    peak.end("answering")
    del model
    trained_losses, trained_score, steps = None, None, None
    if request.minutes is not None:
        result = finetune(_training(request, folder))
        peak.end("training")
        trained = LocalModel.open(locate(result.out))
        trained_losses, steps = example_losses(trained, examples)[0], result.steps
        trained_score = _score(trained, request.task)
    return CandidateMeasured(
        losses,
        tokens,
        prefill,
        decode,
        peak.phases["answering"],
        score,
        trained_losses,
        trained_score,
        peak.phases.get("training"),
        steps,
    )


def example_losses(model: LocalModel, examples: Sequence[Example]) -> tuple[list[float | None], int]:
    """Nats of each example's answers, and how many tokens were scored. None for an example that is longer than the
    model reads, or with an answer that it would write otherwise than the template does: no token of such an answer is
    scored, and it must not pass for one that is certain. DataError where no example is left."""
    longest = context_tokens(model.model)
    rendered = [model.chat.render(example.messages, example.where) for example in examples]
    asked_alike = [all(row.num_trained for row in each) for each in rendered]
    if not any(asked_alike):
        raise DataError(ASKS_OTHERWISE, hint=ASKS_OTHERWISE_HINT)
    rows: list[Rendered] = []
    owners: list[int] = []
    losses: list[float | None] = []
    for index, (each, alike) in enumerate(zip(rendered, asked_alike, strict=True)):
        fits = alike and all(len(row.ids) <= longest for row in each)
        losses.append(0.0 if fits else None)
        if fits:
            rows += each
            owners += [index] * len(each)
    if not rows:
        raise DataError(f"no held-out row fits the {longest:,} tokens that it reads", hint="shorten the rows")
    for owner, nats in zip(owners, row_losses(model.model, rows, MICRO_BATCH_TOKENS), strict=True):
        losses[owner] = (losses[owner] or 0.0) + float(nats)
    return losses, sum(row.num_trained for row in rows)


def speeds(model: LocalModel, examples: Sequence[Example]) -> tuple[float, float]:
    """Tokens a second read and written by one request, after one that warms up; the rows' own text is what is read."""
    room = context_tokens(model.model) - DECODED_TOKENS - 2
    ids = [token for example in examples for token in _prompt(model.chat, example)]
    prompt = (ids * (PREFILL_TOKENS // len(ids) + 1))[: min(PREFILL_TOKENS, room)]
    engine = Engine(model.model, model.chat.decode, set(), context_tokens(model.model))
    seconds = (0.0, 0.0)
    for _ in range(2):
        engine.add(prompt, Sampling(max_new_tokens=DECODED_TOKENS + 1))
        begun = time.perf_counter()
        engine.step()
        read = time.perf_counter()
        while engine.has_work:
            engine.step()
        seconds = (read - begun, time.perf_counter() - read)
    return len(prompt) / seconds[0], DECODED_TOKENS / seconds[1]


def _prompt(chat: ChatFormat, example: Example) -> list[int]:
    return chat.prompt(example.messages[:-1] or example.messages)


def _score(model: LocalModel, task: str | None) -> float | None:
    return None if task is None else HeldOutTask.of(Task.load(task), model.chat).score(model.model)


def _training(request: CandidateRequest, folder: Path) -> FinetuneConfig:
    return FinetuneConfig(
        data=str(folder / TRAIN_FILE),
        dev=str(folder / DEV_FILE),
        base=request.model,
        out=str(folder / "run"),
        max_minutes=request.minutes,
        epochs=EPOCHS,
        seed=request.seed,
    )


def main(folder: Path) -> None:
    request = CandidateRequest(**json.loads((folder / REQUEST_FILE).read_text()))
    try:
        found: dict[str, Any] = asdict(measure(request, folder))
    except SartorError as error:
        found = {"error": error.what}
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        found = {"error": "memory was too short"}
    (folder / MEASURED_FILE).write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
