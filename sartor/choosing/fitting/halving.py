"""The best of many settings for little: all on a few rows, the better half on twice as many, and so on.

Source: Jamieson and Talwalkar, "Non-stochastic best arm identification" (1502.07943). What a row said is kept, so a
setting that goes on is asked only what it was not asked before.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

from sartor.base.console import say
from sartor.choosing.fitting.budget import Share
from sartor.choosing.fitting.tries import Tries

Candidate = TypeVar("Candidate", bound=Hashable)
FIRST_ROWS = 16  # assumed: fewer cannot tell 2 right from 4 right of a weak setting


class Trials(Generic[Candidate]):
    """Scores of candidates on the first of `num_rows` rows, each asked once.

    `score(candidate, first, last)` gives the scores of the rows `first` to `last` - 1, None for a row to be asked again
    another time, which counts as wrong until then. Whole ones are kept in `tries`, where a candidate is known by what
    `about` says of it.
    """

    def __init__(
        self,
        score: Callable[[Candidate, int, int], list[float | None]],
        num_rows: int,
        tries: Tries | None = None,
        about: Callable[[Candidate], object] = lambda candidate: candidate,
    ):
        self.score, self.num_rows, self.about = score, num_rows, about
        self.tries = tries or Tries()
        self.scores: dict[Candidate, list[float]] = {}
        self._seconds: dict[Candidate, float] = {}

    def ask(self, candidate: Candidate, rows: int) -> None:
        """Make sure that the first `rows` rows are known."""
        known = self.scores.setdefault(candidate, [])
        first = len(known)
        if first < rows:
            key = self._key(candidate, first, rows)
            done = self.tries.once(
                lambda: self.score(candidate, first, rows), *key, keep=lambda scores: None not in scores
            )
            known += [0.0 if score is None else score for score in done.value]
            self._seconds[candidate] = self._seconds.get(candidate, 0.0) + done.seconds

    def _key(self, candidate: Candidate, first: int, last: int) -> tuple[object, ...]:
        return self.about(candidate), first, last

    def mean(self, candidate: Candidate, rows: int) -> float:
        """Over the first `rows` rows, which must be known."""
        known = self.scores[candidate][:rows]
        return sum(known) / len(known)

    def seconds_to(self, candidate: Candidate, rows: int) -> float:
        """How long it will take to know `rows` rows, by this candidate's own pace, else the slowest one's; 0 where
        nothing was asked yet, and for what was kept of an interrupted run."""
        known = len(self.scores.get(candidate, ()))
        if self.tries.knows(*self._key(candidate, known, rows)):
            return 0.0
        paces = {each: self._seconds[each] / len(self.scores[each]) for each in self._seconds}
        return max(0, rows - known) * paces.get(candidate, max(paces.values(), default=0.0))


def halve(candidates: Sequence[Candidate], trials: Trials[Candidate], share: Share) -> Candidate:
    """The candidate that is best on the most rows that the share of the time allows for.

    Of equally good ones the earlier in `candidates` wins: put the cheapest first. All survivors of a round know the
    same rows. A round asks the best so far first; when time cuts it off, those that it reached are compared.
    Something is always asked.
    """
    left, rows = list(candidates), min(FIRST_ROWS, trials.num_rows)
    ahead = left
    while True:
        reached = {each for each in ahead if _asked(each, rows, trials, share)}
        if len(reached) < len(left):
            say(f"time is up: {len(reached)} of {len(left)} settings were asked {rows} rows")
            known = _ranked([each for each in left if each in reached], trials, rows)
            return known[0] if known else ahead[0]
        left = _better_half(left, trials, rows)
        ahead = _ranked(left, trials, rows)
        if rows == trials.num_rows or len(left) == 1:
            return ahead[0]
        rows = min(2 * rows, trials.num_rows)


def best_on_common_rows(candidates: Sequence[Candidate], trials: Trials[Candidate]) -> Candidate:
    """The best on the rows that all of them know; the first of equally good ones."""
    return _ranked(candidates, trials, min(len(trials.scores[each]) for each in candidates))[0]


def _asked(candidate: Candidate, rows: int, trials: Trials[Candidate], share: Share) -> bool:
    """Ask it unless that takes longer than there is time; whether its rows are known now."""
    known = len(trials.scores.get(candidate, ()))
    if trials.scores and known < rows and (seconds := trials.seconds_to(candidate, rows)) and seconds > share.left:
        return False
    trials.ask(candidate, rows)
    return True


def _ranked(candidates: Sequence[Candidate], trials: Trials[Candidate], rows: int) -> list[Candidate]:
    return sorted(candidates, key=lambda each: -trials.mean(each, rows))  # stable: ties stay in order


def _better_half(candidates: Sequence[Candidate], trials: Trials[Candidate], rows: int) -> list[Candidate]:
    """In the given order. One as good as the worst of the better half stays too, unless it got nothing right."""
    ranked = _ranked(candidates, trials, rows)
    half = math.ceil(len(ranked) / 2)
    kept = set(ranked[:half])
    least = trials.mean(ranked[half - 1], rows)
    if least > 0:
        kept |= {each for each in ranked if trials.mean(each, rows) >= least}
    return [each for each in candidates if each in kept]
