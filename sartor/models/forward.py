"""A causal language model of transformers as we compute it: packed attention, fused layers, one forward pass."""

import warnings
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from sartor.base.errors import UsageError
from sartor.models.attention import IMPLEMENTATION, Layout, register
from sartor.models.fused import fuse
from sartor.models.hub import load_model


def load_packed(folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    """The model in `folder` (errors as `load_model`), frozen, on the CPU, made ready for packed rows."""
    return use_packed_attention(load_model(folder, dtype))


def use_packed_attention(model: PreTrainedModel) -> PreTrainedModel:
    """Make a loaded model ready for packed rows, in place."""
    register()
    model.set_attn_implementation(IMPLEMENTATION)
    return fuse(model)


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
