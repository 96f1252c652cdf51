"""Prompts, a reward model and settings that the tests of `sartor ppo` and `sartor grpo` learn with."""

from pathlib import Path
from typing import Any

from sartor.recipes.grpo import GrpoConfig
from sartor.recipes.ppo import PpoConfig
from tests import tiny_folders

ROWS = [{"prompt": f"the colour of {n * 7919}", "answer": ("red", "green")[n % 2]} for n in range(24)]
SETTINGS: dict[str, Any] = {
    "reward": ["length:4"], "lora_rank": 3, "batch_rows": 6, "max_new_tokens": 8, "micro_batch_tokens": 128,
    "epochs": 1.0, "evaluations": 2, "evaluation_prompts": 4, "learning_rate": 3e-3,
}  # fmt: skip


def write(folder: Path, rows: list[dict[str, Any]] = ROWS) -> Path:
    """The file of prompts in `folder`."""
    tiny_folders.write_rows(folder / "rows.jsonl", rows)
    return folder / "rows.jsonl"


def ppo_config(base: Path | str, data: Path, **settings: Any) -> PpoConfig:
    values = {"data": str(data), "base": str(base), "out": str(data.parent / "run"), "passes": 2, "answers": 2}
    return PpoConfig(**{**SETTINGS, **values, **settings})


def grpo_config(base: Path | str, data: Path, **settings: Any) -> GrpoConfig:
    values = {"data": str(data), "base": str(base), "out": str(data.parent / "run"), "answers": 3}
    return GrpoConfig(**{**SETTINGS, **values, **settings})
