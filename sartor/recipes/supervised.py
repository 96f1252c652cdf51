"""The settings that all about supervised fine-tuning shares: the run itself, its plan, its checks, its search."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from sartor.recipes.settings import RowsConfig


class SupervisedConfig(RowsConfig):
    """Training on conversations whose answers are learnt."""

    default_learning_rates: ClassVar = {"lora": 1e-3, "qlora": 1e-3, "none": 1e-4}  # LoRA: 10 times full training's

    learning_rate: float | None = Field(
        None, gt=0, description="peak rate (default: 1e-3 for an adapter, 1e-4 for full training)"
    )
    task: str | None = Field(None, description="task folder whose dev rows are answered and scored at each evaluation")
    best_by: Literal["loss", "score"] = Field("loss", description="which held-out figure decides what is kept")

    def shared_settings(self) -> dict[str, Any]:
        """The settings that the run, its plan, its checks and its search have in common, without their own."""
        return {name: getattr(self, name) for name in SupervisedConfig.model_fields}
