"""Which bucket of learnt distances two positions share (T5, Raffel et al., 1910.10683, as MPNet uses it)."""

import math
from functools import lru_cache

import torch
from torch import Tensor

FARTHEST = 128
"""Distances from here on share the last bucket."""


@lru_cache(maxsize=64)
def relative_bucket(length: int, num_buckets: int) -> Tensor:
    """int64 [length, length]: for the position i that looks and j that is seen the number of their bucket. Half of
    the buckets are for what stands later; the nearer half of each side is exact, the rest grows as the logarithm."""
    places = torch.arange(length)
    distance = places[None, :] - places[:, None]  # j - i
    half = num_buckets // 2
    exact = half // 2
    far = distance.abs()
    grown = exact + (torch.log(far.clamp(min=1) / exact) / math.log(FARTHEST / exact) * (half - exact)).long()
    return half * (distance > 0).long() + torch.where(far < exact, far, grown.clamp(max=half - 1))
