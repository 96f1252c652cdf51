"""The common course of reinforcement learning: prompts, roles, rollouts, loop, result, report."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn
from transformers import PreTrainedModel

import sartor
from sartor.adapters.roles import role_layers
from sartor.adapters.store import adapter_files, read_settings
from sartor.base.console import say
from sartor.base.device import device
from sartor.base.distributed import world_size
from sartor.base.errors import UsageError
from sartor.base.run_folder import RunFolder
from sartor.base.sinks import SinkName, feeding, require_sinks
from sartor.data.chat import ChatFormat
from sartor.evaluation.statistics import unbounded_difference
from sartor.generation.local import context_tokens
from sartor.models.hub import lasting_name, load_tokenizer
from sartor.recipes.planning import Plan
from sartor.recipes.rl_model import Start, build_actors, build_model, build_rewards
from sartor.recipes.rl_prompts import PreparedPrompts, prepare_prompts
from sartor.recipes.rl_settings import RolloutSettings
from sartor.recipes.same_rows import check_rows, keep_rows_mark, rows_mark
from sartor.recipes.training import (
    RESULT_FILE,
    check_run,
    finished_result,
    keep_rejects,
    loop_settings,
    open_run,
    refuse_adapter_settings,
)
from sartor.train.actors import POLICY, Actors
from sartor.train.checkpoint import Checkpoints
from sartor.train.estimates import Estimate
from sartor.train.loop import LossOf, evaluation_mode, fit, training_mode
from sartor.train.objectives.policy import Normalise
from sartor.train.rewards.weighted import SumOfRewards
from sartor.train.rl_loss import RolloutLoss
from sartor.train.rollouts import RolloutSizes, RolloutSource, answer_seed, answered
from sartor.train.run_report import write_run_report
from sartor.train.traces import TraceLog

HELD_OUT_FILE = "held_out_rewards.json"
HELD_OUT_DRAWS = 2**31  # apart from every batch's: the same draws at each evaluation
LAST_DRAWS = HELD_OUT_DRAWS + 1  # which had no part in choosing the weights


@dataclass(frozen=True)
class Method:
    """What PPO and GRPO differ in. `estimate()` makes a new one, as it changes from batch to batch. `holds_reference`:
    its rewards or its loss hold the policy to the reference."""

    name: str
    with_value: bool
    holds_reference: bool
    normalise: Normalise
    estimate: Callable[[], Estimate]
    loss: Callable[[Actors], RolloutLoss]


@dataclass(frozen=True)
class RolloutResult:
    """What a run came to. Rewards are means over the held-out prompts; `dev_reward` is of answers that the kept weights
    give once more, since the evaluations that chose them flatter them. `difference` is after - before with its limits
    at 95 % confidence, over the same prompts (a single prompt has no limits)."""

    out: Path
    trained: Path
    steps: int
    best_step: int
    dev_reward_before: float
    dev_reward: float
    difference: tuple[float, float | None, float | None]
    stopped_early: bool
    seconds: float
    quality: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {name: str(value) if isinstance(value, Path) else value for name, value in vars(self).items()}

    def gain(self) -> str:
        """The difference and its limits for people."""
        gained, low, high = self.difference
        limits = "of a single prompt" if low is None else f"95 % interval {low:+.3f} to {high:+.3f}"
        return f"{gained:+.3f} ({limits})"


class HeldOut:
    """Answers the held-out prompts, with the same draws at each evaluation, and measures them."""

    def __init__(self, actors: Actors, prepared: PreparedPrompts, rewards: SumOfRewards, config: RolloutSettings):
        self.actors, self.prompts, self.rewards, self.config = actors, prepared.dev, rewards, config
        self.scores: list[float] = []

    def __call__(self, model: nn.Module) -> dict[str, float]:
        return self._measured(HELD_OUT_DRAWS)

    def once_more(self) -> dict[str, float]:
        """The same with other draws: the best of several evaluations owes part of its lead to the luck of its own."""
        return self._measured(LAST_DRAWS)

    def _measured(self, draws: int) -> dict[str, float]:
        seeds = [[answer_seed(self.config.seed, draws, place, 0)] for place in range(len(self.prompts))]
        found = answered(self.actors, self.prompts, seeds, self.config.max_new_tokens, self.rewards)
        self.scores = found.scores
        return {f"dev_{name}": value for name, value in found.measures().items()}


@dataclass(frozen=True)
class Parts:
    """All that a run is put together from, before it has a folder."""

    config: RolloutSettings
    start: Start
    model: PreTrainedModel
    prepared: PreparedPrompts
    rewards: SumOfRewards
    actors: Actors

    @staticmethod
    def of(config: RolloutSettings, method: Method) -> "Parts":
        """Load, read and check everything."""
        start = Start.of(config)
        if start.location.adapter is not None:
            refuse_adapter_settings(config)
        chat = ChatFormat(load_tokenizer(start.location.folder))
        model = build_model(config, start, method.with_value)
        prepared = prepare_prompts(config, chat, context_tokens(model))
        rewards = build_rewards(config, start, model, chat, prepared.usual_rewards)
        for each in (*prepared.train, *prepared.dev):
            rewards.check(each.prompt.answers, each.prompt.where)
        return Parts(config, start, model, prepared, rewards, build_actors(config, start, model, chat))

    def files(self) -> dict[str, bytes]:
        """The policy's adapter folder, which names the whole model that it belongs to."""
        own = self.start.location.adapter
        base_name = lasting_name(self.config.base) if own is None else read_settings(own)[1]
        settings = self.start.policy_settings(self.config)
        return adapter_files(self.model, settings, base_name, role_layers(self.model, POLICY))


