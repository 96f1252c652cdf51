"""Reinforcement learning in small: a batch of answers at its worst and one as it comes, an evaluation, a checkpoint and
the result, each done as the run does it.

    python -m sartor.recipes.rl_measuring FOLDER

reads FOLDER/request.json and leaves FOLDER/measured.json (see `sartor.recipes.rl_plan`).
"""

import copy
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sartor.base.device import device, memory
from sartor.base.peak_memory import PeakMemory
from sartor.base.run_folder import RunFolder
from sartor.recipes.measuring import WatchedCheckpoints, answer, folder_bytes
from sartor.recipes.planning import Plan
from sartor.recipes.rl import HeldOut, Method, Parts, rollout_sizes
from sartor.recipes.rl_methods import grpo_method, ppo_method
from sartor.recipes.rl_plan import SETTINGS, BatchSeconds, MeasuredRollouts
from sartor.recipes.rl_settings import RolloutSettings
from sartor.recipes.training import loop_settings
from sartor.train.episodes import EpisodeBatch
from sartor.train.loop import fit
from sartor.train.optimizer import trainable_parameters
from sartor.train.rollouts import RolloutSource

METHODS: dict[str, Any] = {"ppo": ppo_method, "grpo": grpo_method}


class TrialSource:
    """The first pass of the worst batch, then that of the usual one."""

    def __init__(self, worst: RolloutSource, usual: RolloutSource, peak: PeakMemory):
        self.sources, self.peak = (worst, usual), peak
        self.per_batch = usual.settings.minibatches
        self.sampling_seconds: list[float] = []
        self.marks: list[float] = []  # when the learning of each batch began, and when the last one's ended
        self.answer_tokens: list[int] = []

    @property
    def num_steps(self) -> int:
        return len(self.sources) * self.per_batch

    def step(self, step: int) -> list[EpisodeBatch]:
        which, place = divmod(step, self.per_batch)
        source = self.sources[which]
        if place:
            return source.step(place)
        self.end_learning()
        begun = time.perf_counter()
        batches = source.step(0)
        self.sampling_seconds.append(time.perf_counter() - begun)
        self.answer_tokens.append(sum(each.length for each in source.episodes))
        self.peak.end("sampling")
        self.marks.append(time.perf_counter())
        return batches

    def end_learning(self) -> None:
        """Called when the steps of a batch are made, and once before the first."""
        if self.sampling_seconds:
            self.peak.end("learning")
            self.marks.append(time.perf_counter())

    def seconds(self, which: int) -> BatchSeconds:
        begun, ended = self.marks[2 * which : 2 * which + 2]
        return BatchSeconds(self.sampling_seconds[which], ended - begun, self.answer_tokens[which])

    def state(self) -> dict[str, Tensor]:
        return self.sources[1].state()

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        self.sources[1].load_state(tensors)

    def metrics(self) -> dict[str, float]:
        return self.sources[1].metrics()


class WatchedHeldOut(HeldOut):
    """Evaluates as the run does, and tells what it takes."""

    def watch(self, source: TrialSource, peak: PeakMemory) -> None:
        self.source, self.peak, self.seconds = source, peak, 0.0

    def __call__(self, model: nn.Module) -> dict[str, float]:
        self.source.end_learning()
        begun = time.perf_counter()
        measured = super().__call__(model)
        self.seconds = time.perf_counter() - begun
        self.peak.end("evaluation")
        return measured


def measure(config: RolloutSettings, method: Method, began: float, folder: Path) -> MeasuredRollouts:
    """Do in small what the run would do, in the new `folder`. `began` is when the process was started (time.time)."""
    peak = PeakMemory(device())
    available = memory(device()).available_bytes + peak.now_bytes()
    parts = Parts.of(config, method)
    start_seconds = time.time() - began
    peak.end("start")
    source = TrialSource(worst_source(parts, method), _source(parts, method), peak)
    evaluate = WatchedHeldOut(parts.actors, parts.prepared, parts.rewards, config)
    evaluate.watch(source, peak)
    settings = loop_settings(config, Plan(source.num_steps, source.num_steps, 0.0, {}), "dev_reward")
    with RunFolder.create(folder) as run:
        checkpoints = WatchedCheckpoints(run, peak)
        fit(parts.model, source, method.loss(parts.actors), settings, evaluate, checkpoints)
        checkpoints.close()
        begun = time.perf_counter()
        run.write_folder("result", parts.files())
        result_seconds = time.perf_counter() - begun
        peak.end("result")
    return MeasuredRollouts(
        device=str(device()),
        parameters=sum(each.numel() for each in parts.model.parameters()),
        trained_parameters=sum(each.numel() for each in trainable_parameters(parts.model).values()),
        prompts=len(parts.prepared.train),
        held_out_prompts=parts.prepared.certificate["held_out_prompts"],
        batches_per_epoch=source.sources[1].order.steps_per_epoch,
        available_bytes=available,
        phases=peak.phases,
        worst=source.seconds(0),
        usual=source.seconds(1),
        start_seconds=start_seconds,
        evaluation_seconds=evaluate.seconds,
        checkpoint_seconds=checkpoints.seconds,
        result_seconds=result_seconds,
        checkpoint_bytes=folder_bytes(folder / "checkpoints"),
        result_bytes=folder_bytes(folder / "result"),
    )


def _source(parts: Parts, method: Method) -> RolloutSource:
    sizes = rollout_sizes(parts.config, method)
    return RolloutSource(parts.actors, parts.prepared.train, parts.rewards, method.estimate(), sizes)


def worst_source(parts: Parts, method: Method) -> RolloutSource:
    """The longest prompts, and answers that nothing ends before their full length."""
    config = parts.config
    longest = sorted(parts.prepared.train, key=lambda each: each.num_tokens)[-config.batch_rows :]
    actors = copy.copy(parts.actors)
    actors.chat = copy.copy(actors.chat)
    actors.chat.stop_ids = set()
    sizes = replace(rollout_sizes(config, method), prompts=len(longest))
    return RolloutSource(actors, longest, parts.rewards, method.estimate(), sizes)


def main(folder: Path) -> None:
    def measured(request: dict[str, Any]) -> MeasuredRollouts:
        config = SETTINGS[request["kind"]].model_validate(request["config"])
        return measure(config, METHODS[request["kind"]](config), request["began"], folder / "run")  # type: ignore[arg-type]

    answer(folder, measured)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
