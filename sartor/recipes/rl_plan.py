"""The plan of reinforcement learning: memory and time of a run, told from one batch of answers at its worst and one as
it comes, which are sampled, learnt from, evaluated and saved in a process of their own (`recipes/rl_measuring.py`)."""

from dataclasses import asdict, dataclass
from typing import Any

from sartor.recipes.measured import measured_apart
from sartor.recipes.rl_settings import GrpoSettings, PpoSettings, RolloutSettings

PROGRAM = "sartor.recipes.rl_measuring"
SETTINGS: dict[str, type[RolloutSettings]] = {"ppo": PpoSettings, "grpo": GrpoSettings}


@dataclass(frozen=True)
class BatchSeconds:
    """Seconds of a batch of answers: sampled, rewarded and looked at by all roles; learnt from once, in all steps of
    one pass. `answer_tokens` were sampled."""

    sampling: float
    learning: float
    answer_tokens: int


@dataclass(frozen=True)
class MeasuredRollouts:
    """What was done and what it took. `usual` is the run's first batch; `worst` answers the longest prompts with
    answers of full length. Bytes: `phases` are the peaks of start, sampling, learning, evaluation, checkpoint and
    result, `available` is what the process could have had when it began."""

    device: str
    parameters: int
    trained_parameters: int
    prompts: int
    held_out_prompts: int
    batches_per_epoch: int
    available_bytes: int
    phases: dict[str, int]
    worst: BatchSeconds
    usual: BatchSeconds
    start_seconds: float
    evaluation_seconds: float
    checkpoint_seconds: float
    result_seconds: float
    checkpoint_bytes: int
    result_bytes: int

    @property
    def peak_bytes(self) -> int:
        return max(self.phases.values())

    @staticmethod
    def of(raw: dict[str, Any]) -> "MeasuredRollouts":
        batches = {name: BatchSeconds(**raw[name]) for name in ("worst", "usual")}
        return MeasuredRollouts(**{**raw, **batches})


@dataclass(frozen=True)
class RolloutPlan:
    """`seconds` if all batches are as the usual one, `seconds_most` if all are as the worst: answers may grow while the
    policy learns. `measured` and all of the work are None when not even one batch fitted into memory."""

    fits: bool
    measured: MeasuredRollouts | None
    batches: int | None
    steps: int | None
    evaluations: int | None
    seconds: float | None
    seconds_most: float | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | ({} if self.measured is None else {"peak_bytes": self.measured.peak_bytes})


def plan_rollouts(config: RolloutSettings) -> RolloutPlan:
    """Try the run in small and tell the whole. SartorError as the run itself would raise it."""
    kind = next(kind for kind, settings in SETTINGS.items() if isinstance(config, settings))
    shared = {name: getattr(config, name) for name in SETTINGS[kind].model_fields}
    found = measured_apart(PROGRAM, {"kind": kind, "config": shared})
    if found is None:
        return RolloutPlan(False, None, None, None, None, None, None)
    return whole_run(config, MeasuredRollouts.of(found))


def whole_run(config: RolloutSettings, measured: MeasuredRollouts) -> RolloutPlan:
    """The whole run from what was measured."""
    usual, worst = (_seconds(config, each) for each in (measured.usual, measured.worst))
    batches, every = config.schedule_batches(measured.batches_per_epoch, usual, measured.evaluation_seconds)
    evaluations = -(-batches // every)
    apart = measured.start_seconds + measured.result_seconds + evaluations * measured.checkpoint_seconds
    apart += (evaluations + 2) * measured.evaluation_seconds  # before the first step and once more at the end
    tried = int(config.max_minutes is not None)
    return RolloutPlan(
        fits=measured.peak_bytes <= measured.available_bytes,
        measured=measured,
        batches=batches,
        steps=batches * config.passes * config.minibatches,
        evaluations=evaluations,
        seconds=apart + (batches + tried) * usual,
        seconds_most=apart + (batches + tried) * max(usual, worst),
    )


def _seconds(config: RolloutSettings, batch: BatchSeconds) -> float:
    return batch.sampling + config.passes * batch.learning
