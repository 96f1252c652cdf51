"""Supervised fine-tuning: rows in, an adapter (or, with `adapter: none`, a whole model) out.

Read the rows, render them as the model will be asked, certify what will be learnt, train with the best held-out
weights kept, write them in PEFT's or the Hub's layout.
"""

from typing import TYPE_CHECKING

from pydantic import Field

from sartor.base.distributed import process_group
from sartor.base.sinks import SinkName
from sartor.recipes.supervised import SupervisedConfig

if TYPE_CHECKING:
    from sartor.recipes.stage import TrainingResult


class FinetuneConfig(SupervisedConfig):
    """Settings of `sartor finetune`."""

    out: str = Field(description="run folder to write; the same command again resumes it")
    sinks: list[SinkName] = Field([], description="also hand the metrics to: tensorboard, mlflow, wandb, trackio")


@process_group()
def run(config: FinetuneConfig) -> "TrainingResult":
    """Fine-tune as configured. A finished run is returned as it is, an interrupted one goes on."""
    from sartor.recipes.examples import SupervisedStage
    from sartor.recipes.stage import run_stage

    return run_stage(SupervisedStage, config, config.out, config.sinks)
