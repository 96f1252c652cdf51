"""Answers that were rated one by one, as token rows: each with its own prompt and, for comparison, with another's.

What an answer is worth in KTO (2402.01306) is measured from how much the policy moved on answers to prompts that they
do not belong to.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from sartor.data.chat import ChatFormat, Rendered
from sartor.data.pairs import render_answer
from sartor.data.records import Conversation, Judged

LOOK_BACK = 256  # runs of rows, so that a file in which few prompts leave room is searched in linear time: assumed


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


@dataclass(frozen=True)
class _Run:
    """Rows one after the other that answer the same `prompt`, which is so many tokens long."""

    prompt: Conversation
    tokens: int
    judged: list[Judged]


def render_rated(judged: Sequence[Judged], chat: ChatFormat, max_row_tokens: int) -> list[Rated]:
    """Each answer with its own prompt and with another: of the nearest row before it (the last stands before the first)
    that answers a different one with which the answer has at most `max_row_tokens`. Its own where there is none nearby,
    and where the row is itself longer than that, since it is not learnt from."""
    runs = [
        _Run(rows[0].prompt, len(chat.prompt(rows[0].prompt)), rows)
        for rows in (list(rows) for _, rows in groupby(judged, key=_asked))
    ]
    found = []
    for place, run in enumerate(runs):
        for each in run.judged:
            row = render_answer(run.prompt, each.completion, each.where, chat)
            room = max_row_tokens - (len(row.ids) - run.tokens)
            reach = min(LOOK_BACK, len(runs) - 1) if run.tokens <= room else 0
            before = (runs[place - step] for step in range(1, reach + 1))
            prompt = next((other.prompt for other in before if _can_stand_for(other, run, room)), run.prompt)
            found.append(Rated(row, render_answer(prompt, each.completion, each.where, chat), each.desirable))
    return found


def _asked(judged: Judged) -> str:
    return json.dumps(judged.prompt, sort_keys=True)


def _can_stand_for(other: _Run, own: _Run, room: int) -> bool:
    return other.tokens <= room and other.prompt != own.prompt
