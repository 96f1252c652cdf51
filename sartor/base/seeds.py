"""Random numbers that can be repeated: one seed for everything."""

import random

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def seed_step(seed: int, step: int, process: int = 0) -> None:
    """Seed everything for one step of a run: what is drawn depends on these three numbers alone, so that nothing needs
    to be kept to go on after a stop."""
    seed_everything(seed * 1_000_003 + step + process * 2_147_483_647)
