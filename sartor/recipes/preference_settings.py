"""The settings of training on preference pairs: a reward model, and preference optimisation."""

from typing import ClassVar, Literal

from pydantic import Field

from sartor.recipes.settings import RowsConfig

PreferenceLoss = Literal["sigmoid", "ipo", "hinge", "simpo", "orpo", "kto"]


class PairConfig(RowsConfig):
    """Training on pairs of answers, of which one is preferred."""

    data: str = Field(description="preference pairs: JSONL, JSON, CSV or Parquet (also .gz, .zst)")
    dev: str | None = Field(None, description="held-out pairs; without them a share is held out by hash of the prompt")
    batch_rows: int = Field(16, ge=1, description="pairs per optimizer step")
    max_row_tokens: int = Field(
        2048, ge=8, description="pairs with a longer row (than this or the model's own limit) are left out"
    )
    epochs: float = Field(1.0, gt=0, description="how often every pair is seen")


class RewardSettings(PairConfig):
    """A model that scores answers."""

    default_learning_rates: ClassVar = {"lora": 3e-4, "qlora": 3e-4}

    adapter: Literal["lora", "qlora"] = Field(  # type: ignore[assignment]
        "lora", description="a low-rank adapter, or the same on a 4-bit base, is trained beside the scoring head"
    )
    learning_rate: float | None = Field(None, gt=0, description="peak rate (default: 3e-4)")
    centering: float = Field(
        0.01, ge=0, description="weight of the squared sum of a pair's rewards, which keeps their mean at zero"
    )


class DpoSettings(PairConfig):
    """Preference optimisation."""

    default_learning_rates: ClassVar = {"lora": 1e-4, "qlora": 1e-4, "none": 1e-6}

    base: str = Field("starter", description="model or run to start from, which is also the reference")
    learning_rate: float | None = Field(
        None, gt=0, description="peak rate (default: 1e-4 for an adapter, 1e-6 for full training)"
    )
    loss: PreferenceLoss = Field(
        "sigmoid",
        description="sigmoid is DPO; ipo, hinge (SLiC); simpo and orpo need no reference; kto learns from answers "
        "that were rated one by one (prompt, completion, label)",
    )
    beta: float = Field(
        0.1, gt=0, description="how strongly it is held to the reference (simpo, orpo: the loss's scale)"
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=0.5, description="share of pairs taken to be labelled the wrong way round (sigmoid, simpo)"
    )
    target_margin: float = Field(0.5, ge=0, description="by how much the chosen answer is to lead (simpo)")
    length_normalised: bool = Field(
        False, description="divide log-probabilities by the answer's tokens (sigmoid, ipo, hinge)"
    )
    supervised_weight: float = Field(
        0.0, ge=0, description="weight of the chosen answer's own loss, which keeps it likely"
    )
    desirable_weight: float = Field(1.0, gt=0, description="weight of desirable answers (kto)")
    undesirable_weight: float = Field(1.0, gt=0, description="weight of the others (kto)")
