"""A whole tiny choice whose fine-tuned path is trained more often than once."""

from pathlib import Path
from typing import Any

from sartor.base.configuration import Layer, build
from sartor.choosing.choose import ChooseConfig
from tests import tiny_folders

NUM_TRAIN, NUM_DEV = 64, 30


def task_with_dev(folder: Path) -> Path:
    """The tiny task with 64 train rows in groups of two and 30 dev rows of its own, and without documents."""
    tiny_folders.task(folder)
    (folder / "documents").rename(folder.parent / "unused documents")
    ships, harbours = tiny_folders.SHIPS, tiny_folders.HARBOURS
    rows = [
        {
            "question": f"where does captain {n} of the {ships[n % 6]} ship moor",
            "answer": harbours[n % 6],
            "group": f"g{n // 2}",
        }
        for n in range(NUM_TRAIN + NUM_DEV)
    ]
    tiny_folders.write_rows(folder / "train.jsonl", rows[:NUM_TRAIN])
    tiny_folders.write_rows(folder / "dev.jsonl", rows[NUM_TRAIN:])
    return folder


def config(task: Path, base: Path, out: Path, **settings: Any) -> ChooseConfig:
    values = {"task": str(task), "out": str(out), "base": str(base), "budget": "10s", "paths": ["finetune"]}
    return build(ChooseConfig, Layer(values | {"probes": ["none"]} | settings))
