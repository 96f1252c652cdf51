"""What preference optimisation consists of."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from sartor.base.distributed import world_size
from sartor.base.errors import UsageError
from sartor.base.run_folder import RunFolder
from sartor.data.batches import sample_rows
from sartor.data.pairs import Pair, PairBatch, PairSource, pair_batches
from sartor.models.hub import locate
from sartor.recipes.pair_rows import PreparedPairs, prepare_pairs
from sartor.recipes.preference_settings import DpoSettings
from sartor.recipes.reference import known_reference, with_reference
from sartor.recipes.stage import Quality, Stage, held_out_sums
from sartor.train.loop import LossOf
from sartor.train.objectives.preference import PreferenceSettings, preference_loss
from sartor.train.pair_log_probs import pair_log_probs, reference_log_probs

ADAPTER_SETTINGS = ("adapter", "lora_rank", "lora_alpha", "lora_dropout", "lora_targets", "rslora", "dora")


class DpoStage(Stage[DpoSettings]):
    """The model learns to prefer what is preferred, held to the reference: itself as it was before the first step."""

    own_dropout = False  # the reference has none either
    source: PairSource
    prepared: PreparedPairs

    def __init__(self, config: DpoSettings, prepared: PreparedPairs | None = None):
        super().__init__(config)
        self.objective = objective_of(config)
        self.prepared = prepared = prepared or prepare_pairs(config, locate(config.base))
        self.take(prepared)
        self.source = PairSource(
            prepared.train, config.batch_rows, config.micro_batch_tokens, config.seed, world_size()
        )
        self.dev = prepared.dev
        if self.objective.needs_reference:
            self.beforehand_tokens = self.dev_tokens + sum(pair.num_tokens for pair in prepared.train)

    def begin(self, model: PreTrainedModel, folder: RunFolder) -> None:
        """The reference model's log-probabilities: computed once, by the model before its first step, and kept."""
        if not self.objective.needs_reference:
            return
        rows = {"train": self.source.rows, "dev": self.dev}
        known = known_reference(folder, model, rows, self._reference)
        self.source.rows = with_reference(self.source.rows, known["train"])
        self.dev = with_reference(self.dev, known["dev"])

    def _reference(self, model: PreTrainedModel, pairs: Sequence[Pair]) -> Tensor:
        return reference_log_probs(model, pairs, self.config.micro_batch_tokens)

    @property
    def loss_of(self) -> LossOf:
        return self._loss

    def _loss(self, model: nn.Module, batch: PairBatch, num_pairs: int) -> tuple[Tensor, dict[str, float]]:
        return preference_loss(pair_log_probs(model, batch), num_pairs, self.objective)

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        batches = pair_batches(self.dev, self.config.micro_batch_tokens)
        return held_out_sums(model, self._loss, batches, len(self.dev))

    def trial(self, most_tokens: int) -> "DpoStage":
        dev = sample_rows(self.prepared.dev, most_tokens)
        trial = DpoStage(self.config, replace(self.prepared, dev=dev))
        if self.objective.needs_reference:  # any will do to measure time and memory
            trial.source.rows = with_reference(trial.source.rows, torch.zeros(self.num_train, 2))
            trial.dev = with_reference(dev, torch.zeros(len(dev), 2))
        return trial

    def quality(self, model: PreTrainedModel) -> Quality:
        with torch.inference_mode():
            measured = self.evaluate(model)
        return Quality({name.removeprefix("dev_"): value for name, value in measured.items() if name != "dev_loss"}, [])


def objective_of(config: DpoSettings) -> PreferenceSettings:
    """UsageError for a setting that the chosen loss does not read."""
    refuse_rating_weights(config)
    assert config.loss != "kto", "KTO is a stage of its own"
    try:
        return PreferenceSettings(
            config.loss,
            config.beta,
            config.label_smoothing,
            config.target_margin,
            config.length_normalised,
            config.supervised_weight,
        )
    except ValueError as error:
        raise UsageError(str(error), where=f"--loss {config.loss}", hint="leave the setting away") from None


def refuse_rating_weights(config: DpoSettings) -> None:
    """UsageError for weights of rated answers where pairs are learnt from."""
    given = [name for name in ("desirable_weight", "undesirable_weight") if getattr(config, name) != 1.0]
    if given:
        raise UsageError(
            "these weights are for answers that were rated one by one",
            where=", ".join(f"--{name.replace('_', '-')}" for name in given),
            hint="leave them away, or take --loss kto",
        )
