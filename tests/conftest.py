"""What several test rooms need: real data and starter models where they are, threads kept few."""

import os
from pathlib import Path

import pytest
import torch

from sartor.models.starter import fetch, is_fetched

REPOSITORY = Path(__file__).resolve().parent.parent
torch.set_num_threads(min(torch.get_num_threads(), 2))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with real data: SARTOR_DATA, else the one beside the checkout; the test is skipped without
    it."""
    folder = Path(os.environ.get("SARTOR_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data: SARTOR_DATA is not set and {folder} does not exist")
    return folder


@pytest.fixture(scope="session")
def starter_model() -> Path:
    """The starter model's folder; the test is skipped where it was never fetched (tests use no network)."""
    return _fetched("starter")


@pytest.fixture(scope="session")
def minilm_model() -> Path:
    """The embedder's folder; the test is skipped where it was never fetched."""
    return _fetched("minilm")


def _fetched(name: str) -> Path:
    if not is_fetched(name):
        pytest.skip(f"the model {name} is not in the cache (`make models` fetches it)")
    return fetch(name)
