"""Conversations as supervised fine-tuning learns them: read, split, rendered, certified, measured."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sartor.base.console import say, say_marked, warn
from sartor.base.distributed import world_size
from sartor.base.errors import DataError, UsageError
from sartor.data.bad_rows import BadRows
from sartor.data.batches import BatchSource, sample_rows
from sartor.data.chat import ChatFormat, Rendered
from sartor.data.formats import read_examples
from sartor.data.leaks import contamination
from sartor.data.packing import Batch
from sartor.data.records import Example, Row
from sartor.data.split import split_dev
from sartor.data.task import Task
from sartor.data.task_rows import normalised_question
from sartor.models.hub import context_tokens, load_tokenizer, resolve
from sartor.recipes.held_out import HeldOutTask
from sartor.recipes.stage import Stage
from sartor.recipes.supervised import SupervisedConfig
from sartor.train.certificate import CLOSE_MARK, OPEN_MARK, Certificate, certify, keep_rows_that_fit
from sartor.train.likelihood import mean_loss
from sartor.train.log_probs import batch_log_probs
from sartor.train.loop import Evaluate, LossOf
from sartor.train.objectives.causal_lm import causal_lm_loss


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
    questions: tuple[Row, ...] | None = None  # to score by (None: the task's dev rows)

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


def held_out_measures(config: SupervisedConfig, prepared: Prepared) -> Evaluate:
    """What is measured of the model during training: the loss of the held-out rows and, where a task is given, the
    score of the answers to its held-out questions."""
    task = None if prepared.task is None else HeldOutTask.of(prepared.task, prepared.chat, prepared.questions)
    if task is None and config.best_by == "score":
        raise UsageError("there is no score to go by", where="--best-by", hint="name the task with --task")

    def evaluate(model: nn.Module) -> dict[str, float]:
        measured = {"dev_loss": mean_loss(model, prepared.dev_rows, config.micro_batch_tokens)}
        if task is not None:
            measured["dev_score"] = task.score(model)
        return measured

    return evaluate


class SupervisedStage(Stage[SupervisedConfig]):
    """Fine-tuning on conversations."""

    def __init__(
        self, config: SupervisedConfig, prepared: Prepared | None = None, questions: Sequence[Row] | None = None
    ):
        super().__init__(config)
        given = None if questions is None else tuple(questions)
        self.prepared = prepared = prepared or replace(prepare(config), questions=given)
        self.base, self.bad_rows = prepared.base, prepared.bad_rows
        self.certificate = prepared.certificate.as_dict()
        self.source = prepared.source(config)
        self.num_train, self.num_dev = len(prepared.train_rows), len(prepared.dev_rows)
        self.dev_tokens = sum(row.num_tokens for row in prepared.dev_rows)
        self.best_by = "dev_score" if config.best_by == "score" else "dev_loss"
        self._measures = held_out_measures(config, prepared)

    @property
    def loss_of(self) -> LossOf:
        return supervised_loss

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        return self._measures(model)

    def trial(self, most_tokens: int) -> "SupervisedStage":
        rows = sample_rows(self.prepared.dev_rows, most_tokens)
        return SupervisedStage(self.config, replace(self.prepared, dev_rows=rows))

    def without_task(self) -> "SupervisedStage":
        """Only the loss is measured."""
        config = self.config.model_copy(update={"best_by": "loss"})
        return SupervisedStage(config, replace(self.prepared, task=None))


def supervised_loss(model: nn.Module, batch: Batch, num_trained: int) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy of the batch's trained tokens."""
    return causal_lm_loss(batch_log_probs(model, batch), num_trained)
