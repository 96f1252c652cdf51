"""Candidate bases compared on the same held-out rows.

Tokenizers differ, so a loss per token says nothing between models; what every model spends on the same answers, in bits
per byte of their text, does. Each candidate is measured in a process of its own.
"""

import json
import math
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sartor.base.console import say, warn
from sartor.base.errors import DataError, SartorError, UsageError
from sartor.data.bad_rows import BadRows
from sartor.data.formats import read_examples
from sartor.data.records import Conversation, Example, Message, Row
from sartor.data.split import split_dev
from sartor.data.task import Task
from sartor.data.writers import write_jsonl
from sartor.evaluation.statistics import student_quantile
from sartor.generation.prompted import prompted
from sartor.recipes.candidate import DEV_FILE, MEASURED_FILE, REQUEST_FILE, TRAIN_FILE, CandidateRequest
from sartor.recipes.examples import asked_before_the_answer
from sartor.recipes.model_facts import ModelFacts, facts
from sartor.train.likelihood import Floats, paired_difference

PROGRAM = "sartor.recipes.candidate"
MOST_DEV_ROWS = 256  # enough for narrow intervals, few enough for large candidates
CONFIDENCE = 0.95
STANDARD_ERROR = 2  # the file descriptor: stdout is for the comparison alone


@dataclass(frozen=True)
class Likelihood:
    """Of the rows that every model was measured on: bits a byte of the answers, and how many more than the best model
    needs, with 95 % limits (paired by row, Student's t on the linearised ratio)."""

    bits_per_byte: float
    behind: float
    low: float
    high: float


@dataclass(frozen=True)
class Candidate:
    """One model's row of the table; everything measured is None where `failed` says why it could not be."""

    name: str
    facts: ModelFacts | None = None
    nats_per_token: float | None = None
    before: Likelihood | None = None
    after: Likelihood | None = None
    score: float | None = None
    trained_score: float | None = None
    training_steps: int | None = None
    peak_bytes: int | None = None
    training_peak_bytes: int | None = None
    prefill_tokens_per_second: float | None = None
    decode_tokens_per_second: float | None = None
    failed: str | None = None


