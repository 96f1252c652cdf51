"""Log-probabilities of a packed batch's trained tokens under a model: what every objective is computed from."""

from torch import Tensor, nn

from sartor.data.packing import Batch
from sartor.models.attention import PackedLayout
from sartor.models.forward import hidden_states
from sartor.models.heads import Head, token_log_probs


def batch_states(model: nn.Module, batch: Batch) -> Tensor:
    """The last hidden states of all tokens of the batch, [T, d]."""
    return hidden_states(model, batch.ids, batch.positions, PackedLayout(batch.spans, batch.ids.device))  # type: ignore[arg-type]


def batch_log_probs(model: nn.Module, batch: Batch, temperature: float = 1.0) -> Tensor:
    """log p(target) for each trained token, float32 [N], differentiable."""
    states = batch_states(model, batch)
    return token_log_probs(states[batch.sources], Head.of(model), batch.targets, temperature)  # type: ignore[arg-type]
