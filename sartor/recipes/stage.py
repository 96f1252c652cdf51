"""The common course of a training run on rows: certificate, plan, loop, result, report.

What one way of training (a *stage*: fine-tuning, a reward model, preference optimisation) brings to it is its rows, its
loss, its held-out measures and its files.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from torch import nn
from transformers import PreTrainedModel

import sartor
from sartor.adapters.store import read_settings
from sartor.base.console import format_seconds, say
from sartor.base.distributed import is_main
from sartor.base.durable import Content
from sartor.base.run_folder import RunFolder
from sartor.base.sinks import SinkName, feeding, require_sinks
from sartor.data.bad_rows import BadRows
from sartor.data.packing import MicroBatch
from sartor.models.hub import lasting_name
from sartor.recipes.pair_rows import PreparedRows
from sartor.recipes.planning import plan_steps
from sartor.recipes.same_rows import check_rows, keep_rows_mark, rows_mark
from sartor.recipes.settings import RowsConfig
from sartor.recipes.training import (
    RESULT_FILE,
    check_run,
    complete_model,
    finished_result,
    keep_rejects,
    loop_settings,
    open_run,
    refuse_adapter_settings,
    trained_files,
)
from sartor.train.checkpoint import Checkpoints
from sartor.train.loop import BestBy, LossOf, fit
from sartor.train.parallel import place, whole_model
from sartor.train.plan import EpochSource
from sartor.train.run_report import write_run_report

ConfigType = TypeVar("ConfigType", bound=RowsConfig)


class Stage(ABC, Generic[ConfigType]):
    """One way of training on rows. Made before anything is written: it reads and checks everything.

    base: the base model's folder. start: an adapter to go on from, where there is one. certificate: what will be
    learnt. num_train, num_dev: rows (or pairs) learnt from and held out. dev_tokens: tokens of those held out.
    beforehand_tokens: tokens that `begin` computes without gradients. own_dropout: whether the base's own dropout acts
    while it learns. prepared: what was read and rendered, with the rows in its lists.
    """

    best_by: BestBy = "dev_loss"
    own_dropout: bool = True
    prepared: Any
    base: Path
    start: Path | None = None
    certificate: Mapping[str, Any]
    bad_rows: BadRows
    source: EpochSource
    num_train: int
    num_dev: int
    dev_tokens: int
    beforehand_tokens: int = 0

    def __init__(self, config: ConfigType):
        self.config = config

    def take(self, prepared: PreparedRows[Any]) -> None:
        """Start from where the prepared rows say, and count them. UsageError for settings of a new adapter where one
        goes on."""
        self.base, self.start = prepared.location.folder, prepared.location.adapter
        if self.start is not None:
            refuse_adapter_settings(self.config)
        self.bad_rows, self.certificate = prepared.bad_rows, prepared.certificate
        self.num_train, self.num_dev = len(prepared.train), len(prepared.dev)
        self.dev_tokens = sum(each.num_tokens for each in prepared.dev)

    def model(self) -> PreTrainedModel:
        """The model with what is trained, where it trains: on the device, or shared out among processes."""
        return place(self.complete(), self.config.parallel)

    def complete(self) -> PreTrainedModel:
        """The model with what is trained, on the CPU; its start is a function of the seed."""
        return complete_model(self.config, self.base, start=self.start, own_dropout=self.own_dropout)

    def begin(self, model: PreTrainedModel, folder: RunFolder) -> None:
        """Whatever must be known before the first step, and is kept in the run."""
        return

    @property
    @abstractmethod
    def loss_of(self) -> LossOf: ...

    @abstractmethod
    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Held-out measures, `dev_loss` among them."""

    @abstractmethod
    def trial(self, most_tokens: int) -> "Stage[ConfigType]":
        """The same for a trial of the run, which nothing comes before: with held-out rows of about so many tokens, of
        all lengths alike."""

    def files(self, model: PreTrainedModel) -> tuple[str, Mapping[str, Content]]:
        """The name of the folder with the result, and its files (in the process that writes)."""
        return trained_files(self.config, model, self.base, self.base_name, self.start)

    @property
    def base_name(self) -> str:
        """The name by which the result finds its base again."""
        return lasting_name(self.config.base) if self.start is None else read_settings(self.start)[1]

    def quality(self, model: PreTrainedModel) -> "Quality":
        """What is to be said of the trained model beside its loss."""
        return Quality({}, [])