@dataclass(frozen=True)
class ModelsCompared:
    """Candidates, the best first (after training where there was one), those that failed last; `rows` are compared, of
    `given_rows` held out."""

    candidates: list[Candidate]
    rows: int
    given_rows: int
    answer_bytes: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def compare_models(
    models: Sequence[str], data: str, minutes: float | None = None, score: bool = False, seed: int = 0
) -> ModelsCompared:
    """Measure every model on the held-out rows of `data`, a task folder or a file of rows. With `minutes` each also
    learns the other rows for that long (LoRA, the default settings) and is measured again; with `score` it answers the
    task's dev questions. What fails for one model is told and does not stop the others.

    UsageError for a model named twice and for a score without a task; DataError for rows that cannot be used.
    """
    twice = next((name for name in models if list(models).count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"{twice} is named twice", hint="name each model once")
    is_task = (Path(data) / "task.yaml").is_file()
    if score and not is_task:
        raise UsageError("only a task can score answers", where="--score", hint="give a task folder as --data")
    train, dev = rows_of_task(Task.load(data)) if is_task else _rows_of_file(data)
    if minutes is not None and not train:
        raise DataError("holds no rows to train on", where=data, hint="leave out --train-minutes, or add train rows")
    dev = dev[:MOST_DEV_ROWS]
    say(f"{len(dev)} held-out rows" + (f", {len(train)} to learn from" if minutes is not None else ""))
    found: dict[str, tuple[ModelFacts, dict[str, Any]]] = {}
    failures: list[Candidate] = []
    for name in models:
        say(f"--- {name}")
        try:
            known = facts(name)
            request = CandidateRequest(name, minutes, data if score else None, seed)
            found[name] = (known, _measured(request, train, dev))
        except SartorError as error:
            warn(f"{name}: {error.what}")
            failures.append(Candidate(name, failed=error.what))
    return _table(found, failures, dev)


def rows_of_task(task: Task) -> tuple[list[Example], list[Example]]:
    """The task's train and dev rows as they are learnt: instruction, question, first accepted answer."""
    if not task.dev:
        raise DataError("holds no dev rows", where=str(task.folder), hint="add dev.jsonl or train.jsonl")

    def learnt(row: Row) -> Example:
        asked = prompted(row.messages, task.instruction or None)
        return Example([*asked, Message(role="assistant", content=row.answers[0])])

    return [learnt(row) for row in task.train], [learnt(row) for row in task.dev]


def _rows_of_file(data: str) -> tuple[list[Example], list[Example]]:
    examples = read_examples(data, None, BadRows("stop")).examples
    return split_dev(examples, asked_before_the_answer)


def _measured(request: CandidateRequest, train: Sequence[Example], dev: Sequence[Example]) -> dict[str, Any]:
    """Run the candidate's process. SartorError with what it failed of."""
    with tempfile.TemporaryDirectory(prefix="sartor-models-") as name:
        folder = Path(name)
        for file, examples in ((TRAIN_FILE, train), (DEV_FILE, dev)):
            write_jsonl(folder / file, [{"messages": example.messages} for example in examples])
        (folder / REQUEST_FILE).write_text(json.dumps(asdict(request)))
        code = subprocess.run([sys.executable, "-m", PROGRAM, name], stdout=STANDARD_ERROR, check=False).returncode
        if code == -signal.SIGKILL:
            raise SartorError("memory was too short: the system ended it")
        if not (folder / MEASURED_FILE).is_file():
            raise SartorError(f"measuring it ended with exit code {code}; what it said is above")
        found: dict[str, Any] = json.loads((folder / MEASURED_FILE).read_text())
    if "error" in found:
        raise SartorError(found["error"])
    return found


def _table(
    found: dict[str, tuple[ModelFacts, dict[str, Any]]], failures: list[Candidate], dev: Sequence[Example]
) -> ModelsCompared:
    sizes = np.array([answer_bytes(example.messages) for example in dev], dtype=np.float64)
    measured = {name: each for name, (_, each) in found.items()}
    shared = [
        place for place in range(len(dev)) if all(each["losses"][place] is not None for each in measured.values())
    ]
    if measured and not shared:
        raise DataError("no held-out row fits every model", hint="shorten the rows, or leave out a model")
    if len(shared) < len(dev):
        warn(
            f"{len(dev) - len(shared)} held-out rows are longer than a model reads, or its template asks for their "
            "answers otherwise than it writes them; no model is compared on them"
        )
    before = likelihoods({name: each["losses"] for name, each in measured.items()}, sizes, shared)
    trained = {name: each["trained_losses"] for name, each in measured.items() if each["trained_losses"] is not None}
    after = likelihoods(trained, sizes, shared)
    candidates = [_candidate(known, each, before[name], after.get(name)) for name, (known, each) in found.items()]
    candidates.sort(key=lambda each: _rank(each))
    return ModelsCompared([*candidates, *failures], len(shared), len(dev), int(sizes[shared].sum()))


def _candidate(known: ModelFacts, measured: dict[str, Any], before: Likelihood, after: Likelihood | None) -> Candidate:
    nats = sum(loss for loss in measured["losses"] if loss is not None)
    same = ("score", "trained_score", "training_steps", "peak_bytes", "training_peak_bytes")
    speeds = ("prefill_tokens_per_second", "decode_tokens_per_second")
    return Candidate(
        known.name,
        known,
        nats_per_token=nats / measured["tokens"],
        before=before,
        after=after,
        **{name: measured[name] for name in (*same, *speeds)},
    )


def _rank(candidate: Candidate) -> float:
    decisive = candidate.after or candidate.before
    return math.inf if decisive is None else decisive.bits_per_byte


def answer_bytes(messages: Conversation) -> int:
    """Bytes (UTF-8) of the text that the assistant says."""
    return sum(len(message["content"].encode()) for message in messages if message["role"] == "assistant")


def likelihoods(losses: dict[str, list[float | None]], sizes: Floats, shared: Sequence[int]) -> dict[str, Likelihood]:
    """Bits a byte of every model on the `shared` rows, each against the best of them."""
    bits = {name: np.array([each[place] for place in shared]) / math.log(2) for name, each in losses.items()}
    kept = sizes[list(shared)]
    if not bits:
        return {}
    best = min(bits, key=lambda name: float(bits[name].sum()))
    found = {}
    for name, own in bits.items():
        behind, error = paired_difference(own, bits[best], kept)
        half = 0.0 if name == best else error * student_quantile((1 + CONFIDENCE) / 2, max(len(kept) - 1, 1))
        found[name] = Likelihood(float(own.sum() / kept.sum()), behind, behind - half, behind + half)
    return found
