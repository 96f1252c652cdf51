"""The parts that every training recipe is put together from."""

import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
import transformers
from torch import Tensor, nn

import sartor
from sartor.base.configuration import Config, dump_yaml
from sartor.base.console import say, warn
from sartor.base.device import compute_dtype, cpu_name, device, memory, num_threads
from sartor.base.errors import DataError, UsageError
from sartor.base.run_folder import RunFolder
from sartor.data.bad_rows import BadRows
from sartor.data.batches import BatchSource
from sartor.data.chat import ChatFormat, Rendered
from sartor.data.formats import read_examples
from sartor.data.packing import Batch
from sartor.data.records import Example
from sartor.data.split import split_dev
from sartor.models.attention import IMPLEMENTATION, register
from sartor.models.hub import ModelLocation, load_model
from sartor.train.certificate import certify, keep_rows_that_fit
from sartor.train.log_probs import batch_log_probs
from sartor.train.loop import evaluation_mode, training_mode
from sartor.train.objectives.causal_lm import causal_lm_loss


class SupervisedConfig(Protocol):
    """What these parts read of a recipe's settings."""

    @property
    def data(self) -> str: ...
    @property
    def dev(self) -> str | None: ...
    @property
    def format(self) -> str | None: ...
    @property
    def on_bad_row(self) -> Any: ...
    @property
    def max_row_tokens(self) -> int: ...
    @property
    def batch_rows(self) -> int: ...
    @property
    def epochs(self) -> float: ...
    @property
    def max_minutes(self) -> float | None: ...
    @property
    def evaluations(self) -> int: ...
    @property
    def base(self) -> str: ...


@contextmanager
def open_run(config: Config, out: str) -> Iterator[RunFolder]:
    """The run folder at `out`: a new one, or one made with the very same settings, to go on with."""
    path = Path(out)
    settings = dump_yaml(config)
    if (path / "config.yaml").is_file():
        folder = RunFolder.open(path)
        if (path / "config.yaml").read_text() != settings:
            folder.close()
            raise UsageError(
                "this run was begun with other settings",
                where=str(path / "config.yaml"),
                hint="choose another --out, or give the same settings to resume",
            )
    else:
        folder = RunFolder.create(path)
        folder.write_json("environment.json", environment())
        folder.write_text("config.yaml", settings)
    with folder:
        yield folder


def environment() -> dict[str, object]:
    """What a result may depend on besides its settings."""
    return {
        "sartor": sartor.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "device": str(device()),
        "processor": cpu_name(),
        "threads": num_threads(),
        "memory_bytes": memory().total_bytes,
        "dtype": str(compute_dtype(device())),
    }


def read_rows(config: SupervisedConfig, chat: ChatFormat, folder: RunFolder) -> tuple[list[Rendered], list[Rendered]]:
    """Rendered rows to learn from and to hold out. Says what was seen, and what was left out."""
    bad_rows = BadRows(config.on_bad_row)
    found = read_examples(config.data, config.format, bad_rows)
    say(f"{config.data}: {found.description}")
    if config.dev is None:
        train, dev = split_dev(found.examples, lambda example: example.messages[-2]["content"])
        say(f"{len(dev)} rows held out by a hash of their question, {len(train)} left to learn from")
    else:
        train, dev = found.examples, read_examples(config.dev, config.format, bad_rows).examples
    if bad_rows.rejects:
        warn(f"{bad_rows.summary()}; kept in {folder.path / 'rejects.jsonl'}")
        bad_rows.write(folder.path / "rejects.jsonl")
    train_rows, dev_rows = render(train, chat), keep_rows_that_fit(render(dev, chat), config.max_row_tokens)
    if not any(row.num_trained for row in dev_rows):
        raise DataError(
            "no held-out row fits", where=config.dev or config.data, hint="raise --max-row-tokens, or give --dev"
        )
    return train_rows, dev_rows


def render(examples: Sequence[Example], chat: ChatFormat) -> list[Rendered]:
    return [row for example in examples for row in chat.render(example.messages, example.where)]