def held_out_sums(
    model: nn.Module, loss_of: LossOf, batches: Iterable[MicroBatch], num_units: int
) -> dict[str, float]:
    """A loss's metrics, as `dev_…`, over the micro-batches of all held-out rows."""
    device = next(model.parameters()).device
    sums: dict[str, float] = {}
    for batch in batches:
        for name, value in loss_of(model, batch.to(device), num_units)[1].items():
            sums[f"dev_{name}"] = sums.get(f"dev_{name}", 0.0) + value
    return sums


@dataclass(frozen=True)
class Quality:
    """Figures for the run's result, and the same in sentences for people."""

    figures: dict[str, Any]
    sentences: list[str]


@dataclass(frozen=True)
class TrainingResult:
    """What a run came to. Losses are means over the held-out rows (fine-tuning: nats a trained token)."""

    out: Path
    trained: Path
    steps: int
    best_step: int
    dev_loss_before: float
    dev_loss: float
    train_loss: float
    stopped_early: bool
    seconds: float
    quality: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        told = {name: str(value) if isinstance(value, Path) else value for name, value in vars(self).items()}
        return told if self.quality else {name: value for name, value in told.items() if name != "quality"}


def run_stage(
    stage_of: Callable[[ConfigType], Stage[Any]], config: ConfigType, out: str, sinks: list[SinkName]
) -> TrainingResult:
    """Train as configured. A finished run is returned as it is, an interrupted one goes on."""
    check_run(config, out)
    if (known := finished_result(Path(out))) is not None:
        trained = "model" if config.adapter == "none" else "adapter"
        return TrainingResult(out=Path(out), trained=Path(out) / trained, **known)
    started = time.monotonic()
    require_sinks(sinks)
    stage = stage_of(config)
    rows = rows_mark(stage.prepared, stage.prepared.chat)
    check_rows(rows, out)
    model = stage.model()

    with open_run(config, out) as folder:
        keep_rows_mark(rows, folder)
        keep_rejects(stage.bad_rows, folder)
        folder.write_json("certificate.json", stage.certificate)
        stage.begin(model, folder)
        plan = plan_steps(folder, model, stage.source, stage.loss_of, stage.evaluate, config, started)
        say(
            f"{plan.num_steps} steps of up to {config.batch_rows} rows, about {format_seconds(plan.seconds)}; "
            f"held-out loss before: {plan.before['dev_loss']:.3f}"
        )
        with feeding(sinks if is_main() else [], folder, config.model_dump()):
            checkpoints = Checkpoints(folder)
            settings = loop_settings(config, plan, stage.best_by)
            fitted = fit(model, stage.source, stage.loss_of, settings, stage.evaluate, checkpoints)
            checkpoints.close()

        quality = stage.quality(model)
        for sentence in quality.sentences:
            say(sentence)
        model = whole_model(model, stage.complete)
        name, files = stage.files(model)
        folder.write_folder(name, files)
        result = TrainingResult(
            folder.path,
            folder.path / name,
            fitted.steps,
            fitted.best_step,
            plan.before["dev_loss"],
            fitted.best["dev_loss"],
            fitted.train_loss,
            fitted.stopped_early,
            fitted.seconds,
            quality.figures,
        )
        folder.write_text("README.md", _model_card(stage, result))
        folder.write_json(
            RESULT_FILE, {name: value for name, value in result.as_dict().items() if name not in ("out", "trained")}
        )
        if is_main():
            write_run_report(folder)
        return result


def _model_card(stage: Stage[Any], result: TrainingResult) -> str:
    """README.md of the run."""
    config = stage.config
    layout = "`model/` is in the Hub's" if config.adapter == "none" else "`adapter/` is in PEFT's"
    return f"""# {"Model" if config.adapter == "none" else "Adapter"} made from {config.base}

Trained by Sartor {sartor.__version__} on `{Path(config.data).name}`: {stage.num_train:,} rows, {stage.num_dev:,} held \
out.

| | before | after |
|---|---|---|
| held-out loss | {result.dev_loss_before:.3f} | {result.dev_loss:.3f} |

{result.steps} steps, the best at step {result.best_step}{" (stopped early)" if result.stopped_early else ""}; \
all settings in `config.yaml`, what was learnt in `certificate.json`, every step in `metrics.jsonl`.

The folder {layout} layout. Licences of the base model and of the rows apply.
"""
