"""The search for a learning rate: short runs on a logarithmic grid, halved again and again by their held-out loss.

Range tests, which raise the rate while they train, mislead for transformers; short runs that are compared on held-out
rows do not. Every rate trains on the same rows in the same order, the better half goes on from where it is for twice
as long (successive halving, Jamieson & Talwalkar 2016, 1502.07943), and the best one runs again with another seed, so
that the answer is no single rate but the range of those that cannot be told apart from the best.

Rates are compared after a cool-down: at every rung the run at constant rate is continued on a branch whose rate falls
to nothing in its last fifth, and the branch is measured and thrown away (Hägele et al. 2024, 2405.18392: such a branch
is worth a whole run with a cosine schedule of that length). Without it low rates look better than they are. What
remains is that short runs prefer higher rates than long ones; `for_longer_run` takes that back.

Pure mechanism: what trains and measures is a `Trial` that is handed in.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from sartor.train.likelihood import Floats, paired_difference

GRIDS: tuple[tuple[float, ...], ...] = (
    (1 / 8, 1 / 4, 1 / 2, 1, 2, 4),
    (1 / 4, 1 / 2, 1, 2),
    (1 / 3, 1, 3),
)  # times the rate to expect; the largest that the time allows
LEAST_STEPS = 8  # of the first rung: fewer say little (assumed)
EXTENSIONS = 2  # rates added where the best is the lowest or the highest
COOLDOWN_SHARE = 0.2
HORIZON_EXPONENT = 0.32  # the best rate falls as (length of the run)^-0.32 (Bjorck et al. 2024, 2409.19913)
MOST_CORRECTION = 2.0  # that law was found in pre-training: go no further than one step of the grid by it
AS_GOOD_ERRORS = 1.0  # the one-standard-error rule (Breiman et al. 1984): that near to the best counts as good
WORSE_ERRORS = 2.0  # that much worse than before training is no chance

State = Literal["best", "as good", "worse", "diverged"]


class Trial(Protocol):
    def __call__(self, rate: float, steps: int, repeat: int) -> Floats | None:
        """Train at `rate` until `steps` steps in all are done, going on where the same rate and `repeat` (0: the run's
        own seed, 1: another one) stood, cool down and measure. The loss of each held-out row in nats; None when
        training diverged."""
        ...


@dataclass(frozen=True)
class SearchPlan:
    """Rates in rising order; steps in all after each rung. `extends`: look beyond the ends where the best is there."""

    rates: tuple[float, ...]
    horizons: tuple[int, ...]
    extends: bool = True

    @property
    def work(self) -> tuple[int, int]:
        """Training steps and measurements that the search needs at most, repeat included."""
        steps = measurements = 0
        running = len(self.rates)
        before = 0
        for rung, horizon in enumerate(self.horizons):
            runs = running + 1 + (EXTENSIONS if self.extends and rung == 0 else 0)
            steps += runs * (horizon - before)
            measurements += runs
            before, running = trunk_steps(horizon), _kept(running)
        return steps, measurements

    def seconds(self, step_seconds: float, measure_seconds: float) -> float:
        steps, measurements = self.work
        return steps * step_seconds + measurements * measure_seconds


@dataclass(frozen=True)
class RateTried:
    """One rate: `losses` are mean held-out losses (nats a token) by the steps they were measured at.

    `behind` is how much worse than the best it was at the longest horizon both have run (negative: better), `noise` the
    standard error of that; both None where it diverged.
    """

    rate: float
    losses: Mapping[int, float]
    behind: float | None
    noise: float | None
    state: State

    @property
    def steps(self) -> int:
        return max(self.losses, default=0)


@dataclass(frozen=True)
class RateFound:
    """What a search came to. `plateau` are the lowest and highest rate around the best, tried without a worse one in
    between, that cannot be told apart from it; `seed_noise` the standard deviation of a loss over seeds (None where
    time was too short to repeat the best)."""

    tried: tuple[RateTried, ...]
    best: float
    plateau: tuple[float, float]
    seed_noise: float | None
    start_loss: float
    steps: int

    @property
    def at_edge(self) -> bool:
        """Whether the best is the lowest or the highest rate tried, so that a better one may lie beyond."""
        return self.best in (self.tried[0].rate, self.tried[-1].rate)

    def recommended(self, expected: float, planned_steps: int) -> float:
        """The rate of the plateau, seen from a run of `planned_steps`, nearest to the one to expect: among equals the
        usual rate is safer than the lucky one. Two significant digits."""
        low, high = self.plateau_for(planned_steps)
        return float(f"{min(max(expected, low), high):.2g}")

    def plateau_for(self, planned_steps: int) -> tuple[float, float]:
        low, high = (for_longer_run(rate, self.steps, planned_steps) for rate in self.plateau)
        return low, high


def for_longer_run(rate: float, steps: int, planned_steps: int) -> float:
    """The rate that is to a run of `planned_steps` what `rate` is to one of `steps`; shorter runs are left alone."""
    if planned_steps <= steps:
        return rate
    return rate / min((planned_steps / steps) ** HORIZON_EXPONENT, MOST_CORRECTION)


def trunk_steps(horizon: int) -> int:
    """How many of `horizon` steps run at the constant rate; the others are the cool-down."""
    return horizon - max(1, round(COOLDOWN_SHARE * horizon))


def plan_search(
    expected: float,
    seconds: float,
    step_seconds: float,
    measure_seconds: float,
    planned_steps: int,
    rates: Sequence[float] = (),
    most_rates: int = len(GRIDS[0]),
) -> SearchPlan | None:
    """The widest grid around `expected` (or exactly `rates`) whose first rung is worth something in the time, with
    rungs as long as that time allows and none longer than the planned run. None when the time is too short."""
    grids = [sorted(rates)] if rates else [[expected * factor for factor in grid] for grid in GRIDS]
    for grid in grids:
        if len(grid) > most_rates:
            continue
        lengths = _first_rungs(len(grid), planned_steps)

        def cost(first: int, grid: Sequence[float] = grid) -> float:
            return _plan(grid, first, not rates).seconds(step_seconds, measure_seconds)

        affordable = bisect_right(lengths, seconds, key=cost)
        if affordable:
            return _plan(grid, lengths[affordable - 1], not rates)
    return None


def least_seconds(
    step_seconds: float, measure_seconds: float, planned_steps: int, rates: Sequence[float] = ()
) -> float:
    """What the shortest search takes that says something."""
    grid = rates or GRIDS[-1]
    plan = _plan(grid, _first_rungs(len(grid), planned_steps)[0], not rates)
    return plan.seconds(step_seconds, measure_seconds)


def search(
    trial: Trial,
    plan: SearchPlan,
    sizes: Floats,
    start_losses: Floats,
    is_late: Callable[[], bool] = lambda: False,
    on_measured: Callable[[float, int, float | None, float], None] = lambda rate, steps, loss, share: None,
) -> RateFound | None:
    """Search as planned. `sizes` are the held-out rows' trained tokens, `start_losses` the rows' losses before any
    step.

    A rate is dropped for good when it diverges: its loss is not finite, or held-out rows are worse than before
    training by more than chance. None when all did. `is_late` is asked before every rung but the first and before the
    repeat. `on_measured(rate, steps, mean loss, share of the work done)` is told of each measurement.
    """
    running = _Search(trial, plan, sizes, start_losses, on_measured)
    standing = running.first_rung()
    for horizon in plan.horizons[1:]:
        if len(standing) < 2 or is_late():
            break
        standing = running.rung(standing[: _kept(len(standing))], horizon)
    if not standing:
        return running.best_of_the_dropped()
    seed_noise = None if is_late() else running.repeat(standing[0])
    return running.found(standing[0], seed_noise)


class _Search:
    """What was measured so far: `losses[rate][steps]` are the held-out rows' losses."""

    def __init__(
        self,
        trial: Trial,
        plan: SearchPlan,
        sizes: Floats,
        start_losses: Floats,
        on_measured: Callable[[float, int, float | None, float], None],
    ):
        self.trial, self.plan, self.sizes, self.start = trial, plan, sizes, start_losses
        self.on_measured = on_measured
        self.losses: dict[float, dict[int, Floats]] = {}
        self.diverged: set[float] = set()
        self.steps_done = 0

    def first_rung(self) -> list[float]:
        """All rates, and further ones beyond the end of the grid as long as the best is there."""
        standing = self.rung(self.plan.rates, self.plan.horizons[0])
        for _ in range(EXTENSIONS if self.plan.extends else 0):
            tried = sorted(self.losses)
            if not standing or standing[0] not in (tried[0], tried[-1]):
                break
            beyond = tried[0] ** 2 / tried[1] if standing[0] == tried[0] else tried[-1] ** 2 / tried[-2]
            standing = self.rung([*standing, beyond], self.plan.horizons[0])
        return standing

    def rung(self, rates: Sequence[float], steps: int) -> list[float]:
        """Take the rates to `steps`; those that still stand, the best first."""
        for rate in rates:
            if steps not in self.losses.get(rate, {}):
                self._measure(rate, steps)
        standing = [rate for rate in rates if rate not in self.diverged]
        return sorted(standing, key=lambda rate: self._mean(self.losses[rate][steps]))

    def repeat(self, rate: float) -> float | None:
        """The standard deviation of a loss over seeds, from the best rate with another seed at every rung it ran; from
        two runs, so it is known only roughly."""
        squares = []
        for steps, first in self.losses[rate].items():
            again = self.trial(rate, steps, 1)
            self._tell(rate, steps, again)
            if again is None or not np.isfinite(again).all():
                return None
            squares.append((self._mean(again) - self._mean(first)) ** 2 / 2)
        return math.sqrt(sum(squares) / len(squares))

    def found(self, best: float, seed_noise: float | None) -> RateFound:
        tried = tuple(self._judged(rate, best, seed_noise or 0.0) for rate in sorted(self.losses))
        place = [each.rate for each in tried].index(best)
        low = high = place
        while low > 0 and tried[low - 1].state == "as good":
            low -= 1
        while high < len(tried) - 1 and tried[high + 1].state == "as good":
            high += 1
        plateau = (tried[low].rate, tried[high].rate)
        steps = max(self.losses[best])
        return RateFound(tried, best, plateau, seed_noise, self._mean(self.start), steps)

    def best_of_the_dropped(self) -> RateFound | None:
        """The best of the last rung that any rate stood in, where all that stood diverged later; None if none did."""
        stood = {rate: losses for rate, losses in self.losses.items() if rate not in self.diverged}
        if not stood:
            return None
        longest = max(steps for losses in stood.values() for steps in losses)
        last = [rate for rate, losses in stood.items() if longest in losses]
        return self.found(min(last, key=lambda rate: self._mean(stood[rate][longest])), None)

    def _measure(self, rate: float, steps: int) -> None:
        losses = self.trial(rate, steps, 0)
        self.losses.setdefault(rate, {})
        if losses is None or not np.isfinite(losses).all():
            self.diverged.add(rate)
        else:
            self.losses[rate][steps] = losses
            worse, error = paired_difference(losses, self.start, self.sizes)
            if worse > WORSE_ERRORS * error:
                self.diverged.add(rate)
        self._tell(rate, steps, losses)

    def _tell(self, rate: float, steps: int, losses: Floats | None) -> None:
        earlier = [horizon for horizon in self.plan.horizons if horizon < steps]
        self.steps_done += steps - (trunk_steps(earlier[-1]) if earlier else 0)
        loss = None if losses is None else self._mean(losses)
        self.on_measured(rate, steps, loss, min(self.steps_done / self.plan.work[0], 1.0))

    def _judged(self, rate: float, best: float, seed_noise: float) -> RateTried:
        losses = self.losses[rate]
        means = {steps: self._mean(each) for steps, each in losses.items()}
        if rate in self.diverged:
            return RateTried(rate, means, None, None, "diverged")
        steps = max(set(losses) & set(self.losses[best]))
        behind, row_error = paired_difference(losses[steps], self.losses[best][steps], self.sizes)
        if rate == best:
            return RateTried(rate, means, 0.0, 0.0, "best")
        noise = math.hypot(row_error, math.sqrt(2) * seed_noise)
        return RateTried(rate, means, behind, noise, "as good" if behind <= AS_GOOD_ERRORS * noise else "worse")

    def _mean(self, losses: Floats) -> float:
        return float(losses.sum() / self.sizes.sum())


def _kept(running: int) -> int:
    """The better half goes on, and at least two, so that there is something to compare with."""
    return max(2, -(-running // 2))


def _num_rungs(num_rates: int) -> int:
    rungs = 1
    while num_rates > 2:
        num_rates, rungs = _kept(num_rates), rungs + 1
    return rungs


def _first_rungs(num_rates: int, planned_steps: int) -> range:
    """Lengths of the first rung: from the shortest that says something to the longest that the planned run allows."""
    longest = max(planned_steps // 2 ** (_num_rungs(num_rates) - 1), 1)
    return range(min(LEAST_STEPS, longest), longest + 1)


def _plan(grid: Sequence[float], first: int, extends: bool) -> SearchPlan:
    return SearchPlan(tuple(grid), tuple(first * 2**rung for rung in range(_num_rungs(len(grid)))), extends)
