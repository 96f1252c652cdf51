"""Answers that were rated one by one, as token rows: each with its own prompt and, for comparison, with another's.

What an answer is worth in KTO (2402.01306) is measured from how much the policy moved on answers to prompts that they
do not belong to.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sartor.data.chat import ChatFormat, Rendered
from sartor.data.pairs import render_answer
from sartor.data.records import Judged


@dataclass(frozen=True)
class Rated:
    """`row` ends with the answer, whose tokens are trained; `elsewhere` is the same answer under another prompt.
    `reference` holds the answer's summed log-probabilities under the reference, in both places, where they are known.
    """

    row: Rendered
    elsewhere: Rendered
    desirable: bool
    reference: tuple[float, float] | None = None

    @property
    def num_tokens(self) -> int:
        return len(self.row.ids)

    @property
    def num_trained(self) -> int:
        return self.row.num_trained

    @property
    def longest(self) -> int:
        return max(len(self.row.ids), len(self.elsewhere.ids))


def render_rated(judged: Sequence[Judged], chat: ChatFormat) -> list[Rated]:
    """Each answer with its own prompt and with the prompt of the row before it (the first with the last one's)."""
    found = []
    for index, each in enumerate(judged):
        row, elsewhere = (
            render_answer(prompt, each.completion, each.where, chat)
            for prompt in (each.prompt, judged[index - 1].prompt)
        )
        found.append(Rated(row, elsewhere, each.desirable))
    return found
