"""One sentence for every way of training, with the figure that it is judged by."""

import pytest

from sartor.train.history import History
from sartor.train.run_headline import headline
from tests.train.made_up_alignment import SETTINGS

REWARDS = [{"step": step, "reward": 0.1 * step, "dev_reward": 0.5 + 0.01 * step} for step in range(1, 11)]
ACCURACIES = [{"step": step, "dev_loss": 0.6, "dev_accuracy": 0.6 + 0.01 * step} for step in range(1, 11)]


def sentence(kind: str, records, before=None, best_step: int | None = 10, **settings) -> str:
    history = History(records, best_step=best_step, kind=kind, before=before or {})
    return headline(history, SETTINGS[kind] | settings, {"pairs": 40, "rated_answers": 50, "prompts": 30, "rows": 80})


@pytest.mark.parametrize(
    ("kind", "records", "before", "told"),
    [
        (
            "reward", ACCURACIES, {"dev_accuracy": 0.512, "dev_loss": 0.7},
            "A reward model on small-model, trained on 40 pairs of pairs.jsonl: the held-out accuracy rose from 0.512 "
            "to 0.700.",
        ),
        (
            "dpo", ACCURACIES, {"dev_accuracy": 0.75},
            "A LoRA adapter for small-model, trained by DPO on 40 pairs of pairs.jsonl: the held-out accuracy fell "
            "from 0.750 to 0.700.",
        ),
        (
            "ppo", REWARDS, {"dev_reward": 0.6},
            "A LoRA adapter for small-model, trained by PPO on 30 prompts of prompts.jsonl, rewarded by judge: the "
            "mean reward of held-out prompts stayed at 0.600.",
        ),
        (
            "grpo", REWARDS, {},
            "A LoRA adapter for small-model, trained by GRPO on 30 prompts of sums: the mean reward of held-out "
            "prompts came to 0.600.",
        ),
        (
            "grpo", [{"step": step, "reward": 0.1 * step} for step in range(1, 11)], {},
            "A LoRA adapter for small-model, trained by GRPO on 30 prompts of sums: the mean reward of sampled answers "
            "rose from 0.200 to 0.900.",
        ),
        (
            "dpo", [{"step": 10, "dev_loss": 0.6}], {"dev_loss": 0.7},
            "A LoRA adapter for small-model, trained by DPO on 40 pairs of pairs.jsonl: the held-out loss fell from "
            "0.700 to 0.600.",
        ),
        ("grpo", [], {}, "A LoRA adapter for small-model, trained by GRPO on 30 prompts of sums."),
    ],
)  # fmt: skip
def test_each_way_has_its_sentence(kind, records, before, told):
    assert sentence(kind, records, before) == told


def test_all_that_is_rewarded_is_told():
    told = sentence("grpo", REWARDS, reward=["runs/judge", "0.2*finished"])
    assert ", rewarded by judge and 0.2*finished: the mean" in told
    assert "rewarded by" not in sentence("grpo", REWARDS, reward=[])


def test_a_4_bit_base_and_another_loss_are_told():
    told = sentence("reward", ACCURACIES, adapter="qlora")
    assert told.startswith("A reward model on the 4-bit small-model, trained on 40 pairs")
    assert "trained by KTO on 50 rated answers of" in sentence("dpo", ACCURACIES, loss="kto")
    assert "trained by SimPO on" in sentence("dpo", ACCURACIES, loss="simpo")
    assert sentence("dpo", ACCURACIES, adapter="none", loss="sigmoid").startswith(
        "All weights of small-model, trained by DPO"
    )
