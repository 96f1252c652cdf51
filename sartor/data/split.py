"""A dev set out of the train rows, by a hash of each row's group: the same everywhere and for ever."""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

from sartor.base.errors import DataError

SHARE = 0.15
FEWEST_ROWS, MOST_ROWS = 20, 200
LARGEST_SHARE = 1 / 3
Item = TypeVar("Item")


def group_fraction(group: str) -> float:
    """Where a group falls in [0, 1): the first 64 bits of the SHA-256 of its UTF-8 text."""
    digest = hashlib.sha256(group.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def split_dev(rows: Sequence[Item], group_of: Callable[[Item], str]) -> tuple[list[Item], list[Item]]:
    """`(train, dev)` in the given order; a group is on one side, and its side depends on its own hash.

    Groups whose fraction is below a share are dev: 15 %, doubled once where that gives fewer than 20 rows,
    halved until there are at most 200 rows and at most a third of all. As shares come in steps, rows that are
    added move no others unless the count crosses one of these bounds. DataError when all rows are one group.
    """
    groups = [group_of(row) for row in rows]
    sizes = Counter(groups)
    if len(sizes) < 2:
        hint = 'give rows of more than one "group", or a dev file'
        raise DataError("the train rows are one group, so no dev rows can be split off", hint=hint)
    fractions = {group: group_fraction(group) for group in sizes}
    chosen = _dev_groups(sizes, fractions)
    train = [row for row, group in zip(rows, groups, strict=True) if group not in chosen]
    return train, [row for row, group in zip(rows, groups, strict=True) if group in chosen]


def _dev_groups(sizes: Counter[str], fractions: dict[str, float]) -> set[str]:
    total = sizes.total()
    most = min(MOST_ROWS, math.floor(total * LARGEST_SHARE))

    def below(share: float) -> set[str]:
        return {group for group, fraction in fractions.items() if fraction < share}

    def count(groups: set[str]) -> int:
        return sum(sizes[group] for group in groups)

    share = SHARE if count(below(SHARE)) >= FEWEST_ROWS else 2 * SHARE
    while count(below(share)) > most:
        share /= 2
    return below(share) or {_first_small_group(sizes, fractions)}


def _first_small_group(sizes: Counter[str], fractions: dict[str, float]) -> str:
    """The lowest hash apart from the largest group's: few or very unequal groups still give a dev set."""
    largest = max(sizes, key=lambda group: (sizes[group], fractions[group]))
    return min((group for group in sizes if group != largest), key=fractions.__getitem__)
