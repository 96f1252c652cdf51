"""What a model with a scalar head makes of packed rows: a reward for each row, or a value for each place in them."""

from torch import Tensor, nn

from sartor.data.packing import Batch
from sartor.train.log_probs import batch_states


def row_scores(model: nn.Module, head: nn.Module, batch: Batch) -> Tensor:
    """The head's number at the last token of each row, float32 [R], differentiable. Rows end with the end of a turn."""
    scores: Tensor = head(batch_states(model, batch)[batch.ends])
    return scores


def token_values(model: nn.Module, head: nn.Module, batch: Batch) -> Tensor:
    """The head's number before each trained token, float32 [N], differentiable: what is still to come from there."""
    values: Tensor = head(batch_states(model, batch)[batch.sources])
    return values
