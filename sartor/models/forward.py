"""One packed forward pass through any causal language model of transformers."""

from torch import Tensor
from transformers import PreTrainedModel

from sartor.models.attention import IMPLEMENTATION, Layout, register


def use_packed_attention(model: PreTrainedModel) -> PreTrainedModel:
    """Switch the model to our attention, in place."""
    register()
    model.set_attn_implementation(IMPLEMENTATION)
    return model


def hidden_states(model: PreTrainedModel, ids: Tensor, positions: Tensor, layout: Layout) -> Tensor:
    """Token ids [T] with their positions [T] inside their own rows -> last hidden states [T, d]."""
    output = model.base_model(input_ids=ids[None], position_ids=positions[None], use_cache=False, layout=layout)
    states: Tensor = output.last_hidden_state[0]
    return states
