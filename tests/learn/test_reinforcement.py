"""Tiny models learn from rewards alone: GRPO a rule that an answer keeps or not, PPO a scorer's gradual one."""

from pathlib import Path
from typing import Any

import pytest
import torch

from sartor.recipes import grpo, ppo
from sartor.recipes.grpo import GrpoConfig
from sartor.recipes.ppo import PpoConfig
from tests import tiny_folders, tiny_models

pytestmark = pytest.mark.learn
WORDS = ("cat", "dog", "mat", "hat", "sun", "sea", "red", "sky")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model whose answers have no rule, with weights large enough for an adapter to change what it says."""
    folder = tmp_path_factory.mktemp("base")
    model = tiny_models.model()
    model.config.max_position_embeddings = 4096
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.mul_(5 if "proj" in name else 1 if "norm" in name else 10)
    model.save_pretrained(folder)
    tiny_models.tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prompts")
    tiny_folders.write_rows(folder / "rows.jsonl", [{"prompt": f"{a} {b}"} for a in WORDS for b in WORDS])
    return folder / "rows.jsonl"


SETTINGS: dict[str, Any] = {
    "lora_rank": 8, "lora_alpha": 64.0, "learning_rate": 2e-2, "schedule": "constant", "evaluations": 1, "seed": 0,
    "micro_batch_tokens": 8192, "traced_answers": 0,
}  # fmt: skip


def test_grpo_teaches_a_rule(base: Path, prompts: Path, tmp_path: Path) -> None:
    """An answer of three tokens is right when there is a t in it, which it hardly is by chance."""
    settings = SETTINGS | {"batch_rows": 4, "answers": 16, "max_new_tokens": 3, "epochs": 1.75, "kl_coefficient": 0.0}
    result = grpo.run(
        GrpoConfig(data=str(prompts), base=str(base), out=str(tmp_path / "run"), reward=["regex:(?s).*t.*"], **settings)
    )
    assert result.dev_reward_before < 0.4 and result.dev_reward > 0.8
    assert result.difference[1] is not None and result.difference[1] > 0.3


def test_ppo_raises_a_scorer_s_reward(base: Path, prompts: Path, tmp_path: Path) -> None:
    """The reward is the share of vowels in an answer, by a function of the user's own."""
    (tmp_path / "scorer.py").write_text(
        "def vowels(answer, prompt, answers):\n    return sum(c in 'aeiou' for c in answer) / max(len(answer), 1)\n"
    )
    settings = SETTINGS | {"batch_rows": 16, "answers": 4, "max_new_tokens": 3, "epochs": 3.5, "passes": 2}
    settings |= {"kl_coefficient": 0.0, "unfinished_penalty": 0.0}
    scorer = f"python:{tmp_path}/scorer.py:vowels"
    result = ppo.run(
        PpoConfig(data=str(prompts), base=str(base), out=str(tmp_path / "run"), reward=[scorer], **settings)
    )
    assert result.dev_reward_before < 0.2 and result.dev_reward > 0.5
    assert result.difference[1] is not None and result.difference[1] > 0.2
