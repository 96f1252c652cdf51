"""The parts that every training recipe is put together from."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

import sartor
from sartor.adapters.lora import LoraSettings, add_lora
from sartor.adapters.quantized import quantize_base
from sartor.adapters.store import adapter_files
from sartor.base.configuration import Config, dump_yaml
from sartor.base.console import say, say_marked, warn
from sartor.base.device import compute_dtype, device
from sartor.base.distributed import barrier, is_main, world_size
from sartor.base.durable import Content
from sartor.base.environment import describe_environment
from sartor.base.errors import DataError, UsageError
from sartor.base.run_folder import FollowedRunFolder, RunFolder, require_free
from sartor.base.seeds import seed_everything
from sartor.data.bad_rows import BadRows
from sartor.data.batches import BatchSource
from sartor.data.chat import ChatFormat, Rendered
from sartor.data.formats import read_examples
from sartor.data.leaks import contamination
from sartor.data.packing import Batch
from sartor.data.records import Example
from sartor.data.split import split_dev
from sartor.data.task import Task
from sartor.data.task_rows import normalised_question
from sartor.models.export import model_files
from sartor.models.forward import load_packed, recompute_activations
from sartor.models.hub import context_tokens, load_tokenizer, resolve
from sartor.recipes.held_out import HeldOutTask
from sartor.recipes.planning import Plan
from sartor.recipes.runs import noting_failure
from sartor.recipes.supervised import SupervisedConfig
from sartor.train.certificate import CLOSE_MARK, OPEN_MARK, Certificate, certify, keep_rows_that_fit
from sartor.train.likelihood import mean_loss
from sartor.train.log_probs import batch_log_probs
from sartor.train.loop import Evaluate, LoopSettings
from sartor.train.objectives.causal_lm import causal_lm_loss
from sartor.train.parallel import place


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

    To be opened when everything else was checked, so that a mistake leaves nothing behind. Of several processes the
    main one opens it and the others follow.
    """
    path = Path(out)
    if not is_main():
        barrier()
        yield FollowedRunFolder(path)
        return
    check_run(config, out)
    with RunFolder.open(path) if (path / "config.yaml").is_file() else RunFolder.create(path) as folder:
        if not (path / "config.yaml").is_file():
            folder.write_text("config.yaml", dump_yaml(config))
        if not (path / "environment.json").is_file():
            kind = type(config).__name__.removesuffix("Config").lower()
            folder.write_json("environment.json", {"run": kind, **describe_environment()})
        barrier()
        with noting_failure(folder):
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
    if bad_rows.rejects and is_main():
        warn(f"{bad_rows.summary()}; kept in {folder.path / 'rejects.jsonl'}")
        bad_rows.write(folder.path / "rejects.jsonl")


def render_rows(
    train: Sequence[Example],
    dev: Sequence[Example],
    chat: ChatFormat,
    max_row_tokens: int,
    config: SupervisedConfig,
    task: Task | None,
) -> tuple[list[Rendered], list[Rendered], Certificate]:
    """Rows to learn from and to hold out, those that fit and teach something, with the certificate of what will be
    learnt, told. DataError when nothing would be, or could be measured."""
    rows = render(train, chat)
    certificate = replace(certify(rows, chat, max_row_tokens), contamination=_contamination(train, task))
    found = certificate.contamination
    tell = warn if found and (found["exact"] or found["near"]) else say
    for sentence in certificate.sentences():
        tell(sentence)
    say_marked("the first row, what is learnt of it", certificate.shown[0], OPEN_MARK, CLOSE_MARK)
    dev_rows = render(dev, chat)
    kept, kept_dev = (_useful(each, max_row_tokens) for each in (rows, dev_rows))
    if len(kept_dev) < len(dev_rows):
        say(f"{len(dev_rows) - len(kept_dev):,} held-out rows left out: too long, or nothing in them is learnt")
    if not kept_dev:
        raise DataError(
            "no held-out row fits", where=config.dev or config.data, hint="raise --max-row-tokens, or give --dev"
        )
    return kept, kept_dev, certificate


