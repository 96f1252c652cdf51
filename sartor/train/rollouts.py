"""Batches of reinforcement learning: the policy answers prompts, the answers are rewarded, and are learnt from for a
few optimizer steps before the policy, changed by then, answers the next prompts.

Everything is a function of seed, step and weights, so a run that goes on samples what it would have sampled.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sartor.data.batches import StepOrder
from sartor.data.chat import Rendered
from sartor.data.packing import Batch
from sartor.data.prompts import Prompt
from sartor.generation.groups import Answer
from sartor.generation.protocol import Sampling
from sartor.train.actors import Actors
from sartor.train.episodes import (
    AnswerGroup,
    Episode,
    EpisodeBatch,
    PackedAnswers,
    answer_groups_of,
    answer_row,
    episodes_of,
    episodes_state,
    joined,
)
from sartor.train.estimates import Estimate, Sampled
from sartor.train.objectives.policy import Normalise, token_weights
from sartor.train.rewards.protocol import Answered
from sartor.train.rewards.weighted import SumOfRewards
from sartor.train.traces import Trace, TraceLog, token_texts

METRIC = "metric:"
LARGE_PRIME = 1_000_003
FEWEST_LOOKED_AT = 2


@dataclass(frozen=True)
class AskedPrompt:
    """A prompt and the ids that ask it."""

    prompt: Prompt
    ids: list[int]

    @property
    def num_tokens(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class RolloutSizes:
    """Sizes of a batch of answers and of what is done with it; as the settings of the recipes say."""

    prompts: int
    answers: int
    passes: int
    minibatches: int
    micro_batch_tokens: int
    max_new_tokens: int
    temperature: float
    unfinished_penalty: float
    normalise: Normalise
    holds_reference: bool
    traced_answers: int
    seed: int

    @property
    def steps_per_batch(self) -> int:
        return self.passes * self.minibatches

    @property
    def looked_at(self) -> int:
        """Answers whose log-probabilities are computed to be told, where learning does without them."""
        return max(self.traced_answers, FEWEST_LOOKED_AT)


class RolloutSource:
    """The micro-batches of each optimizer step; samples anew every `steps_per_batch` steps."""

    def __init__(
        self,
        actors: Actors,
        prompts: Sequence[AskedPrompt],
        rewards: SumOfRewards,
        estimate: Estimate,
        settings: RolloutSizes,
        traces: TraceLog | None = None,
    ):
        self.actors, self.prompts, self.rewards, self.estimate = actors, list(prompts), rewards, estimate
        self.settings, self.traces = settings, traces
        self.order = StepOrder(len(self.prompts), settings.prompts, settings.seed)
        self.episodes: list[Episode] = []
        self._metrics: dict[str, float] = {}

    @property
    def steps_per_epoch(self) -> int:
        return self.order.steps_per_epoch * self.settings.steps_per_batch

    def step(self, step: int) -> list[EpisodeBatch]:
        """The micro-batches of 0-based optimizer step `step`; samples the answers where a new batch begins."""
        batch, place = divmod(step, self.settings.steps_per_batch)
        if place == 0:
            self._sample(batch, step)
        turn, minibatch = divmod(place, self.settings.minibatches)
        chosen = self._minibatch(batch, turn, minibatch, [each.prompt for each in self.episodes])
        rows = [self.episodes[index].row for index in chosen]
        num_tokens = sum(row.num_trained for row in rows)
        batches = []
        for groups in self._groups(rows, [self.episodes[index].prompt for index in chosen]):
            packed = PackedAnswers.of(groups)
            own = [self.episodes[chosen[place]] for place in packed.order]
            batches += self._micro_batches(packed.batch, own, num_tokens, len(rows))
        return batches

    def metrics(self) -> dict[str, float]:
        return self._metrics

    def state(self) -> dict[str, Tensor]:
        """The answers that are still learnt from, and what the coming ones are judged by."""
        if self.traces is not None:
            self.traces.sync()
        numbers = {METRIC + name: torch.tensor(value, dtype=torch.float64) for name, value in self._metrics.items()}
        return {**episodes_state(self.episodes), **numbers, **self.estimate.state()}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        state = dict(tensors)
        self.episodes = episodes_of(state)
        self._metrics = {
            name.removeprefix(METRIC): float(value) for name, value in sorted(state.items()) if name.startswith(METRIC)
        }
        self.estimate.load_state(state)

    # --- sampling -------------------------------------------------------------------------------------------------

    def _sample(self, batch: int, step: int) -> None:
        settings = self.settings
        asked = [self.prompts[index] for index in self.order.indices(batch)]
        seeds = [[answer_seed(settings.seed, batch, place, index) for index in range(settings.answers)]
                 for place in range(len(asked))]  # fmt: skip
        found = answered(self.actors, asked, seeds, settings.max_new_tokens, self.rewards)
        lengths = [row.num_trained for row in found.rows]
        seen = self._looked_at(batch, found)
        # Where learning does without them, the sampler's own are taken: the trainer's differ from them by rounding.
        log_probs = [
            seen.policy.get(index, torch.tensor(answer.log_probs)) for index, answer in enumerate(found.answers)
        ]
        held = [seen.reference[index] for index in range(len(found.rows))] if self.settings.holds_reference else None
        values = [seen.values[index] for index in range(len(found.rows))] if seen.values else None
        penalty = torch.tensor([0.0 if each.finished else settings.unfinished_penalty for each in found.answered])
        scores = torch.tensor(found.scores) - penalty
        sampled = Sampled(
            scores,
            torch.zeros(sum(lengths)) if held is None else joined(log_probs) - joined(held),
            lengths,
            None if values is None else joined(values),
        )
        estimated = self.estimate(sampled)
        advantages = estimated.advantages.split(lengths)
        returns = None if estimated.returns is None else estimated.returns.split(lengths)
        self.episodes = [
            Episode(
                row,
                found.prompts[index],
                found.scores[index],
                found.answered[index].finished,
                log_probs[index],
                None if held is None else held[index],
                advantages[index],
                None if values is None else values[index],
                None if returns is None else returns[index],
            )
            for index, row in enumerate(found.rows)
        ]
        apart = [own - torch.tensor(found.answers[index].log_probs) for index, own in seen.policy.items()]
        gaps = joined(apart).abs()
        kls = {index: float((log_probs[index] - own).sum()) for index, own in seen.reference.items()}
        metrics = {
            **found.measures(),
            "kl": statistics.fmean(kls.values()),
            "entropy": -float(joined(log_probs).mean()),  # of samples at this temperature -log p has it as its mean
            "log_prob_gap": float(gaps.max()),
            "log_prob_gap_mean": float(gaps.mean()),
            **estimated.metrics,
        }
        self._metrics = dict(sorted(metrics.items()))  # a saved state has no other order
        self._trace(step, asked, estimated.rewards.split(lengths), seen.reference, kls)

    def _looked_at(self, batch: int, found: "AnsweredPrompts") -> "LookedAt":
        """What policy, reference and value function say of the answers, as far as learning needs it: of all answers,
        computed in the very micro-batches of the first pass, so that the first update begins at ratio 1. What is only
        to be told, such as how far the policy is from a reference that nothing holds it to, is computed of a few."""
        settings, actors = self.settings, self.actors
        chosen = [self._minibatch(batch, 0, place, found.prompts) for place in range(settings.minibatches)]
        few = [list(range(min(settings.looked_at, len(found.rows))))]
        has_values = actors.value_head is not None
        several_steps = settings.steps_per_batch > 1 or has_values
        return LookedAt(
            self._computed(found, chosen if several_steps else few, actors.policy_log_probs),
            self._computed(found, chosen if settings.holds_reference else few, actors.reference_log_probs),
            self._computed(found, chosen, actors.values) if has_values else {},
        )

    def _computed(
        self, found: "AnsweredPrompts", parts: Sequence[Sequence[int]], compute: Callable[[Batch], Tensor]
    ) -> dict[int, Tensor]:
        """A column of each answer of the `parts`, whose micro-batches hold no answers of two parts."""
        device = next(self.actors.model.parameters()).device
        computed: dict[int, Tensor] = {}
        for chosen in parts:
            rows = [found.rows[index] for index in chosen]
            for groups in self._groups(rows, [found.prompts[index] for index in chosen]):
                packed = PackedAnswers.of(groups)
                column = compute(packed.batch.to(device)).cpu()
                own = column.split([rows[place].num_trained for place in packed.order])
                computed |= {chosen[place]: each for place, each in zip(packed.order, own, strict=True)}
        return computed

    def _trace(
        self,
        step: int,
        asked: Sequence[AskedPrompt],
        rewards: Sequence[Tensor],
        reference: Mapping[int, Tensor],
        kls: Mapping[int, float],
    ) -> None:
        if self.traces is None:
            return
        decode = self.actors.chat.decode
        traced = list(zip(self.episodes, rewards, strict=True))[: self.settings.traced_answers]
        for index, (episode, own) in enumerate(traced):
            trace = Trace(
                step=step + 1,
                prompt=decode(asked[episode.prompt].ids),
                tokens=token_texts(decode, episode.row.ids[-episode.length :]),
                log_probs=episode.log_probs.tolist(),
                reference_log_probs=reference[index].tolist(),
                advantages=episode.advantages.tolist(),
                rewards=own.tolist(),
                values=None if episode.values is None else episode.values.tolist(),
                score=episode.score,
                finished=episode.finished,
                kl=kls[index],
                where=episode.row.where,
            )
            self.traces.append([trace])

    # --- learning -------------------------------------------------------------------------------------------------

    def _minibatch(self, batch: int, turn: int, minibatch: int, prompts: Sequence[int]) -> list[int]:
        """Indices of the answers that optimizer step `minibatch` of pass `turn` learns from: whole prompts. A batch of
        fewer prompts than minibatches (the last of an epoch) goes round again, so that no step is without answers."""
        if self.settings.minibatches == 1:
            return list(range(len(prompts)))
        different = sorted(set(prompts))
        draw = np.random.Generator(np.random.Philox([self.settings.seed, batch, turn]))
        order = draw.permutation(len(different))
        parts = min(self.settings.minibatches, len(different))
        taken = {different[int(index)] for index in order[minibatch % parts :: parts]}
        return [index for index, prompt in enumerate(prompts) if prompt in taken]

    def _groups(self, rows: Sequence[Rendered], prompts: Sequence[int]) -> list[list[AnswerGroup]]:
        return answer_groups_of(rows, prompts, self.settings.micro_batch_tokens)

    def _micro_batches(
        self, batch: Batch, episodes: Sequence[Episode], num_tokens: int, num_answers: int
    ) -> list[EpisodeBatch]:
        lengths = [each.length for each in episodes]
        weights = token_weights(lengths, self.settings.normalise, num_tokens, num_answers, self.settings.max_new_tokens)
        several_steps = self.settings.steps_per_batch > 1 or episodes[0].values is not None
        batches = [
            EpisodeBatch(
                batch,
                joined([each.log_probs for each in episodes]) if several_steps else None,
                weights,
                num_tokens,
                advantages=joined([each.advantages for each in episodes]),
                reference=joined([each.reference for each in episodes]) if self.settings.holds_reference else None,
            )
        ]
        if episodes[0].values is not None:
            values, returns = ([getattr(each, name) for each in episodes] for name in ("values", "returns"))
            even = torch.full((sum(lengths),), 1.0 / num_tokens)
            batches.append(EpisodeBatch(batch, joined(values), even, num_tokens, returns=joined(returns)))
        return batches


@dataclass(frozen=True)
class LookedAt:
    """By the answer's index: log-probabilities under policy and reference, values (none without a value function)."""

    policy: dict[int, Tensor]
    reference: dict[int, Tensor]
    values: dict[int, Tensor]


