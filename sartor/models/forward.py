"""A causal language model of transformers as we compute it: packed attention, fused layers, one forward pass."""

import inspect
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from sartor.base.errors import UsageError
from sartor.models.attention import IMPLEMENTATION, OTHER_MODEL_HINT, Layout, register
from sartor.models.fused import fuse
from sartor.models.hub import load_model

PACKED_LAYERS = {"full_attention", "sliding_attention"}  # as transformers names them


def load_packed(folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    """The model in `folder` (errors as `load_model`), frozen, on the CPU, made ready for packed rows."""
    return use_packed_attention(load_model(folder, dtype))


def use_packed_attention(model: PreTrainedModel) -> PreTrainedModel:
    """Make a loaded model ready for packed rows, in place. UsageError for one that would be computed wrongly."""
    register()
    model.set_attn_implementation(IMPLEMENTATION)
    hindrance = _not_computed_here(model)
    if hindrance is not None:
        raise UsageError(
            f"models of the type {model.config.model_type} cannot be computed here: {hindrance}",
            where=model.config.name_or_path or None,
            hint=OTHER_MODEL_HINT,
        )
    return fuse(model)


def _not_computed_here(model: PreTrainedModel) -> str | None:
    """What of the model packed rows, or a head that is one matrix, would silently leave out or mix up."""
    if model.config._attn_implementation != IMPLEMENTATION:
        return "it computes its attention in a way of its own"
    head: Any = model.get_output_embeddings()
    if getattr(head, "bias", None) is not None:
        return "its output layer has a bias"
    kinds: Any = getattr(model.config.get_text_config(), "layer_types", None)
    others = sorted(set(kinds or ()) - PACKED_LAYERS)
    if others:  # what looks at earlier tokens by other means than attention sees the rows in front of its own
        return f"it has layers of the kind {others[0]}"
    if any(name.endswith(".sinks") for name, _ in model.named_parameters()):
        return "it has attention sinks"
    if model.base_model is model or "position_ids" not in inspect.signature(model.base_model.forward).parameters:
        return "it cannot be told where in its own row a token stands"
    return None


def recompute_activations(model: PreTrainedModel) -> None:
    """Keep only each layer's input in training and compute the layer again for its gradient (Chen et al., 1604.06174):
    less memory for one more forward pass, same gradients. UsageError where the model's layers cannot."""
    if not model.supports_gradient_checkpointing:
        raise UsageError(
            f"{type(model).__name__} cannot compute its layers again",
            where="--activation-checkpointing",
            hint="lower --micro-batch-tokens instead",
        )
    with warnings.catch_warnings():  # newer versions of transformers have another name for it
        warnings.simplefilter("ignore", FutureWarning)
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})


def hidden_states(model: PreTrainedModel, ids: Tensor, positions: Tensor, layout: Layout) -> Tensor:
    """Token ids [T] with their positions [T] inside their own rows -> last hidden states [T, d]."""
    output = model.base_model(input_ids=ids[None], position_ids=positions[None], use_cache=False, layout=layout)
    states: Tensor = output.last_hidden_state[0]
    return states
