"""Preference optimisation (DPO and its kin): preference pairs or rated answers in, an adapter or whole model out."""

from typing import TYPE_CHECKING

from pydantic import Field

from sartor.base.distributed import process_group
from sartor.base.sinks import SinkName
from sartor.recipes.preference_settings import DpoSettings

if TYPE_CHECKING:
    from sartor.recipes.stage import TrainingResult


class DpoConfig(DpoSettings):
    """Settings of `sartor dpo`."""

    out: str = Field(description="run folder to write; the same command again resumes it")
    sinks: list[SinkName] = Field([], description="also hand the metrics to: tensorboard, mlflow, wandb, trackio")


@process_group()
def run(config: DpoConfig) -> "TrainingResult":
    """Train as configured. A finished run is returned as it is, an interrupted one goes on."""
    from sartor.recipes.dpo_stage import DpoStage
    from sartor.recipes.kto_stage import KtoStage
    from sartor.recipes.stage import run_stage

    return run_stage(KtoStage if config.loss == "kto" else DpoStage, config, config.out, config.sinks)