def run_method(config: RolloutSettings, method: Method, out: str, sinks: list[SinkName]) -> RolloutResult:
    """Learn as configured. A finished run is returned as it is, an interrupted one goes on."""
    if world_size() > 1:
        raise UsageError("answers are sampled in one process", hint="start it without torchrun")
    check_run(config, out)
    if (known := finished_result(Path(out))) is not None:
        known["difference"] = tuple(known["difference"])
        return RolloutResult(out=Path(out), trained=Path(out) / "adapter", **known)
    require_sinks(sinks)
    parts = Parts.of(config, method)
    model, actors, prepared = parts.model, parts.actors, parts.prepared
    rows = rows_mark(prepared, actors.chat)
    check_rows(rows, out)
    evaluate, loss = HeldOut(actors, prepared, parts.rewards, config), method.loss(actors)

    with open_run(config, out) as folder:
        keep_rows_mark(rows, folder)
        keep_rejects(prepared.bad_rows, folder)
        folder.write_json("certificate.json", {**prepared.certificate, "rewards": parts.rewards.weights})
        with TraceLog(folder.path) as traces:

            def make(log: TraceLog | None) -> RolloutSource:
                sizes = rollout_sizes(config, method)
                return RolloutSource(actors, prepared.train, parts.rewards, method.estimate(), sizes, log)

            plan = _plan(folder, model, make, loss, evaluate, config)
            source = make(traces)
            say(
                f"{plan.num_steps} steps, {source.settings.steps_per_batch} for each batch of "
                f"{config.batch_rows * config.answers} answers; held-out reward before: {plan.before['dev_reward']:.3f}"
            )
            traces.rewind(_last_step(folder))
            with feeding(sinks, folder, config.model_dump()):
                checkpoints = Checkpoints(folder)
                settings = loop_settings(config, plan, "dev_reward")
                fitted = fit(model, source, loss, settings, evaluate, checkpoints)
                checkpoints.close()
        with evaluation_mode(model):
            last = evaluate.once_more()
        before = folder.read_json(HELD_OUT_FILE)["before"]
        folder.write_json(HELD_OUT_FILE, {"before": before, "after": evaluate.scores})
        folder.write_folder("adapter", parts.files())
        result = RolloutResult(
            folder.path,
            folder.path / "adapter",
            fitted.steps,
            fitted.best_step,
            plan.before["dev_reward"],
            last["dev_reward"],
            _difference(evaluate.scores, before),
            fitted.stopped_early,
            fitted.seconds,
            {name.removeprefix("dev_"): value for name, value in last.items()},
        )
        folder.write_text("README.md", _model_card(config, method, prepared, result))
        folder.write_json(
            RESULT_FILE, {name: value for name, value in result.as_dict().items() if name not in ("out", "trained")}
        )
        write_run_report(folder)
        return result


