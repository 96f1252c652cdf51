"""The loss of a micro-batch of sampled answers, for the policy and for the value function."""

from dataclasses import dataclass

from torch import Tensor, nn

from sartor.models.heads import Head, token_entropies, token_log_probs
from sartor.train.actors import POLICY, VALUE, Actors
from sartor.train.episodes import EpisodeBatch
from sartor.train.log_probs import batch_states
from sartor.train.objectives.policy import policy_loss
from sartor.train.objectives.value import clipped_value_loss
from sartor.train.row_scores import token_values


@dataclass(frozen=True)
class RolloutLoss:
    """Clipped surrogate, penalty and entropy bonus of the policy; clipped error of the value function."""

    actors: Actors
    clip_low: float
    clip_high: float
    penalty_coefficient: float = 0.0
    entropy_coefficient: float = 0.0
    value_coefficient: float = 0.0
    value_clip: float = 0.2

    def __call__(self, model: nn.Module, batch: EpisodeBatch, num_units: int) -> tuple[Tensor, dict[str, float]]:
        """The roles are set, not lent: activation checkpointing computes them again in the backward pass."""
        return self._policy(model, batch) if batch.of_policy else self._value(model, batch)

    def _policy(self, model: nn.Module, batch: EpisodeBatch) -> tuple[Tensor, dict[str, float]]:
        assert batch.advantages is not None
        self.actors.act(POLICY)
        head = Head.of(model)  # type: ignore[arg-type]
        states = batch_states(model, batch.rows)[batch.rows.sources]
        log_probs = token_log_probs(states, head, batch.rows.targets, self.actors.temperature)
        loss, metrics = policy_loss(
            log_probs,
            log_probs if batch.old is None else batch.old,
            batch.advantages,
            batch.weights,
            self.clip_low,
            self.clip_high,
            batch.num_tokens_of_step,
            batch.reference,
            self.penalty_coefficient,
        )
        if self.entropy_coefficient:
            entropy = (batch.weights * token_entropies(states, head, self.actors.temperature)).sum()
            loss = loss - self.entropy_coefficient * entropy
            metrics["loss"] = float(loss.detach())
        return loss, metrics

    def _value(self, model: nn.Module, batch: EpisodeBatch) -> tuple[Tensor, dict[str, float]]:
        assert batch.returns is not None and batch.old is not None and self.actors.value_head is not None
        self.actors.act(VALUE)
        values = token_values(model, self.actors.value_head, batch.rows)
        loss, metrics = clipped_value_loss(values, batch.old, batch.returns, batch.weights, self.value_clip)
        loss = self.value_coefficient * loss
        return loss, {"loss": float(loss.detach()), **metrics}
