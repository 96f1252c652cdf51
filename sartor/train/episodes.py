"""Sampled answers with all that an update learns from them, and the micro-batches that they become.

Answers to one prompt stay together, so that the prompt is computed once for all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sartor.data.batches import of_similar_length
from sartor.data.chat import Rendered
from sartor.data.packing import Batch, RowsBatch, pack_groups


@dataclass(frozen=True)
class Episode:
    """One answer: `row` is prompt and answer with the answer's tokens trained.

    All tensors are float32 [answer tokens]: log-probabilities under the policy that sampled, and under the reference if
    the policy is held to it, advantages, and with a value function the values then and what they should have been.
    """

    row: Rendered
    prompt: int  # which prompt of the rollout it answers
    score: float
    finished: bool
    log_probs: Tensor
    reference: Tensor | None
    advantages: Tensor
    values: Tensor | None = None
    returns: Tensor | None = None

    @property
    def length(self) -> int:
        return self.row.num_trained


@dataclass(frozen=True)
class AnswerGroup:
    """Answers to one prompt that are computed together."""

    rows: tuple[Rendered, ...]
    indices: tuple[int, ...]  # of the episodes

    @property
    def num_tokens(self) -> int:
        prompt = len(self.rows[0].ids) - self.rows[0].num_trained
        return prompt + self.num_trained

    @property
    def num_trained(self) -> int:
        return sum(row.num_trained for row in self.rows)


def answer_groups_of(rows: Sequence[Rendered], prompts: Sequence[int], max_tokens: int) -> list[list[AnswerGroup]]:
    """Rows with the prompts they answer -> groups for each micro-batch of at most `max_tokens` tokens."""
    by_prompt: dict[int, list[int]] = {}
    for index, prompt in enumerate(prompts):
        by_prompt.setdefault(prompt, []).append(index)
    groups = [part for indices in by_prompt.values() for part in _parts(rows, indices, max_tokens)]
    return of_similar_length(groups, max_tokens)


def _parts(rows: Sequence[Rendered], indices: Sequence[int], max_tokens: int) -> list[AnswerGroup]:
    """One prompt's answers in groups that fit into a micro-batch."""
    parts: list[AnswerGroup] = []
    for index in indices:
        grown = None if not parts else AnswerGroup((*parts[-1].rows, rows[index]), (*parts[-1].indices, index))
        if grown is None or grown.num_tokens > max_tokens:
            parts.append(AnswerGroup((rows[index],), (index,)))
        else:
            parts[-1] = grown
    return parts


@dataclass(frozen=True)
class PackedAnswers:
    """A micro-batch of answers, packed; `order` are their indices in the rollout, as they lie in the batch."""

    batch: Batch
    order: tuple[int, ...]

    @staticmethod
    def of(groups: Sequence[AnswerGroup]) -> "PackedAnswers":
        order = tuple(index for group in groups for index in group.indices)
        return PackedAnswers(pack_groups([group.rows for group in groups]), order)


@dataclass(frozen=True)
class EpisodeBatch(RowsBatch):
    """A micro-batch of one role: `rows` packed, and for each of their trained tokens [N] what the role learns from.

    The policy reads old (log-probabilities; None where this is the only step on these answers: they are its own then),
    reference and advantages; the value function old (values) and returns.
    `weights` are each token's share of the step's loss; `num_tokens_of_step` are all answers' tokens.
    """

    old: Tensor | None
    weights: Tensor
    num_tokens_of_step: int
    advantages: Tensor | None = None
    reference: Tensor | None = None
    returns: Tensor | None = None

    @property
    def of_policy(self) -> bool:
        return self.advantages is not None

    @property
    def num_units(self) -> int:
        return self.num_trained

    @property
    def num_trained(self) -> int:
        return super().num_trained if self.of_policy else 0

    @property
    def num_row_tokens(self) -> int:
        """The value function reads the policy's rows: they count once."""
        return super().num_row_tokens if self.of_policy else 0

    def to(self, device: torch.device) -> "EpisodeBatch":
        def moved(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.to(device)

        return replace(
            self,
            rows=self.rows.to(device),
            old=moved(self.old),
            weights=self.weights.to(device),
            advantages=moved(self.advantages),
            reference=moved(self.reference),
            returns=moved(self.returns),
        )


def joined(tensors: Sequence[Tensor | None]) -> Tensor:
    """The answers' tensors one after the other."""
    present = [tensor for tensor in tensors if tensor is not None]
    assert len(present) == len(tensors), "every answer has it, or none"
    return torch.cat(present)


# --- to and from a checkpoint -------------------------------------------------------------------------------------

PER_TOKEN = ("log_probs", "reference", "advantages", "values", "returns")


def episodes_state(episodes: Sequence[Episode]) -> dict[str, Tensor]:
    """The episodes as plain tensors."""
    if not episodes:
        return {}
    state = {
        "ids": torch.tensor([token for each in episodes for token in each.row.ids]),
        "row_tokens": torch.tensor([len(each.row.ids) for each in episodes]),
        "answer_tokens": torch.tensor([each.length for each in episodes]),
        "prompts": torch.tensor([each.prompt for each in episodes]),
        "scores": torch.tensor([each.score for each in episodes], dtype=torch.float64),
        "finished": torch.tensor([each.finished for each in episodes]),
        "where": torch.tensor(list("\n".join(each.row.where for each in episodes).encode()), dtype=torch.uint8),
    }
    for name in PER_TOKEN:
        if getattr(episodes[0], name) is not None:
            state[name] = joined([getattr(each, name) for each in episodes])
    return state


def episodes_of(state: dict[str, Tensor]) -> list[Episode]:
    """What `episodes_state` was given."""
    if "ids" not in state:
        return []
    rows = [part.tolist() for part in state["ids"].split(state["row_tokens"].tolist())]
    lengths: list[int] = state["answer_tokens"].tolist()
    places = bytes(state["where"].tolist()).decode().split("\n")
    columns = {name: state[name].split(lengths) for name in PER_TOKEN if name in state}
    return [
        Episode(
            answer_row(ids, length, where),
            int(state["prompts"][index]),
            float(state["scores"][index]),
            bool(state["finished"][index]),
            **{"reference": None} | {name: column[index] for name, column in columns.items()},
        )
        for index, (ids, length, where) in enumerate(zip(rows, lengths, places, strict=True))
    ]


def answer_row(ids: list[int], length: int, where: str) -> Rendered:
    """A row whose last `length` tokens are the answer."""
    return Rendered(ids, [False] * (len(ids) - length) + [True] * length, where)
