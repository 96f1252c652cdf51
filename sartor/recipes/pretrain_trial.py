"""What a pre-training run will take, told from one step of it on random tokens; nothing is written."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from sartor.base.console import warn
from sartor.base.device import device
from sartor.base.distributed import world_size
from sartor.base.peak_memory import PeakMemory
from sartor.data.packing import Batch
from sartor.data.token_shards.stream import Window
from sartor.data.windows import pack_windows
from sartor.recipes.pretrain_model import Beginning, num_weights, tokenizer_folder
from sartor.recipes.pretrain_settings import VOCABULARIES, PretrainSettings
from sartor.recipes.pretrain_speed import PretrainSpeed, measure_speed
from sartor.recipes.pretrain_text import num_bytes
from sartor.train.horizon import TOKENS_PER_WEIGHT, Course, Derived, Wishes, plan_course
from sartor.train.running_text import running_text_loss

BYTES_PER_TOKEN = 4.0  # assumed: of English with a vocabulary of some ten thousand tokens
TRIED_MICRO_BATCHES = 2  # of each process; the first warms up
CHECKPOINT_BYTES_PER_WEIGHT = 2 + 2 + 8  # weights, best weights, optimizer state of AdamW (Muon has less)
CHECKPOINTS_KEPT = 2


@dataclass(frozen=True)
class Trial:
    """`seconds` of the whole run, `disk_bytes` of tokens, checkpoints and model."""

    derived: tuple[Derived, ...]
    course: Course
    peak_bytes: int
    tokens_per_second: float
    seconds: float
    disk_bytes: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def try_pretraining(config: PretrainSettings) -> Trial:
    """Build the model, make one optimizer step on random tokens, and reckon with what it took."""
    memory = PeakMemory(device())
    beginning = Beginning.of(config)
    model = _model(config, beginning)
    data_tokens = round(num_bytes(config.data) / BYTES_PER_TOKEN)
    weights, all_weights = num_weights(model), sum(weight.numel() for weight in model.parameters())

    def course(most_tokens: int | None) -> Course:
        wishes = Wishes(config.num_tokens, config.batch_tokens, config.learning_rate, most_tokens, beginning.continues)
        return plan_course(weights, data_tokens, beginning.window_tokens, wishes)

    speed = _measure(config, model, beginning.window_tokens)
    memory.end("training")
    chosen = speed.course_within(None if config.max_minutes is None else config.max_minutes * 60, course)
    if chosen.warning is not None:
        warn(chosen.warning)
    disk = 2 * data_tokens + (CHECKPOINTS_KEPT * CHECKPOINT_BYTES_PER_WEIGHT + 2) * all_weights
    text = Derived("tokens of text", data_tokens, f"bytes / {BYTES_PER_TOKEN:g}; assumed until they are counted")
    derived = (*beginning.derived(model), text, *chosen.derived)
    return Trial(derived, chosen, memory.peak_bytes, speed.tokens_per_second(chosen), speed.seconds(chosen), disk)


def trial_speed(config: PretrainSettings) -> float:
    """Tokens a second of a model of this size, updates included; the texts are not looked at, and there is enough of
    them for the tokens that suit the model."""
    beginning = Beginning.of(config)
    model = _model(config, beginning)
    weights = num_weights(model)
    wishes = Wishes(config.num_tokens, config.batch_tokens)
    course = plan_course(weights, TOKENS_PER_WEIGHT * weights, beginning.window_tokens, wishes)
    return _measure(config, model, beginning.window_tokens).tokens_per_second(course)


def _model(config: PretrainSettings, beginning: Beginning) -> PreTrainedModel:
    if beginning.preset is None or config.tokenizer is None:
        default = 0 if beginning.preset is None else VOCABULARIES[beginning.preset.name]
        return beginning.model_of(config.vocabulary or default).to(device())
    return beginning.model(tokenizer_folder(config.tokenizer)).to(device())


def _measure(config: PretrainSettings, model: PreTrainedModel, window_tokens: int) -> PretrainSpeed:
    batch = _random_windows(model.config.vocab_size, window_tokens, config.micro_batch_tokens)
    batches = [batch] * (TRIED_MICRO_BATCHES * world_size())
    return measure_speed(config, model, batches, running_text_loss(config.z_loss))


def _random_windows(vocabulary: int, window_tokens: int, micro_batch_tokens: int) -> Batch:
    """As many full windows as are computed at once."""
    number = max(1, micro_batch_tokens // window_tokens)
    ids = np.random.default_rng(0).integers(vocabulary, size=(number, window_tokens + 1))
    return pack_windows([Window(row, (0,), "random tokens") for row in ids])
