"""The same seed draws the same numbers, another one others."""

import random

import numpy as np
import torch

from sartor.base.seeds import seed_everything, seed_step


def draw():
    return (
        random.random(),
        random.gauss(0, 1),
        np.random.rand(),
        np.random.randn(),
        tuple(torch.rand(3).tolist()),
        torch.randn(1).item(),
    )


def test_a_seed_repeats_everything():
    seed_everything(7)
    first = draw()
    seed_everything(7)
    assert draw() == first
    seed_everything(8)
    assert draw() != first


def test_a_step_draws_the_same_whatever_was_drawn_before():
    seed_step(3, 10)
    first = draw()
    for _ in range(5):
        draw()
    seed_step(3, 10)
    assert draw() == first
    others = []
    for seed, step, process in ((3, 11, 0), (4, 10, 0), (3, 10, 1)):
        seed_step(seed, step, process)
        others.append(draw())
    assert len({first, *others}) == 4
