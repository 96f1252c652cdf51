"""`sartor finetune`, and what goes with it, as functions."""

from typing import Literal, Unpack

from sartor.api.configured import Place, configured
from sartor.api.settings import CheckSettings, ExportSettings, FindLrSettings, FinetuneSettings, PlanSettings
from sartor.recipes import check as checking
from sartor.recipes import export as exporting
from sartor.recipes import find_lr as finding
from sartor.recipes import finetune as finetuning
from sartor.recipes import plan as planning
from sartor.recipes.stage import TrainingResult


def finetune(data: Place, *, out: Place, **settings: Unpack[FinetuneSettings]) -> TrainingResult:
    """Train a model on examples; again, it goes on where it stopped. `.trained` is the folder of what was learnt, which
    `sartor.open_model(out)` opens."""
    return finetuning.run(configured("finetune", finetuning.FinetuneConfig, {"data": data, "out": out, **settings}))


def find_lr(data: Place, **settings: Unpack[FindLrSettings]) -> finding.FoundRate:
    """Search the learning rate of a fine-tuning run with short trials."""
    return finding.run(configured("find_lr", finding.FindLrConfig, {"data": data, **settings}))


def plan(data: Place, **settings: Unpack[PlanSettings]) -> planning.RunPlan:
    """What a fine-tuning run will take in memory, time, disk and money, measured on its worst rows."""
    return planning.run(configured("plan", planning.PlanConfig, {"data": data, **settings}))


def check(data: Place, **settings: Unpack[CheckSettings]) -> checking.CheckReport:
    """Prove on your model and rows that training computes what it should."""
    return checking.run(configured("check", checking.CheckConfig, {"data": data, **settings}))


def export(
    model: Place, *, format: Literal["safetensors", "peft", "gguf"], out: Place, **settings: Unpack[ExportSettings]
) -> exporting.ExportResult:
    """Write a model for other tools; it is read back and scored again before it is published."""
    values = {"model": model, "format": format, "out": out, **settings}
    return exporting.run(configured("export", exporting.ExportConfig, values))
