"""The settings that every way of training shares, of the run itself and of its plan."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from sartor.base.configuration import Config

Adapter = Literal["lora", "qlora", "none"]
OF_AN_ADAPTER = ("lora_rank", "lora_alpha", "lora_dropout", "lora_targets", "rslora", "dora")


class TrainingConfig(Config):
    """Rows, model, and how the one learns the other."""

    default_learning_rates: ClassVar[dict[str, float]]  # by `adapter`

    data: str = Field(description="rows to learn from: JSONL, JSON, CSV or Parquet (also .gz, .zst)")
    base: str = Field("starter", description="model to start from: starter, a Hub id or a local folder")
    dev: str | None = Field(None, description="held-out rows; without it a share of the rows is held out by hash")
    on_bad_row: Literal["stop", "skip"] = Field("stop", description="stop at a row that cannot be used, or skip it")
    adapter: Adapter = Field(
        "lora", description="what is trained: a low-rank adapter, the same on a 4-bit base, or (none) every weight"
    )
    lora_rank: int = Field(16, ge=1, description="rank of the adapter")
    lora_alpha: float = Field(32.0, gt=0, description="the adapter's branch is scaled by alpha / rank")
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="dropout in front of the adapter's branch")
    lora_targets: list[str] = Field([], description="names of linear layers to adapt (default: all but the head)")
    rslora: bool = Field(False, description="scale by alpha / sqrt(rank) instead, for high ranks")
    dora: bool = Field(False, description="also train each output's magnitude (DoRA)")
    optimizer: Literal["adamw", "adamw8bit", "muon"] = Field(
        "adamw", description="adamw8bit keeps a quarter of AdamW's state; muon is for matrices of full training"
    )
    learning_rate: float | None = Field(
        None, gt=0, description="peak rate (default: 10 times higher for an adapter than for all weights)"
    )
    schedule: Literal["cosine", "linear", "wsd", "constant"] = Field("cosine", description="how the rate falls")
    warmup_share: float = Field(0.05, ge=0, lt=1, description="share of the steps in which the rate rises")
    weight_decay: float = Field(0.0, ge=0, description="decoupled weight decay")
    clip_norm: float = Field(1.0, gt=0, description="bound of the gradient's norm")
    batch_rows: int = Field(16, ge=1, description="rows per optimizer step")
    micro_batch_tokens: int = Field(2048, ge=64, description="tokens computed at once: lower it to save memory")
    activation_checkpointing: bool = Field(
        False, description="keep only each layer's input and compute the layer again for its gradient: less memory"
    )
    max_row_tokens: int = Field(2048, ge=8, description="longer rows (than this or the model's own limit) are left out")
    epochs: float = Field(3.0, gt=0, description="how often every row is seen")
    max_minutes: float | None = Field(None, gt=0, description="train fewer steps where the run would take longer")
    evaluations: int = Field(8, ge=1, description="how often the held-out loss is measured")
    patience: int | None = Field(3, ge=1, description="stop after so many evaluations without a better one")
    accept_changed_environment: bool = Field(
        False, exclude=True, description="resume where rounding differs: other machine, torch, threads or processes"
    )
    seed: int = Field(0, ge=0, description="of the adapter's start, the order of rows and dropout")

    @model_validator(mode="after")
    def _adapter_settings_have_an_adapter(self) -> Self:
        given = changed(self, OF_AN_ADAPTER) if self.adapter == "none" else []
        if given:
            raise ValueError(f"{given[0]} has no effect with --adapter none, which trains the weights themselves")
        return self

    @property
    def peak_learning_rate(self) -> float:
        return self.default_learning_rates[self.adapter] if self.learning_rate is None else self.learning_rate


class RowsConfig(TrainingConfig):
    """Training on rows that are there before it begins."""

    format: str | None = Field(None, description="name of the rows' format, where it is not the one detected")
    parallel: Literal["ddp", "fsdp"] = Field(
        "ddp", description="processes of torchrun each hold the model (ddp) or share out its layers' weights (fsdp)"
    )


def changed(config: Config, names: Sequence[str]) -> list[str]:
    """Those of the fields that are not at their default, as options. Whether they were named does not tell: a run's own
    config.yaml names all."""
    fields: dict[str, Any] = dict(type(config).model_fields)
    return [f"--{name.replace('_', '-')}" for name in names if getattr(config, name) != fields[name].default]
