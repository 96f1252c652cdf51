"""The parts that every training recipe is put together from."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

import sartor
from sartor.adapters.lora import LoraSettings, add_lora
from sartor.adapters.store import adapter_files
from sartor.base.configuration import Config, dump_yaml
from sartor.base.console import say, warn
from sartor.base.device import compute_dtype, device
from sartor.base.durable import Content
from sartor.base.environment import describe_environment
from sartor.base.errors import DataError, UsageError
from sartor.base.run_folder import RunFolder, require_free
from sartor.base.seeds import seed_everything
from sartor.data.bad_rows import BadRows
from sartor.data.batches import BatchSource
from sartor.data.chat import ChatFormat, Rendered
from sartor.data.formats import read_examples
from sartor.data.packing import Batch
from sartor.data.records import Example
from sartor.data.split import split_dev
from sartor.models.attention import IMPLEMENTATION, register
from sartor.models.hub import context_tokens, load_model, load_tokenizer, resolve
from sartor.recipes.held_out import HeldOutTask
from sartor.recipes.supervised import SupervisedConfig
from sartor.train.certificate import Certificate, certify, keep_rows_that_fit
from sartor.train.likelihood import mean_loss
from sartor.train.log_probs import batch_log_probs
from sartor.train.loop import Evaluate, LoopSettings, evaluation_mode, training_mode
from sartor.train.objectives.causal_lm import causal_lm_loss


def check_run(config: Config, out: str) -> None:
    """UsageError when `out` holds something else than this very run; asked before any work is done."""
    settings = Path(out) / "config.yaml"
    if not settings.is_file():
        require_free(Path(out))
    elif settings.read_bytes() != dump_yaml(config).encode():
        raise UsageError(
            "this run was begun with other settings",
            where=str(settings),
            hint="choose another --out, or give the same settings to resume",
        )


@contextmanager
def open_run(config: Config, out: str) -> Iterator[RunFolder]:
    """The run folder at `out`: a new one, or one made with the very same settings, to go on with.

    To be opened when everything else was checked, so that a mistake leaves nothing behind.
    """
    check_run(config, out)
    path = Path(out)
    with RunFolder.open(path) if (path / "config.yaml").is_file() else RunFolder.create(path) as folder:
        if not (path / "config.yaml").is_file():
            folder.write_text("config.yaml", dump_yaml(config))
        if not (path / "environment.json").is_file():
            folder.write_json("environment.json", describe_environment())
        yield folder


def read_conversations(config: SupervisedConfig) -> tuple[list[Example], list[Example], BadRows]:
    """Conversations to learn from and to hold out, and the rows that are neither. Says what was seen."""
    bad_rows = BadRows(config.on_bad_row)
    found = read_examples(config.data, config.format, bad_rows)
    say(f"{config.data}: {found.description}")
    if config.dev is not None:
        return found.examples, read_examples(config.dev, config.format, bad_rows).examples, bad_rows
    try:
        train, dev = split_dev(found.examples, asked_before_the_answer)
    except DataError:
        raise DataError(
            "all rows ask the same, so none can be held out", where=config.data, hint="give held-out rows with --dev"
        ) from None
    say(f"{len(dev)} rows held out by a hash of their question, {len(train)} left to learn from")
    return train, dev, bad_rows


def asked_before_the_answer(example: Example) -> str:
    """What a row asks: rows that ask the same stay on one side of a split."""
    return "\n".join(message["content"] for message in example.messages[:-1])


def keep_rejects(bad_rows: BadRows, folder: RunFolder) -> None:
    """Tell of the rows that were left out, and keep them."""
    if bad_rows.rejects:
        warn(f"{bad_rows.summary()}; kept in {folder.path / 'rejects.jsonl'}")
        bad_rows.write(folder.path / "rejects.jsonl")


def render_rows(
    train: Sequence[Example], dev: Sequence[Example], chat: ChatFormat, max_row_tokens: int, config: SupervisedConfig
) -> tuple[list[Rendered], list[Rendered], Certificate]:
    """Rows to learn from and to hold out, those that fit and teach something, with the certificate of what will be
    learnt, told. DataError when nothing would be, or could be measured."""
    rows = render(train, chat)
    certificate = certify(rows, chat, max_row_tokens)
    for sentence in certificate.sentences():
        say(sentence)
    dev_rows = render(dev, chat)
    kept, kept_dev = (_useful(each, max_row_tokens) for each in (rows, dev_rows))
    if len(kept_dev) < len(dev_rows):
        say(f"{len(dev_rows) - len(kept_dev):,} held-out rows left out: too long, or nothing in them is learnt")
    if not kept_dev:
        raise DataError(
            "no held-out row fits", where=config.dev or config.data, hint="raise --max-row-tokens, or give --dev"
        )
    return kept, kept_dev, certificate


def _useful(rows: Sequence[Rendered], max_row_tokens: int) -> list[Rendered]:
    return [row for row in keep_rows_that_fit(rows, max_row_tokens) if row.num_trained]


def render(examples: Sequence[Example], chat: ChatFormat) -> list[Rendered]:
    return [row for example in examples for row in chat.render(example.messages, example.where)]


@dataclass(frozen=True)
class Prepared:
    """Everything a supervised run needs but the model: nothing was written, everything was checked."""

    base: Path
    chat: ChatFormat
    train_rows: list[Rendered]
    dev_rows: list[Rendered]
    certificate: Certificate
    bad_rows: BadRows

    def source(self, config: SupervisedConfig) -> BatchSource:
        return BatchSource(self.train_rows, config.batch_rows, config.micro_batch_tokens, config.seed)


def prepare(config: SupervisedConfig) -> Prepared:
    """Read, split and render the rows as configured, and certify what will be learnt."""
    train, dev, bad_rows = read_conversations(config)
    base = resolve(config.base)
    chat = ChatFormat(load_tokenizer(base))
    longest = min(config.max_row_tokens, context_tokens(base))
    train_rows, dev_rows, certificate = render_rows(train, dev, chat, longest, config)
    return Prepared(base, chat, train_rows, dev_rows, certificate, bad_rows)


def lora_settings(config: SupervisedConfig) -> LoraSettings | None:
    """The adapter's settings; None when every weight is trained."""
    if config.adapter == "none":
        return None
    return LoraSettings(
        config.lora_rank, config.lora_alpha, config.lora_dropout, config.rslora, tuple(config.lora_targets)
    )


