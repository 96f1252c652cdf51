"""Supervised fine-tuning: rows in, an adapter (or, with `adapter: none`, a whole model) out.

Read the rows, render them as the model will be asked, certify what will be learnt, train with the best held-out
weights kept, write them in PEFT's or the Hub's layout.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from sartor.base.distributed import process_group
from sartor.base.sinks import SinkName
from sartor.recipes.supervised import SupervisedConfig

if TYPE_CHECKING:
    from sartor.data.records import Row
    from sartor.recipes.stage import TrainingResult


class FinetuneConfig(SupervisedConfig):
    """Settings of `sartor finetune`."""

    out: str = Field(description="run folder to write; the same command again resumes it")
    sinks: list[SinkName] = Field([], description="also hand the metrics to: tensorboard, mlflow, wandb, trackio")


@process_group()
def run(config: FinetuneConfig, questions: "Sequence[Row] | None" = None) -> "TrainingResult":
    """Fine-tune as configured. A finished run is returned as it is, an interrupted one goes on. `questions` are what is
    answered and scored at each evaluation, in the place of the task's own dev rows."""
    from sartor.recipes.examples import SupervisedStage
    from sartor.recipes.stage import Stage, run_stage

    def stage(settings: SupervisedConfig) -> Stage[SupervisedConfig]:
        return SupervisedStage(settings, questions=questions)

    settings: SupervisedConfig = config
    return run_stage(stage, settings, config.out, config.sinks)
