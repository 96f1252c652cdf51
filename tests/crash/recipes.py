"""The recipes that are put through the campaign. A new one is one more entry in RECIPES."""

import functools
import importlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests import tiny_folders
from tests.crash import sources
from tests.crash.sources import MakeSteps

Poison = Literal["loss nan", "loss inf", "gradient nan", "gradient inf"]
POISONS: tuple[Poison, ...] = ("loss nan", "loss inf", "gradient nan", "gradient inf")
COLOURS = ("red", "green", "blue", "white")


@dataclass(frozen=True)
class Recipe:
    """What is crashed.

    `arguments(inputs)` is the command line, with dropout where there is any, two or more micro-batches a step and
    `--out run`. `log_rows(file)`, called in the child, makes the command append `[step, rows]` to `file` whenever it
    takes the rows of a step. `poison(kind, step)`, called in the child, makes the loss or its gradient not finite at
    the 0-based `step` (3 or later). `make_steps` makes a source of its kind, of up to `most_things`. `row_words`: what
    names a row in messages.
    """

    name: str
    make_inputs: Callable[[Path], None]
    arguments: Callable[[Path], list[str]]
    log_rows: Callable[[Path], None]
    poison: Callable[[Poison, int], None]
    make_steps: MakeSteps
    most_things: int
    row_words: str = "rows.jsonl:"


def _finetune_inputs(folder: Path) -> None:
    tiny_folders.language_model(folder / "base")
    rows = [{"question": f"the colour of {n * 7919}", "answer": COLOURS[n % 4]} for n in range(30)]
    tiny_folders.write_rows(folder / "rows.jsonl", rows)


def _pair_inputs(folder: Path) -> None:
    tiny_folders.language_model(folder / "base")
    rows = [{"prompt": f"the colour of {n * 7919}", "chosen": COLOURS[n % 3], "rejected": "white"} for n in range(24)]
    tiny_folders.write_rows(folder / "rows.jsonl", rows)


def _finetune(inputs: Path) -> list[str]:
    return (
        f"finetune {inputs}/rows.jsonl --base {inputs}/base --out run --lora-rank 2 --lora-dropout 0.2 --batch-rows 6 "
        "--micro-batch-tokens 128 --epochs 2 --evaluations 4"
    ).split()


def _prompt_inputs(folder: Path) -> None:
    tiny_folders.language_model(folder / "base")
    tiny_folders.write_rows(folder / "rows.jsonl", [{"prompt": f"the colour of {n * 7919}"} for n in range(9)])


def _ppo(inputs: Path) -> list[str]:
    """Two passes of two minibatches over each batch of answers, of which the second is smaller."""
    return (
        f"ppo {inputs}/rows.jsonl --base {inputs}/base --out run --reward length:5 0.1*finished --lora-rank 2 "
        "--batch-rows 6 --answers 2 --max-new-tokens 8 --passes 2 --minibatches 2 --kl-target 1 "
        "--normalise-reward --micro-batch-tokens 64 --epochs 1 --evaluations 2 --evaluation-prompts 2"
    ).split()


def _text_inputs(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    texts = [" ".join(f"{COLOURS[(n * word) % 4]} {n * word}" for word in range(1, 90)) for n in range(12)]
    tiny_folders.write_rows(folder / "rows.jsonl", [{"id": f"text {n}", "text": text} for n, text in enumerate(texts)])


def _pretrain(inputs: Path) -> list[str]:
    """A tokenizer, tokens and a new model; three micro-batches a step, the last of them smaller."""
    return (
        f"pretrain {inputs}/rows.jsonl --preset 1m --vocabulary 512 --window-tokens 32 --batch-tokens 160 "
        "--micro-batch-tokens 64 --tokens 2k --evaluations 4 --evaluation-tokens 64 --sample-tokens 4 --out run"
    ).split()


def _on_pairs(verb: str, inputs: Path) -> list[str]:
    return (
        f"{verb} {inputs}/rows.jsonl --base {inputs}/base --out run --lora-rank 2 --lora-dropout 0.2 --batch-rows 5 "
        "--micro-batch-tokens 256 --epochs 2 --evaluations 4"
    ).split()


@dataclass(frozen=True)
class Taken:
    """Where a recipe's rows and losses come from: the class of its source, and a loss, each in a module; and such a
    source of any sizes."""

    source_module: str
    source: str
    loss_module: str
    loss: str  # a function, or Class.method
    make_steps: MakeSteps
    rows_of: str = "rows_of"  # the source's method that gives the rows, or the micro-batches, of a step
    most_things: int = 60

    def source_class(self) -> Any:
        return getattr(importlib.import_module(self.source_module), self.source)

    def loss_owner(self) -> tuple[Any, str]:
        """What holds the loss, and its name there."""
        *owners, name = self.loss.split(".")
        return functools.reduce(getattr, owners, importlib.import_module(self.loss_module)), name


SUPERVISED = Taken(
    "sartor.data.batches", "BatchSource", "sartor.recipes.examples", "supervised_loss", sources.of_rows
)
REWARDS = Taken(
    "sartor.data.pairs", "PairSource", "sartor.recipes.reward_stage", "RewardStage._loss", sources.of_pairs
)
PREFERENCES = Taken("sartor.data.pairs", "PairSource", "sartor.recipes.dpo_stage", "DpoStage._loss", sources.of_pairs)
WINDOWS = Taken(
    "sartor.data.windows", "WindowSource", "sartor.train.running_text", "batch_loss", sources.of_windows, "step"
)
ANSWERS = Taken(
    "sartor.train.rollouts", "RolloutSource", "sartor.train.rl_loss", "RolloutLoss.__call__", sources.of_answers,
    "step", most_things=4,
)  # fmt: skip


def _log_rows(taken: Taken, file: Path) -> None:
    source_class = taken.source_class()
    original = getattr(source_class, taken.rows_of)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def rows_of(source: Any, step: int) -> Any:
        rows = original(source, step)
        os.write(descriptor, (json.dumps([step, [row.where for row in rows]]) + "\n").encode())
        return rows

    setattr(source_class, taken.rows_of, rows_of)


def _poison(taken: Taken, kind: Poison, step: int) -> None:
    source_class, (owner, name) = taken.source_class(), taken.loss_owner()
    rows_of, loss_of, current = getattr(source_class, taken.rows_of), getattr(owner, name), -1
    what, value = kind.split()

    def noted(source: Any, asked: int) -> Any:
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

    setattr(source_class, taken.rows_of, noted)
    setattr(owner, name, poisoned)


def _recipe(
    name: str,
    make_inputs: Callable[[Path], None],
    arguments: Callable[[Path], list[str]],
    taken: Taken,
    row_words: str = "rows.jsonl:",
) -> Recipe:
    return Recipe(
        name,
        make_inputs,
        arguments,
        functools.partial(_log_rows, taken),
        functools.partial(_poison, taken),
        taken.make_steps,
        taken.most_things,
        row_words=row_words,
    )


FINETUNE = _recipe("finetune", _finetune_inputs, _finetune, SUPERVISED)
REWARD = _recipe("reward", _pair_inputs, functools.partial(_on_pairs, "reward"), REWARDS)
DPO = _recipe("dpo", _pair_inputs, functools.partial(_on_pairs, "dpo"), PREFERENCES)
PPO = _recipe("ppo", _prompt_inputs, _ppo, ANSWERS)
PRETRAIN = _recipe("pretrain", _text_inputs, _pretrain, WINDOWS, row_words="train window ")
RECIPES = (FINETUNE, REWARD, DPO, PPO, PRETRAIN)
