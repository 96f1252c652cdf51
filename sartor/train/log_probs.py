"""Log-probabilities of a packed batch's trained tokens under a model: what every objective is computed from."""

from torch import Tensor, nn

from sartor.data.packing import Batch
from sartor.models.attention import PackedLayout
from sartor.models.forward import hidden_states
from sartor.models.heads import Head, token_log_probs


def batch_log_probs(model: nn.Module, batch: Batch, temperature: float = 1.0) -> Tensor:
    """log p(target) for each trained token, float32 [N], differentiable."""
    layout = PackedLayout(batch.spans, batch.ids.device)
    states = hidden_states(model, batch.ids, batch.positions, layout)
    return token_log_probs(states[batch.sources], Head.of(model), batch.targets, temperature)