def _contamination(train: Sequence[Example], task: Task | None) -> dict[str, Any] | None:
    """Which rows to learn from ask what the task's test rows ask."""
    if task is None:
        return None
    asked = [
        (normalised_question([turn for turn in row.messages[:-1] if turn["role"] != "system"]), row.where)
        for row in train
    ]
    return {"test": str(task.folder), **asdict(contamination(asked, task.test))}


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
    task: Task | None

    def source(self, config: SupervisedConfig) -> BatchSource:
        rows, tokens = config.batch_rows, config.micro_batch_tokens
        return BatchSource(self.train_rows, rows, tokens, config.seed, processes=world_size())


def prepare(config: SupervisedConfig) -> Prepared:
    """Read, split and render the rows as configured, and certify what will be learnt."""
    train, dev, bad_rows = read_conversations(config)
    base = resolve(config.base)
    chat = ChatFormat(load_tokenizer(base))
    longest = min(config.max_row_tokens, context_tokens(base))
    task = None if config.task is None else Task.load(config.task)
    train_rows, dev_rows, certificate = render_rows(train, dev, chat, longest, config, task)
    return Prepared(base, chat, train_rows, dev_rows, certificate, bad_rows, task)


def lora_settings(config: SupervisedConfig) -> LoraSettings | None:
    """The adapter's settings; None when every weight is trained."""
    if config.adapter == "none":
        return None
    return LoraSettings(
        rank=config.lora_rank,
        alpha=config.lora_alpha,
        dropout=config.lora_dropout,
        rank_stabilized=config.rslora,
        weight_decomposed=config.dora,
        targets=tuple(config.lora_targets),
    )


def trainable_model(config: SupervisedConfig, base: Path, dtype: torch.dtype | None = None) -> PreTrainedModel:
    """The model of `complete_model` where it trains: on the device, or shared out among processes."""
    return place(complete_model(config, base, dtype), config.parallel)


def complete_model(config: SupervisedConfig, base: Path, dtype: torch.dtype | None = None) -> PreTrainedModel:
    """The base model with our attention and with what is trained, on the CPU, in the number format this machine
    computes best in or in `dtype`; its start is a function of the seed."""
    model = load_packed(base, dtype or compute_dtype(device()))
    lora = lora_settings(config)
    seed_everything(config.seed)
    if config.adapter == "qlora":
        quantize_base(model)
    if lora is None:
        model.requires_grad_(True)
    else:
        add_lora(model, lora)
    if config.activation_checkpointing:
        recompute_activations(model)
    return model


def trained_files(
    config: SupervisedConfig, model: PreTrainedModel, base: Path, base_name: str
) -> tuple[str, Mapping[str, Content]]:
    """What was trained: the name of its folder in the run (adapter or model) and, in the process that writes, the
    folder's files."""
    lora = lora_settings(config)
    if not is_main():
        return ("model" if lora is None else "adapter"), {}
    if lora is None:
        return "model", model_files(model, base)
    return "adapter", adapter_files(model, lora, base_name)


def loop_settings(config: SupervisedConfig, plan: Plan) -> LoopSettings:
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
        optimizer=config.optimizer,
        best_by="dev_score" if config.best_by == "score" else "dev_loss",
        accept_changed_environment=config.accept_changed_environment,
    )


def held_out_measures(config: SupervisedConfig, prepared: Prepared) -> Evaluate:
    """What is measured of the model during training: the loss of the held-out rows and, where a task is given, the
    score of the answers to its held-out questions."""
    task = None if prepared.task is None else HeldOutTask.of(prepared.task, prepared.chat)
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


def model_card(config: SupervisedConfig, result: Any, num_train: int, num_dev: int) -> str:
    """README.md of the run."""
    layout = "`model/` is in the Hub's" if config.adapter == "none" else "`adapter/` is in PEFT's"
    return f"""# {"Model" if config.adapter == "none" else "Adapter"} made from {config.base}

Trained by Sartor {sartor.__version__} on `{Path(config.data).name}`: {num_train:,} rows, {num_dev:,} held out.

| | before | after |
|---|---|---|
| held-out loss (nats a token) | {result.dev_loss_before:.3f} | {result.dev_loss:.3f} |

{result.steps} steps, the best at step {result.best_step}{" (stopped early)" if result.stopped_early else ""}; \
all settings in `config.yaml`, what was learnt in `certificate.json`, every step in `metrics.jsonl`.

The folder {layout} layout. Licences of the base model and of the rows apply.
"""
