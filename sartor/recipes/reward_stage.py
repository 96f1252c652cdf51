"""What training a reward model consists of."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedModel

from sartor.adapters.reward_store import HEAD, RewardScale, head_of, reward_files
from sartor.base.distributed import is_main, world_size
from sartor.base.durable import Content
from sartor.base.seeds import seed_everything
from sartor.data.batches import sample_rows
from sartor.data.chat import Rendered
from sartor.data.pairs import Pair, PairBatch, PairSource, pair_batches, scored
from sartor.evaluation.reward_quality import reward_quality
from sartor.models.hub import ModelLocation, resolve
from sartor.models.scalar_head import ScalarHead
from sartor.recipes.pair_rows import PreparedPairs, prepare_pairs
from sartor.recipes.preference_settings import RewardSettings
from sartor.recipes.stage import Quality, Stage
from sartor.recipes.training import lora_settings
from sartor.train.loop import LossOf
from sartor.train.objectives.reward import bradley_terry_loss
from sartor.train.row_scores import row_scores


class RewardStage(Stage[RewardSettings]):
    """An adapter and a head that score the preferred answers higher (Bradley and Terry)."""

    prepared: PreparedPairs

    def __init__(self, config: RewardSettings, prepared: PreparedPairs | None = None):
        super().__init__(config)
        location = ModelLocation(config.base, resolve(config.base))  # a whole model: its adapter is what is made
        self.prepared = prepared = prepared or prepare_pairs(config, location, read_at_the_end)
        self.take(prepared)
        pairs = [scored(pair) for pair in prepared.train]
        self.source = PairSource(pairs, config.batch_rows, config.micro_batch_tokens, config.seed, world_size())

    def complete(self) -> PreTrainedModel:
        model = super().complete()
        seed_everything(self.config.seed + 1)  # apart from the adapter's start
        model.add_module(HEAD, ScalarHead(model.config.hidden_size))
        return model

    @property
    def loss_of(self) -> LossOf:
        return self._loss

    def _loss(self, model: nn.Module, batch: PairBatch, num_pairs: int) -> tuple[Tensor, dict[str, float]]:
        rewards = row_scores(model, head_of(model), batch.rows)
        return bradley_terry_loss(rewards[::2], rewards[1::2], num_pairs, centering=self.config.centering)

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        rewards = torch.from_numpy(pair_rewards(model, self.prepared.dev, self.config.micro_batch_tokens))
        _, metrics = bradley_terry_loss(rewards[:, 0], rewards[:, 1], len(rewards))
        return {f"dev_{name}": metrics[name] for name in ("loss", "accuracy", "margin")}

    def trial(self, most_tokens: int) -> "RewardStage":
        return RewardStage(self.config, replace(self.prepared, dev=sample_rows(self.prepared.dev, most_tokens)))

    def quality(self, model: PreTrainedModel) -> Quality:
        rewards = pair_rewards(model, self.prepared.dev, self.config.micro_batch_tokens)
        lengths = np.array([[row.num_trained for row in (each.chosen, each.rejected)] for each in self.prepared.dev])
        self._scale = RewardScale(float(rewards.mean()), float(rewards.std()) or 1.0)
        found = reward_quality(rewards[:, 0], rewards[:, 1], lengths[:, 0], lengths[:, 1])
        return Quality(found.as_dict(), found.sentences())

    def files(self, model: PreTrainedModel) -> tuple[str, Mapping[str, Content]]:
        if not is_main():
            return "adapter", {}
        settings = lora_settings(self.config)
        assert settings is not None, "a reward model is an adapter"
        return "adapter", reward_files(model, head_of(model), settings, self.base_name, self._scale)


def read_at_the_end(row: Rendered) -> Rendered:
    """The row with its last token marked: where the reward is read."""
    return replace(row, trained=[place == len(row.ids) - 1 for place in range(len(row.ids))])


@torch.inference_mode()
def pair_rewards(model: nn.Module, pairs: Sequence[Pair], micro_batch_tokens: int) -> NDArray[np.float64]:
    """Raw rewards of the pairs' answers [P, 2], chosen first, in the pairs' order."""
    device = next(model.parameters()).device
    order = sorted(range(len(pairs)), key=lambda index: pairs[index].num_tokens)  # as pair_batches orders them
    rewards = np.zeros((len(pairs), 2))
    done = 0
    for batch in pair_batches([scored(pair) for pair in pairs], micro_batch_tokens):
        moved = batch.to(device)
        found = row_scores(model, head_of(model), moved.rows).double().cpu().numpy().reshape(-1, 2)
        rewards[order[done : done + len(found)]] = found
        done += len(found)
    return rewards