@dataclass(frozen=True)
class AnsweredPrompts:
    """Answers, prompt by prompt: `rows` hold prompt and answer, `prompts` say which prompt of those asked."""

    answers: list[Answer]
    answered: list[Answered]
    rows: list[Rendered]
    prompts: list[int]
    scores: list[float]
    parts: dict[str, list[float]]

    def measures(self) -> dict[str, float]:
        """Means over the answers."""
        parts = {f"reward_{name}": statistics.fmean(own) for name, own in self.parts.items()}
        return {
            "reward": statistics.fmean(self.scores),
            "reward_deviation": statistics.pstdev(self.scores),
            **(parts if len(parts) > 1 else {}),
            "answer_tokens": statistics.fmean(each.num_tokens for each in self.answered),
            "finished_share": statistics.fmean(each.finished for each in self.answered),
        }


def answered(
    actors: Actors,
    asked: Sequence[AskedPrompt],
    seeds: Sequence[Sequence[int]],
    max_new_tokens: int,
    rewards: SumOfRewards,
) -> AnsweredPrompts:
    """Sample an answer to each prompt for each of its seeds, and reward it."""
    samplings = [
        [Sampling(max_new_tokens=max_new_tokens, temperature=actors.temperature, seed=seed) for seed in own]
        for own in seeds
    ]
    groups = actors.sample([each.ids for each in asked], samplings)
    answers = [answer for group in groups for answer in group]
    prompts = [place for place, group in enumerate(groups) for _ in group]
    found = [
        Answered(
            asked[place].prompt.messages,
            actors.chat.decode(answer.token_ids),
            asked[place].prompt.answers,
            len(answer.token_ids),
            answer.finished,
            asked[place].prompt.where,
        )
        for place, answer in zip(prompts, answers, strict=True)
    ]
    rows = [
        answer_row([*asked[place].ids, *answer.token_ids], len(answer.token_ids), asked[place].prompt.where)
        for place, answer in zip(prompts, answers, strict=True)
    ]
    parts = rewards.parts(found)
    return AnsweredPrompts(answers, found, rows, prompts, rewards.total(parts), parts)


def answer_seed(seed: int, batch: int, prompt: int, answer: int) -> int:
    """Another one for every answer of a run, the same whenever the run is repeated."""
    mixed = seed
    for number in (batch, prompt, answer):
        mixed = mixed * LARGE_PRIME + number
    return mixed
