"""What preference optimisation on answers that were rated one by one consists of (KTO, 2402.01306)."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from sartor.base.distributed import world_size
from sartor.base.errors import UsageError
from sartor.base.run_folder import RunFolder
from sartor.data.batches import sample_rows
from sartor.data.rated import Rated
from sartor.models.hub import locate
from sartor.recipes.pair_rows import PreparedRated, prepare_rated
from sartor.recipes.preference_settings import DpoSettings
from sartor.recipes.reference import known_reference, with_reference
from sartor.recipes.stage import Quality, Stage, held_out_sums
from sartor.train.log_probs import batch_log_probs
from sartor.train.loop import LossOf
from sartor.train.objectives.preference import kto_loss
from sartor.train.rated_source import Divergence, RatedBatch, RatedSource, rated_batches, rated_reference

NOT_READ = ("label_smoothing", "target_margin", "length_normalised", "supervised_weight")


class KtoStage(Stage[DpoSettings]):
    """Desirable answers become likelier and others less likely, against the reference: the model as it was."""

    own_dropout = False  # the reference has none either
    source: RatedSource
    prepared: PreparedRated

    def __init__(self, config: DpoSettings, prepared: PreparedRated | None = None):
        super().__init__(config)
        refuse_settings_not_read(config)
        self.prepared = prepared = prepared or prepare_rated(config, locate(config.base))
        self.take(prepared)
        self.source = RatedSource(
            prepared.train, config.batch_rows, config.micro_batch_tokens, config.seed, world_size()
        )
        self.dev = prepared.dev
        self.beforehand_tokens = 2 * (self.dev_tokens + sum(each.num_tokens for each in prepared.train))

    def begin(self, model: PreTrainedModel, folder: RunFolder) -> None:
        """The reference model's log-probabilities: computed once, by the model before its first step, and kept."""
        known = known_reference(folder, model, {"train": self.source.rows, "dev": self.dev}, self._reference)
        self.source.rows = with_reference(self.source.rows, known["train"])
        self.dev = with_reference(self.dev, known["dev"])

    def _reference(self, model: PreTrainedModel, rows: Sequence[Rated]) -> Tensor:
        return rated_reference(model, rows, self.config.micro_batch_tokens)

    @property
    def loss_of(self) -> LossOf:
        return self._loss

    def _loss(self, model: nn.Module, batch: RatedBatch, num_rows: int) -> tuple[Tensor, dict[str, float]]:
        log_probs = batch.rows.row_sums(batch_log_probs(model, batch.rows))
        divergence = batch.divergence.of(model)
        weights = self.config.desirable_weight, self.config.undesirable_weight
        loss, metrics = kto_loss(
            log_probs, batch.reference, batch.desirable, divergence, num_rows, self.config.beta, *weights
        )
        share = batch.num_units / num_rows  # of the step, as metrics are summed over its micro-batches
        return loss, {**metrics, "divergence": divergence * share}

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        batches = rated_batches(self.dev, Divergence(self.dev, self.config.micro_batch_tokens))
        return held_out_sums(model, self._loss, batches, len(self.dev))

    def trial(self, most_tokens: int) -> "KtoStage":
        dev = sample_rows(self.prepared.dev, most_tokens)
        trial = KtoStage(self.config, replace(self.prepared, dev=dev))
        trial.source.rows = with_reference(trial.source.rows, torch.zeros(self.num_train, 2))
        trial.dev = with_reference(dev, torch.zeros(len(dev), 2))
        return trial

    def quality(self, model: PreTrainedModel) -> Quality:
        with torch.inference_mode():
            measured = self.evaluate(model)
        return Quality({name.removeprefix("dev_"): value for name, value in measured.items() if name != "dev_loss"}, [])


def refuse_settings_not_read(config: DpoSettings) -> None:
    """UsageError for a setting that KTO does not read."""
    given = [name for name in NOT_READ if getattr(config, name) != DpoSettings.model_fields[name].default]
    if given:
        raise UsageError(
            f"{given[0]} has no effect on the loss kto", where="--loss kto", hint="leave the setting away"
        )
