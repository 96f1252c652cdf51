"""The recipes that are put through the campaign. A new one is one more entry in RECIPES."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests import tiny_folders

Poison = Literal["loss nan", "loss inf", "gradient nan", "gradient inf"]
POISONS: tuple[Poison, ...] = ("loss nan", "loss inf", "gradient nan", "gradient inf")
COLOURS = ("red", "green", "blue", "white")


@dataclass(frozen=True)
class Recipe:
    """What is crashed.

    `arguments(inputs)` is the command line, with dropout, two or more micro-batches a step and `--out run`.
    `log_rows(file)`, called in the child, makes the command append `[step, rows]` to `file` whenever it takes the rows
    of a step. `poison(kind, step)`, called in the child, makes the loss or its gradient not finite at the 0-based
    `step` (3 or later).
    """

    name: str
    make_inputs: Callable[[Path], None]
    arguments: Callable[[Path], list[str]]
    log_rows: Callable[[Path], None]
    poison: Callable[[Poison, int], None]


def _finetune_inputs(folder: Path) -> None:
    tiny_folders.language_model(folder / "base")
    rows = [{"question": f"the colour of {n * 7919}", "answer": COLOURS[n % 4]} for n in range(30)]
    tiny_folders.write_rows(folder / "rows.jsonl", rows)


def _finetune(inputs: Path) -> list[str]:
    return (
        f"finetune {inputs}/rows.jsonl --base {inputs}/base --out run --lora-rank 2 --lora-dropout 0.2 --batch-rows 6 "
        "--micro-batch-tokens 128 --epochs 2 --evaluations 4"
    ).split()


def _log_rows_of_batch_source(file: Path) -> None:
    from sartor.data.batches import BatchSource

    original = BatchSource.rows_of
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def rows_of(source: BatchSource, step: int) -> Any:
        rows = original(source, step)
        os.write(descriptor, (json.dumps([step, [row.where for row in rows]]) + "\n").encode())
        return rows

    BatchSource.rows_of = rows_of  # type: ignore[method-assign]


def _poison_supervised_loss(kind: Poison, step: int) -> None:
    from sartor.data.batches import BatchSource
    from sartor.recipes import training

    rows_of, loss_of, current = BatchSource.rows_of, training.supervised_loss, -1
    what, value = kind.split()

    def noted(source: BatchSource, asked: int) -> Any:
        nonlocal current
        current = asked
        return rows_of(source, asked)

    def poisoned(*arguments: Any) -> Any:
        loss, metrics = loss_of(*arguments)
        if current == step and what == "loss":
            loss = loss * float(value)
        elif current == step:
            loss.register_hook(lambda gradient: gradient * float(value))
        return loss, metrics

    BatchSource.rows_of = noted  # type: ignore[method-assign]
    training.supervised_loss = poisoned


FINETUNE = Recipe("finetune", _finetune_inputs, _finetune, _log_rows_of_batch_source, _poison_supervised_loss)
RECIPES = (FINETUNE,)
