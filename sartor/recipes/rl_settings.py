"""The settings of reinforcement learning: sampling answers, rewarding them, making the better ones likelier."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from sartor.recipes.settings import TrainingConfig, changed


class RolloutSettings(TrainingConfig):
    """What PPO and GRPO have in common."""

    default_learning_rates: ClassVar = {"lora": 1e-4, "qlora": 1e-4}

    data: str = Field(description="prompts: a task folder, or JSONL, JSON, CSV or Parquet (also .gz, .zst)")
    base: str = Field("starter", description="model or run to start from, which is also the reference")
    dev: str | None = Field(None, description="held-out prompts; without them a share is held out by hash")
    adapter: Literal["lora", "qlora"] = Field(  # type: ignore[assignment]
        "lora", description="a low-rank adapter is trained, or the same on a 4-bit base"
    )
    reward: list[str] = Field(
        [],
        description="what is rewarded, as [WEIGHT*]KIND[:ARGUMENT]; several are added up: a run of `sartor reward`, a "
        "scorer (exact, numeric, …), length:N, finished, regex:PATTERN, schema:FILE, python:FILE:FUNCTION",
    )
    learning_rate: float | None = Field(None, gt=0, description="peak rate (default: 1e-4)")
    batch_rows: int = Field(8, ge=1, description="prompts that are answered before the model learns from the answers")
    answers: int = Field(8, ge=1, description="answers sampled to each prompt")
    max_new_tokens: int = Field(128, ge=1, description="tokens an answer may have; longer ones are cut off")
    temperature: float = Field(1.0, gt=0, description="of sampling, and of the log-probabilities that are learnt from")
    passes: int = Field(1, ge=1, description="how often the model learns from the answers before it samples new ones")
    minibatches: int = Field(1, ge=1, description="optimizer steps a pass: the prompts are dealt out among them")
    clip: float = Field(0.2, gt=0, description="bound of the change of an answer's token in one batch, up and down")
    clip_high: float | None = Field(None, gt=0, description="another bound upwards (default: as --clip)")
    unfinished_penalty: float = Field(0.0, ge=0, description="taken off the reward of answers that did not end")
    epochs: float = Field(1.0, gt=0, description="how often every prompt is answered")
    evaluation_prompts: int = Field(64, ge=1, description="held-out prompts that are answered at each evaluation")
    traced_answers: int = Field(2, ge=0, description="answers a batch that are kept token by token in traces.jsonl")
    patience: int | None = Field(None, ge=1, description="stop after so many evaluations without a better one")
    schedule: Literal["cosine", "linear", "wsd", "constant"] = Field("linear", description="how the rate falls")

    @model_validator(mode="after")
    def _prompts_for_each_minibatch(self) -> Self:
        if self.minibatches > self.batch_rows:
            raise ValueError("--minibatches deals out whole prompts, and --batch-rows is smaller")
        return self

    @model_validator(mode="after")
    def _nothing_is_dropped_out(self) -> Self:
        if self.lora_dropout:
            raise ValueError("--lora-dropout has no place here: learning begins at what sampling said, without dropout")
        return self

    def schedule_batches(
        self, batches_per_epoch: int, batch_seconds: float, evaluation_seconds: float
    ) -> tuple[int, int]:
        """How many batches of answers are learnt from, and after how many of them comes an evaluation. With
        `max_minutes`, evaluations and the last measurement take at most a fifth of the time."""
        batches, evaluations = max(1, round(self.epochs * batches_per_epoch)), self.evaluations
        if self.max_minutes is not None:
            allowed = self.max_minutes * 60
            evaluations = max(1, min(evaluations, int(0.2 * allowed / evaluation_seconds) - 1))
            batches = min(batches, max(1, int((allowed - (evaluations + 1) * evaluation_seconds) / batch_seconds)))
        return batches, max(1, -(-batches // evaluations))


class PpoSettings(RolloutSettings):
    """Proximal policy optimisation with a value function (1707.06347; details as in 2403.17031)."""

    answers: int = Field(1, ge=1, description="answers sampled to each prompt")
    batch_rows: int = Field(32, ge=1, description="prompts that are answered before the model learns from the answers")
    passes: int = Field(4, ge=1, description="how often the model learns from the answers before it samples new ones")
    unfinished_penalty: float = Field(1.0, ge=0, description="taken off the reward of answers that did not end")
    kl_coefficient: float = Field(
        0.05, ge=0, description="penalty in the reward for each nat that a token is likelier than in the reference"
    )
    kl_target: float | None = Field(
        None, gt=0, description="nats an answer: adapt the penalty so that answers stay about so far from the reference"
    )
    kl_horizon: float = Field(10_000.0, gt=0, description="answers in which the penalty adapts (with --kl-target)")
    normalise_reward: bool = Field(False, description="shift and scale rewards to mean 0 and variance 1 as they come")
    whiten_advantages: bool = Field(True, description="shift and scale a batch's advantages likewise")
    discount: float = Field(1.0, gt=0, le=1, description="what a reward a token later is worth")
    gae_decay: float = Field(
        0.95, ge=0, le=1, description="between what followed (1) and what the value function says (0)"
    )
    value_coefficient: float = Field(0.1, gt=0, description="weight of the value function's loss")
    value_clip: float = Field(0.2, gt=0, description="bound of a value's change in one batch")
    entropy_coefficient: float = Field(0.0, ge=0, description="reward for staying undecided, by nat and token")

    @model_validator(mode="after")
    def _penalty_can_adapt(self) -> Self:
        if self.kl_target is None and changed(self, ["kl_horizon"]):
            raise ValueError("--kl-horizon has no effect without --kl-target")
        if self.kl_target is not None and self.kl_coefficient == 0:
            raise ValueError("--kl-target adapts the penalty from --kl-coefficient, and 0 stays 0")
        return self


class GrpoSettings(RolloutSettings):
    """Group-relative policy optimisation (2402.03300) and its kin."""

    answers: int = Field(8, ge=2, description="answers sampled to each prompt, which are compared with one another")
    baseline: Literal["mean", "leave_one_out"] = Field(
        "mean",
        description="what an answer is compared with: its group's mean, or that of the others (RLOO, with scale none)",
    )
    scale: Literal["group", "batch", "none"] = Field(
        "group", description="advantages are divided by the deviation of the group's or batch's rewards or not"
    )
    normalise: Literal["tokens", "answers", "constant"] = Field(
        "tokens", description="every token counts alike (DAPO), or every answer (GRPO), or as in Dr. GRPO (constant)"
    )
    kl_coefficient: float = Field(
        0.02, ge=0, description="weight of the divergence from the reference in the loss; 0 does not hold it"
    )

    @model_validator(mode="after")
    def _others_are_not_scaled(self) -> Self:
        if self.baseline == "leave_one_out" and self.scale != "none":
            what = "--baseline leave_one_out is not divided by a deviation"
            raise ValueError(f"{what}: give --scale none, not {self.scale}")
        return self