def write_certificate(folder: RunFolder, rows: list[Rendered], chat: ChatFormat, max_row_tokens: int) -> None:
    """Certify, tell, keep in the run folder; then leave only the rows that fit in `rows`."""
    certificate = certify(rows, chat, max_row_tokens)
    for sentence in certificate.sentences():
        say(sentence)
    folder.write_json("certificate.json", certificate.as_dict())
    rows[:] = keep_rows_that_fit(rows, max_row_tokens)


def load_base(location: ModelLocation) -> nn.Module:
    """The base model where it trains, with our attention."""
    if location.adapter is not None:
        raise UsageError(
            "training on top of an adapter needs a whole model",
            where=location.name,
            hint="name the base model, or export the adapter merged",
        )
    register()
    return load_model(location.folder, compute_dtype(device()), IMPLEMENTATION).to(device())


def supervised_loss(model: nn.Module, batch: Batch, num_trained: int) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy of the batch's trained tokens."""
    return causal_lm_loss(batch_log_probs(model, batch), num_trained)


@dataclass(frozen=True)
class Plan:
    """How long to train, decided once and kept: a resumed run must follow the same schedule."""

    num_steps: int
    evaluate_every: int
    seconds: float
    dev_loss: float


def plan_steps(
    folder: RunFolder,
    model: nn.Module,
    source: BatchSource,
    evaluate: Callable[[nn.Module], dict[str, float]],
    config: SupervisedConfig,
) -> Plan:
    """Steps for the epochs asked for, or as many as `max_minutes` allows at the speed measured on real steps."""
    if (folder.path / "plan.json").is_file():
        return Plan(**folder.read_json("plan.json"))
    with training_mode(model), evaluation_mode(model):
        started = time.monotonic()
        dev_loss = evaluate(model)["dev_loss"]
        evaluation_seconds = time.monotonic() - started
    step_seconds = measure_step(model, source)
    num_steps = max(1, round(config.epochs * source.steps_per_epoch))
    if config.max_minutes is not None:
        left = config.max_minutes * 60 - config.evaluations * evaluation_seconds
        affordable = max(1, int(left / step_seconds))
        if affordable < num_steps:
            say(
                f"{config.max_minutes:g} minutes allow {affordable} of {num_steps} steps "
                f"({affordable / source.steps_per_epoch:.1f} epochs)"
            )
            num_steps = affordable
    every = max(1, -(-num_steps // config.evaluations))
    plan = Plan(num_steps, every, num_steps * step_seconds + num_steps / every * evaluation_seconds, dev_loss)
    folder.write_json("plan.json", asdict(plan))
    return plan


PROBE_STEPS = 3


def measure_step(model: nn.Module, source: BatchSource) -> float:
    """Seconds of one optimizer step: real forward and backward passes on the first steps' rows, no update.

    The first one warms up and is not counted.
    """
    seconds = []
    with training_mode(model):
        for step in range(PROBE_STEPS):
            started = time.monotonic()
            for batch in source.step(step):
                loss, _ = supervised_loss(model, batch.to(device()), 1)
                loss.backward()  # type: ignore[no-untyped-call]
            model.zero_grad(set_to_none=True)
            seconds.append(time.monotonic() - started)
    return sum(seconds[1:]) / len(seconds[1:])


def model_card(config: SupervisedConfig, result: Any, num_train: int, num_dev: int) -> str:
    """README.md of the run."""
    return f"""# Adapter for {config.base}

Trained by Sartor {sartor.__version__} on `{Path(config.data).name}`: {num_train:,} rows, {num_dev:,} held out.

| | before | after |
|---|---|---|
| held-out loss (nats a token) | {result.dev_loss_before:.3f} | {result.dev_loss:.3f} |

{result.steps} steps, the best at step {result.best_step}{" (stopped early)" if result.stopped_early else ""}; \
all settings in `config.yaml`, what was learnt in `certificate.json`, every step in `metrics.jsonl`.

The folder `adapter/` is in PEFT's layout. Licences of the base model and of the rows apply.
"""
