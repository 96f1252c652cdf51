"""The rule of the verdict on tables of yes and no: which path is settled on, if any.

Tables have the paths in order of preference along their last two axes; axes before those are repetitions (resampled
rows, see `row_planning`), so that what decides and what plans is the same rule.
"""

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

NONE = -1


def settled(better: Bools, not_worse: Bools, dominated: Bools) -> tuple[Ints, Bools]:
    """The place of the choice (`NONE` where nothing is settled), and whether it is better than all others.

    `better[..., i, j]` and `not_worse[..., i, j]` say what is shown of path i against path j (the diagonal is not
    looked at); `dominated[j]` that another path equals or beats j in everything as observed. The choice is the first
    path that is not dominated and not worse than any other, if all before it are dominated or beaten by some path.
    """
    itself = np.eye(better.shape[-1], dtype=bool)
    safe = (not_worse | itself).all(-1) & ~dominated
    out = (better & ~itself).any(-2) | dominated
    choice = np.where(safe.any(-1), safe.argmax(-1), NONE)
    num_out = np.concatenate([np.zeros_like(out[..., :1]), np.logical_and.accumulate(out, -1)], -1).sum(-1)
    # `num_out` counts the paths at the beginning that are out of the way; those before the choice must all be.
    choice = np.where(choice <= num_out, choice, NONE)
    beats_all = (better | itself).all(-1)
    decided = np.take_along_axis(beats_all, np.maximum(choice, 0)[..., None], -1)[..., 0] & (choice != NONE)
    return choice, decided
