"""Random numbers go on after a restore exactly as they would have."""

import random

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from sartor.base.seeds import random_state, restore_random_state, seed_everything


def draw():
    return (
        random.random(),
        random.gauss(0, 1),
        np.random.rand(),
        np.random.randn(),
        torch.rand(3).tolist(),
        torch.randn(1).item(),
    )


def test_a_seed_repeats_everything():
    seed_everything(7)
    first = draw()
    seed_everything(7)
    assert draw() == first
    seed_everything(8)
    assert draw() != first


@pytest.mark.parametrize("draws_before", [0, 1])  # after one draw both Python and numpy hold a spare gaussian
def test_a_state_survives_a_safetensors_file(draws_before):
    seed_everything(2**40)
    for _ in range(draws_before):
        draw()
    stored = save(random_state())
    expected = [draw() for _ in range(3)]
    seed_everything(1)
    draw()
    restore_random_state(load(stored))
    assert [draw() for _ in range(3)] == expected


def test_a_state_of_another_number_of_gpus_is_refused():
    state = random_state() | {"cuda.7": torch.zeros(1)}
    with pytest.raises(ValueError, match="GPUs"):
        restore_random_state(state)