def trainable_model(config: SupervisedConfig, base: Path) -> PreTrainedModel:
    """The base model where it trains, with our attention and with what is trained; its start is a function of the
    seed."""
    register()
    model = load_model(base, compute_dtype(device()), IMPLEMENTATION)
    lora = lora_settings(config)
    seed_everything(config.seed)
    if lora is None:
        model.requires_grad_(True)
    else:
        add_lora(model, lora)
    return model.to(device())


def trained_files(
    config: SupervisedConfig, model: PreTrainedModel, base: Path, base_name: str
) -> tuple[str, Mapping[str, Content]]:
    """What was trained: the name of its folder in the run (adapter or model) and the folder's files."""
    lora = lora_settings(config)
    if lora is None:
        from sartor.models.export import model_files  # TEMPORARY place, until the file is there

        return "model", model_files(model, base)
    return "adapter", adapter_files(model, lora, base_name)


def loop_settings(config: SupervisedConfig, plan: "Plan") -> LoopSettings:
    return LoopSettings(
        num_steps=plan.num_steps,
        learning_rate=config.peak_learning_rate,
        warmup_steps=round(config.warmup_share * plan.num_steps),
        schedule=config.schedule,
        weight_decay=config.weight_decay,
        clip_norm=config.clip_norm,
        evaluate_every=plan.evaluate_every,
        save_every=plan.evaluate_every,
        patience=config.patience,
        seed=config.seed,
    )


def held_out_measures(config: SupervisedConfig, prepared: Prepared) -> Evaluate:
    """What is measured of the model during training: the loss of the held-out rows and, where a task is given, the
    score of the answers to its held-out questions."""
    task = None if config.task is None else HeldOutTask.open(config.task, prepared.chat)
    if task is None and config.best_by == "score":
        raise UsageError("there is no score to go by", where="--best-by", hint="name the task with --task")

    def evaluate(model: nn.Module) -> dict[str, float]:
        measured = {"dev_loss": mean_loss(model, prepared.dev_rows, config.micro_batch_tokens)}
        if task is not None:
            measured["dev_score"] = task.score(model)
        return measured

    return evaluate


def supervised_loss(model: nn.Module, batch: Batch, num_trained: int) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy of the batch's trained tokens."""
    return causal_lm_loss(batch_log_probs(model, batch), num_trained)


PROBE_STEPS = 3
EVALUATION_SHARE = 0.2  # of a limited time goes to held-out losses at most


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
    evaluations = config.evaluations
    if config.max_minutes is not None:
        evaluations = max(1, min(evaluations, int(EVALUATION_SHARE * config.max_minutes * 60 / evaluation_seconds)))
        left = config.max_minutes * 60 - evaluations * evaluation_seconds
        affordable = max(1, int(left / step_seconds))
        if affordable < num_steps:
            say(
                f"{config.max_minutes:g} minutes allow {affordable} of {num_steps} steps "
                f"({affordable / source.steps_per_epoch:.1f} epochs)"
            )
            num_steps = affordable
    every = max(1, -(-num_steps // evaluations))
    plan = Plan(num_steps, every, num_steps * step_seconds + num_steps / every * evaluation_seconds, dev_loss)
    folder.write_json("plan.json", asdict(plan))
    return plan


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
