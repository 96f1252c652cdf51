"""Whose turn it is: a sequence in which every source has its share at every moment, not only in the end."""

from collections.abc import Sequence
from fractions import Fraction
from math import lcm

BLOCK = 4096
MOST_SOURCES = 255


class Turns:
    """The turn of each place 0, 1, 2, ... among sources with given weights.

    After n places, source s had n * weight / total turns to within less than one, for every n (R. Tijdeman, "The
    chairman assignment problem", 1980: among the sources that may take a turn, the one whose turn is due first). The
    sequence depends on the weights alone. It is computed in order, exactly, and kept: one byte a place.
    """

    def __init__(self, weights: Sequence[float]):
        if not 0 < len(weights) <= MOST_SOURCES or not all(0 < weight < float("inf") for weight in weights):
            raise ValueError(f"1 to {MOST_SOURCES} sources, each with a positive weight, not {list(weights)}")
        parts = [Fraction(weight) for weight in weights]
        scale = lcm(*(part.denominator for part in parts))
        self._weights = [int(part * scale) for part in parts]
        self._total = sum(self._weights)
        self._turns = bytearray()
        self._counts = [0] * len(weights)  # after all places computed so far
        self._before = [tuple(self._counts)]  # before each block of places

    def turn(self, place: int) -> tuple[int, int]:
        """`(source, how many turns it had before)` at `place`."""
        if len(self._weights) == 1:
            return 0, place
        self._reach(place + 1)
        source = self._turns[place]
        return source, self.counts(place)[source]

    def counts(self, places: int) -> tuple[int, ...]:
        """Turns of each source among the first `places`."""
        if len(self._weights) == 1:
            return (places,)
        self._reach(places)
        block = places // BLOCK
        part = self._turns[block * BLOCK : places]
        return tuple(before + part.count(source) for source, before in enumerate(self._before[block]))

    def _reach(self, places: int) -> None:
        while len(self._turns) < places:
            self._add_turn()
            if len(self._turns) % BLOCK == 0:
                self._before.append(tuple(self._counts))

    def _add_turn(self) -> None:
        # All in units of 1 / (total * gap), so that nothing is rounded. `owed` is what a source lacks once this place
        # is counted; it may have the place if it is owed 1/gap of a turn, and it is due the later the less it is owed.
        gap = 2 * len(self._weights) - 2
        place = len(self._turns) + 1
        chosen, chosen_slack, chosen_weight = -1, 0, 1
        for source, weight in enumerate(self._weights):
            owed = gap * (weight * place - self._counts[source] * self._total)
            if owed < self._total:
                continue
            slack = (gap - 1) * self._total - owed
            if chosen < 0 or slack * chosen_weight < chosen_slack * weight:
                chosen, chosen_slack, chosen_weight = source, slack, weight
        self._turns.append(chosen)
        self._counts[chosen] += 1
