"""Preference pairs that the tests of `sartor reward` and `sartor dpo` train on."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests import tiny_folders

COLOURS = ("red", "green", "blue", "white")
ROWS = [
    {"prompt": f"the colour of {n * 7919}", "chosen": COLOURS[n % 3], "rejected": "white and nothing"}
    for n in range(40)
]


def write(folder: Path, rows: list[dict[str, Any]] = ROWS) -> Path:
    """The file of pairs in `folder`."""
    tiny_folders.write_rows(folder / "pairs.jsonl", rows)
    return folder / "pairs.jsonl"


def metrics(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def computed_in_float32(patch: pytest.MonkeyPatch) -> None:
    """Whatever this machine computes best in."""
    import torch

    patch.setattr("sartor.recipes.training.compute_dtype", lambda device: torch.float32)
