"""What a pre-training run begins from: a new model of some size, or one that is there."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from sartor.base.device import compute_dtype, device
from sartor.base.distributed import barrier, is_main
from sartor.base.errors import UsageError
from sartor.base.run_folder import RunFolder
from sartor.models.forward import load_packed, recompute_activations, use_packed_attention
from sartor.models.hub import context_tokens, load_tokenizer, resolve
from sartor.models.presets import PRESETS, Preset, new_model
from sartor.recipes.pretrain_settings import VOCABULARIES, WINDOWS, PretrainSettings
from sartor.recipes.pretrain_text import train_own_tokenizer
from sartor.train.horizon import Derived

DEFAULT_PRESET = "10m"
LONGEST_BASE_WINDOW = 1024  # a base may read far more than a step should take at once


@dataclass(frozen=True)
class Beginning:
    """`base` is the folder of the model to go on with, None for a new one of the size `preset`."""

    config: PretrainSettings
    base: Path | None
    preset: Preset | None
    window_tokens: int

    @staticmethod
    def of(config: PretrainSettings) -> "Beginning":
        """UsageError where the settings contradict each other."""
        if config.base is None:
            preset = PRESETS[config.preset or DEFAULT_PRESET]
            if config.tokenizer is not None and config.vocabulary is not None:
                raise _without_effect("--vocabulary", "--tokenizer names a tokenizer that is there")
            return Beginning(config, None, preset, config.window_tokens or WINDOWS[preset.name])
        for option, value in (("--preset", config.preset), ("--vocabulary", config.vocabulary)):
            if value is not None:
                raise _without_effect(option, "--base names a model that is there")
        if config.tokenizer is not None:
            raise _without_effect("--tokenizer", "a base comes with its own")
        base = resolve(config.base)
        limit = context_tokens(base)
        window = config.window_tokens or min(limit, LONGEST_BASE_WINDOW)
        if window > limit:
            raise UsageError(f"{config.base} reads {limit:,} tokens", where="--window-tokens", hint=f"at most {limit}")
        return Beginning(config, base, None, window)

    @property
    def continues(self) -> bool:
        return self.base is not None

    @property
    def name(self) -> str:
        return self.config.base or f"a new {self.preset.name if self.preset else ''} model"

    def tokenizer(self, folder: RunFolder) -> Path:
        """The folder of the tokenizer: the base's, the one that was named, or one trained on the texts and kept in the
        run."""
        if self.base is not None:
            return self.base
        if self.config.tokenizer is not None:
            return tokenizer_folder(self.config.tokenizer)
        assert self.preset is not None
        own = folder.path / "tokenizer"
        if is_main() and not own.is_dir():
            train_own_tokenizer(self.config, self.config.vocabulary or VOCABULARIES[self.preset.name], own)
        barrier()
        return own

    def model(self, tokenizer: Path) -> PreTrainedModel:
        """The model that reads the tokens of `tokenizer`, as `model_of`."""
        known = load_tokenizer(tokenizer)
        return self.model_of(len(known), known.bos_token_id, known.eos_token_id)

    def model_of(self, vocabulary: int, bos: int | None = None, eos: int | None = None) -> PreTrainedModel:
        """The model on the CPU, every weight trained, in the number format this machine computes best in; its start is
        a function of the seed. A base has its own vocabulary."""
        dtype = compute_dtype(device())
        if self.base is not None:
            model = load_packed(self.base, dtype)
        else:
            assert self.preset is not None
            fresh = new_model(self.preset, vocabulary, self.window_tokens, self.config.seed, bos, eos)
            model = use_packed_attention(fresh.to(dtype))
        model.requires_grad_(True)
        if self.config.activation_checkpointing:
            recompute_activations(model)
        return model

    def derived(self, model: PreTrainedModel) -> tuple[Derived, ...]:
        """The model's shape, with where it comes from."""
        shape: Any = model.config
        source = self.preset.source if self.preset is not None else f"as {self.config.base} is"
        own = "asked for" if self.config.window_tokens else "by the size of the model; assumed"
        return (
            Derived("layers", shape.num_hidden_layers, source),
            Derived("width", shape.hidden_size, source),
            Derived("weights without the embedding", num_weights(model), "counted"),
            Derived("weights", sum(weight.numel() for weight in model.parameters()), "counted"),
            Derived("vocabulary", shape.vocab_size, "the tokenizer's"),
            Derived("window, tokens", self.window_tokens, own),
        )


def tokenizer_folder(name: str) -> Path:
    """A folder with a tokenizer, whether or not a model comes with it."""
    named = Path(name).expanduser()
    return named if (named / "tokenizer.json").is_file() else resolve(name)


def num_weights(model: PreTrainedModel) -> int:
    """Weights without the embedding (and without an output head of its own)."""
    apart = {id(model.get_input_embeddings().weight), id(model.get_output_embeddings().weight)}
    return sum(weight.numel() for weight in model.parameters() if id(weight) not in apart)


def _without_effect(option: str, because: str) -> UsageError:
    return UsageError("has no effect here", where=option, hint=f"leave it away: {because}")
