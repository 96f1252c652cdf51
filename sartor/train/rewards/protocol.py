"""What is rewarded in reinforcement learning, and what a reward is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sartor.data.records import Conversation


@dataclass(frozen=True)
class Answered:
    """One answer that the policy gave to a row's prompt.

    `messages` is the prompt; `answers` are the row's accepted answers, empty where it has none; `num_tokens` counts
    what was sampled; `finished` says that the answer ended by itself and was not cut off; `where` is the row's
    `file:line`.
    """

    messages: Conversation
    text: str
    answers: tuple[str, ...]
    num_tokens: int
    finished: bool
    where: str


class Reward(Protocol):
    """Anything that can say how good answers are, such as a rule, a user's function or a trained model."""

    name: str

    def score(self, answered: Sequence[Answered]) -> list[float]:
        """One finite number for each answer, in their order; the higher, the better."""
        ...
