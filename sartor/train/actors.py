"""The roles that one model plays in reinforcement learning: it answers, judges how likely answers are, values them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from sartor.adapters.roles import act_as, acting
from sartor.base.console import warn
from sartor.data.chat import ChatFormat
from sartor.data.packing import Batch
from sartor.generation.engine import Engine
from sartor.generation.groups import Answer, answer_groups
from sartor.generation.local import context_tokens
from sartor.generation.protocol import Sampling
from sartor.train.log_probs import batch_log_probs
from sartor.train.row_scores import token_values

POLICY, VALUE, REWARD, REFERENCE = "policy", "value", "reward", "reference"


class Actors:
    """A model with the adapter of each role (`adapters/roles.py`).

    The reference is the role of that name, or the base alone. `value_head` is None where there is no value function.
    `temperature` divides the logits of all that the policy and the reference say.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        chat: ChatFormat,
        temperature: float,
        value_head: nn.Module | None = None,
        reference: str | None = None,
    ):
        self.model, self.chat, self.temperature = model, chat, temperature
        self.value_head, self.reference = value_head, reference

    def sample(self, prompts: Sequence[list[int]], samplings: Sequence[Sequence[Sampling]]) -> list[list[Answer]]:
        """The policy's answers to each prompt, one for each of its samplings."""
        training = self.model.training
        try:
            with acting(self.model, POLICY):
                engine = Engine(self.model, _no_text, self.chat.stop_ids, context_tokens(self.model))
                return answer_groups(engine, prompts, samplings)
        finally:
            self.model.train(training)  # an engine puts its model into evaluation mode

    def policy_log_probs(self, batch: Batch) -> Tensor:
        """log p of the batch's trained tokens [N] under the policy, without gradients, but computed as for learning,
        so that they are the very numbers of the first update."""
        return self._log_probs(batch, POLICY)

    def reference_log_probs(self, batch: Batch) -> Tensor:
        """The same under the reference."""
        return self._log_probs(batch, self.reference)

    @torch.no_grad()
    def _log_probs(self, batch: Batch, role: str | None) -> Tensor:
        with acting(self.model, role), without_dropout(self.model):
            return batch_log_probs(self.model, batch, self.temperature)

    @torch.no_grad()
    def values(self, batch: Batch) -> Tensor:
        """What the value function expects before each trained token [N]."""
        assert self.value_head is not None, "there is no value function"
        with acting(self.model, VALUE), without_dropout(self.model):
            return token_values(self.model, self.value_head, batch)

    def act(self, role: str) -> None:
        """Which role acts until another one is told to: in learning, a role must still act in the backward pass."""
        act_as(self.model, role)


def _no_text(ids: Sequence[int]) -> str:
    """Answers are decoded when they are whole; nobody reads along."""
    return ""


def leave_out_dropout(model: nn.Module) -> None:
    """Switch a base model's own dropout off for good, which is said once: what it says is compared with what was said
    without any. An adapter that is put on it later keeps its own."""
    shares = {0.0}
    for module in model.modules():
        # Some families drop by a function of torch's, with a share that the module keeps by a name of its own.
        own = ["p"] if isinstance(module, nn.Dropout) else [name for name in vars(module) if "drop" in name]
        for name in own:
            if isinstance(share := getattr(module, name), float):
                shares.add(share)
                setattr(module, name, 0.0)
    if largest := max(shares):
        _say_dropout_is_left_out(largest)


@cache
def _say_dropout_is_left_out(share: float) -> None:
    """Once a process: a run that is shared out among processes makes its model twice."""
    warn(f"the model's own dropout of up to {share:g} is left out: it learns by comparison with what is said without")


@contextmanager
def without_dropout(model: nn.Module) -> Iterator[None]:
    """Nothing else is switched: arithmetic stays that of training."""
    dropouts = [module for module in model.modules() if isinstance(module, nn.Dropout) and module.training]
    for dropout in dropouts:
        dropout.eval()
    try:
        yield
    finally:
        for dropout in dropouts:
            dropout.train()
