"""Random numbers that can be repeated: one seed for everything, and states that a checkpoint can keep without
pickle."""

import random

import numpy as np
import torch
from torch import Tensor


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def random_state() -> dict[str, Tensor]:
    """The state of every random number generator of this process, as tensors for a safetensors file."""
    _, python_words, python_gauss = random.getstate()
    _, numpy_words, position, has_gauss, numpy_gauss = np.random.get_state()
    state = {
        "python": torch.tensor(python_words, dtype=torch.int64),
        "python_gauss": torch.tensor([] if python_gauss is None else [python_gauss], dtype=torch.float64),
        "numpy": torch.from_numpy(np.asarray(numpy_words).astype(np.int64)),
        "numpy_position": torch.tensor([position, has_gauss], dtype=torch.int64),
        "numpy_gauss": torch.tensor([numpy_gauss], dtype=torch.float64),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state |= {f"cuda.{index}": each for index, each in enumerate(torch.cuda.get_rng_state_all())}
    return state


def restore_random_state(state: dict[str, Tensor]) -> None:
    """Go on from `random_state()`. ValueError when it was taken with another number of GPUs."""
    saved, present = sum(name.startswith("cuda.") for name in state), torch.cuda.device_count()
    if saved != present:
        raise ValueError(f"the random state is of {saved} GPUs, and this machine has {present}")
    gauss = state["python_gauss"].tolist()
    random.setstate((3, tuple(state["python"].tolist()), gauss[0] if gauss else None))
    position, has_gauss = state["numpy_position"].tolist()
    words = state["numpy"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", words, position, has_gauss, state["numpy_gauss"].item()))
    torch.set_rng_state(state["torch"])
    if saved:
        torch.cuda.set_rng_state_all([state[f"cuda.{index}"] for index in range(saved)])


def seed_step(seed: int, step: int, process: int = 0) -> None:
    """Seed everything for one step of a run: what is drawn depends on these three numbers alone, so that nothing needs
    to be kept to go on after a stop."""
    seed_everything(seed * 1_000_003 + step + process * 2_147_483_647)
