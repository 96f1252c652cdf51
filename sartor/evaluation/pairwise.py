"""Which of two answers is better, asked in both orders, since judges favour a place.

Zheng et al. (2023, "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena", arXiv 2306.05685, section 3.4): an answer
wins only when it wins in both orders. Verdicts that change with the order are a tie, and are counted: how often the
first place won, beside how often the second did, is the judge's position bias.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sartor.evaluation.judge import Judge, Judged
from sartor.evaluation.statistics import Interval, mcnemar, mean_interval

Case = tuple[str, Sequence[str], str, str]
"""A question, its accepted answers (maybe none), the answer of one model and that of the other."""


@dataclass(frozen=True)
class Contest:
    """One pair, judged twice. `worth` is 1 where the first model's answer is better, 0 where the other's is, 0.5 for a
    tie, None where a verdict could not be had; `turned` tells that the two orders disagree."""

    worth: float | None
    turned: bool
    first_place: int
    second_place: int
    in_order: Judged
    reversed: Judged


@dataclass(frozen=True)
class Preferred:
    """All pairs together. `rate` is the share of the first model's wins, ties half, over the pairs that were judged.

    `first_place` and `second_place` count how often that place won, whoever stood there; `bias_p` is the exact
    two-sided p-value of their being equally often, over the pairs of which the orders disagree.
    """

    rate: Interval | None
    wins: int
    losses: int
    ties: int
    turned: int
    unscored: int
    first_place: int
    second_place: int
    bias_p: float

    def sentences(self, first: str, second: str) -> list[str]:
        """What came out, for people."""
        rate = self.rate
        told = [
            f"Of {self.wins + self.losses + self.ties:,} pairs {first} is preferred in {self.wins:,}, {second} in "
            f"{self.losses:,}; {self.ties:,} are ties, {self.turned:,} of them because the verdict turned with the "
            "order."
        ]
        if rate is not None:
            told.append(f"Share of {first}, ties half: {rate.mean:.3f} [{rate.low:.3f}, {rate.high:.3f}].")
        if self.bias_p < 0.05:
            places = f"the first won {self.first_place:,} times, the second {self.second_place:,}"
            told.append(f"The judge favours a place: {places}.")
        if self.unscored:
            told.append(f"{self.unscored:,} pairs have no verdict that can be read, and count for neither.")
        return told


def judge_pairs(judge: Judge, cases: Sequence[Case], label: str) -> list[Contest]:
    """Each pair asked in both orders, all in one batch."""
    turned = [(question, accepted, second, first) for question, accepted, first, second in cases]
    said = judge.compare([*cases, *turned], label)
    return [_contest(one, other) for one, other in zip(said[: len(cases)], said[len(cases) :], strict=True)]


def _contest(in_order: Judged, turned: Judged) -> Contest:
    said = (in_order.verdict, turned.verdict)
    first_place, second_place = said.count("A"), said.count("B")
    if None in said:
        return Contest(None, False, first_place, second_place, in_order, turned)
    worth = {("A", "B"): 1.0, ("B", "A"): 0.0}.get((str(said[0]), str(said[1])), 0.5)
    consistent = worth != 0.5 or said == ("TIE", "TIE")
    return Contest(worth, not consistent, first_place, second_place, in_order, turned)


def summarise(contests: Sequence[Contest], groups: Sequence[str] | None = None) -> Preferred:
    """`groups[i]` is the group of pair i, as in `mean_interval`."""
    judged = [contest.worth is not None for contest in contests]
    worths = np.array([contest.worth for contest in contests if contest.worth is not None], dtype=np.float64)
    kept = None if groups is None else [group for group, known in zip(groups, judged, strict=True) if known]
    turned = [contest for contest in contests if contest.turned]
    return Preferred(
        rate=mean_interval(worths, kept) if len(worths) else None,
        wins=int((worths == 1).sum()),
        losses=int((worths == 0).sum()),
        ties=int((worths == 0.5).sum()),
        turned=len(turned),
        unscored=len(contests) - len(worths),
        first_place=sum(contest.first_place for contest in contests),
        second_place=sum(contest.second_place for contest in contests),
        bias_p=mcnemar(
            sum(contest.first_place > contest.second_place for contest in turned),
            sum(contest.first_place < contest.second_place for contest in turned),
        ),
    )
