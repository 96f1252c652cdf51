"""A tiny model learns a preference: its reward knows the better of answers it never saw, DPO makes them likelier.

Polite answers are preferred to rude ones, whatever else is said in them.
"""

import itertools
import random
from pathlib import Path

import pytest
import torch

from sartor.recipes.dpo import DpoConfig
from sartor.recipes.dpo import run as dpo
from sartor.recipes.reward import RewardConfig
from sartor.recipes.reward import run as reward
from tests import tiny_folders, tiny_models

pytestmark = pytest.mark.learn
WORDS = ("cat", "dog", "mat", "hat", "sun", "sea", "red", "sky")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that tells words apart, as a random one does not."""
    folder = tmp_path_factory.mktemp("base")
    model = tiny_models.model(layers=2, width=64)
    model.config.max_position_embeddings = 4096
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.mul_(5 if "proj" in name else 1 if "norm" in name else 20)
    model.save_pretrained(folder)
    tiny_models.tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Pairs to learn from and to hold out: no prompt is in both."""
    draw = random.Random(0)
    folder = tmp_path_factory.mktemp("pairs")
    rows = []
    for prompt in draw.sample([" ".join(words) for words in itertools.permutations(WORDS, 3)], 250):
        answers = [f"the {draw.choice(WORDS)} {word} {draw.choice(WORDS)}" for word in ("polite", "rude")]
        rows.append({"prompt": prompt, "chosen": answers[0], "rejected": answers[1]})
    tiny_folders.write_rows(folder / "train.jsonl", rows[:200])
    tiny_folders.write_rows(folder / "dev.jsonl", rows[200:])
    return folder / "train.jsonl", folder / "dev.jsonl"


SETTINGS = {"epochs": 1, "evaluations": 2, "batch_rows": 10, "lora_rank": 8, "learning_rate": 3e-3, "patience": None}


def test_a_reward_model_is_right_about_pairs_it_never_saw(base: Path, files: tuple[Path, Path], tmp_path: Path) -> None:
    train, dev = files
    result = reward(RewardConfig(data=str(train), dev=str(dev), base=str(base), out=str(tmp_path / "run"), **SETTINGS))  # type: ignore[arg-type]
    accuracy = result.quality["accuracy"]
    assert accuracy["n"] == 50 and accuracy["mean"] >= 0.95
    assert result.dev_loss < 0.2 < 0.5 < result.dev_loss_before


@pytest.mark.parametrize("loss", ["sigmoid", "simpo"])
def test_preference_optimisation_makes_the_better_answers_likelier(
    base: Path, files: tuple[Path, Path], tmp_path: Path, loss: str
) -> None:
    train, dev = files
    result = dpo(
        DpoConfig(data=str(train), dev=str(dev), base=str(base), out=str(tmp_path / "run"), loss=loss, **SETTINGS)  # type: ignore[arg-type]
    )
    assert result.quality["accuracy"] >= 0.95
    assert result.dev_loss < 0.7 * result.dev_loss_before
    if loss == "sigmoid":
        assert result.quality["chosen_change"] > result.quality["rejected_change"] + 5