def _difference(after: list[float], before: list[float]) -> tuple[float, float | None, float | None]:
    mean, low, high = unbounded_difference(after, before)
    return (mean, low, high) if math.isfinite(low) else (mean, None, None)


def rollout_sizes(config: RolloutSettings, method: Method) -> RolloutSizes:
    return RolloutSizes(
        prompts=config.batch_rows,
        answers=config.answers,
        passes=config.passes,
        minibatches=config.minibatches,
        micro_batch_tokens=config.micro_batch_tokens,
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        unfinished_penalty=config.unfinished_penalty,
        normalise=method.normalise,
        holds_reference=method.holds_reference,
        traced_answers=config.traced_answers,
        seed=config.seed,
    )


def _plan(
    folder: RunFolder,
    model: nn.Module,
    make: Callable[[TraceLog | None], RolloutSource],
    loss: LossOf,
    evaluate: HeldOut,
    config: RolloutSettings,
) -> Plan:
    """Steps for the epochs asked for, in whole batches of answers, or as many as `max_minutes` allows at the speed of
    a batch that is tried and forgotten. Decided once and kept, with the rewards of the untrained policy."""
    if (folder.path / "plan.json").is_file():
        return Plan(**folder.read_json("plan.json"))
    with evaluation_mode(model):
        began = time.monotonic()
        before = evaluate(model)
        evaluation_seconds = time.monotonic() - began
    folder.write_json(HELD_OUT_FILE, {"before": evaluate.scores})
    source = make(None)
    per_batch = source.settings.steps_per_batch
    batch_seconds = 0.0 if config.max_minutes is None else _try_batch(model, source, loss)
    batches, every = config.schedule_batches(source.order.steps_per_epoch, batch_seconds, evaluation_seconds)
    evaluations = -(-batches // every) + 1  # one more at the end
    seconds = batches * batch_seconds + evaluations * evaluation_seconds if batch_seconds else 0.0
    plan = Plan(batches * per_batch, every * per_batch, seconds, before)
    folder.write_json("plan.json", vars(plan))
    return plan


def _try_batch(model: nn.Module, source: RolloutSource, loss: LossOf) -> float:
    """Seconds of sampling a batch of answers and of all optimizer steps on it, without updates."""
    began = time.monotonic()
    with training_mode(model):
        batches = source.step(0)
        sampled = time.monotonic()
        for batch in batches:
            share, _ = loss(model, batch.to(device()), 1)
            share.backward()  # type: ignore[no-untyped-call]
    model.zero_grad(set_to_none=True)
    return sampled - began + (time.monotonic() - sampled) * source.settings.steps_per_batch


def _last_step(folder: RunFolder) -> int:
    """The step of the newest checkpoint; traces of later steps are sampled again."""
    found = folder.newest_checkpoint()
    return 0 if found is None else found.step


def _model_card(config: RolloutSettings, method: Method, prepared: PreparedPrompts, result: RolloutResult) -> str:
    """README.md of the run."""
    return f"""# Adapter made from {config.base}

Trained with {method.name} by Sartor {sartor.__version__} on {len(prepared.train):,} prompts of \
`{Path(config.data).name}`.

| mean reward of {len(prepared.dev)} held-out prompts | before | after | difference |
|---|---|---|---|
| | {result.dev_reward_before:.3f} | {result.dev_reward:.3f} | {result.gain()} |

{result.steps} steps, the best at step {result.best_step}\
{" (stopped early)" if result.stopped_early else ""}; all settings in `config.yaml`, sampled answers token by token in
`traces.jsonl`, every step in `metrics.jsonl`.

The folder `adapter/` is in PEFT's layout. Licences of the base model and of the prompts apply.
"""
