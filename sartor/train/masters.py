"""The trained weights as an optimizer changes them: in float32, and only the rows that this process holds.

A weight that is float32 and whole is its own master: nothing is copied. A bfloat16 weight has a float32 copy that
learns, because a step is mostly smaller than bfloat16's spacing and would be lost, and its gradients of several
micro-batches are added up in float32 for the same reason. Of a weight that several processes share out (FSDP) the
master is this process's rows.

Memory, bytes a weight: float32 and whole 4 + 4 (gradient); bfloat16 2 + 4 (master) + 4 (gradient), and 2 more for
one weight at a time. The optimizer's state comes on top (`sartor.train.optimizer`).
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from sartor.base.distributed import gather_rows, rank, rows_of


class MasterWeights:
    """float32 masters of trained parameters; while it is open, gradients arrive at the masters.

    `masters[name].grad` is what an optimizer reads after the backward passes of a step; `publish` puts changed masters
    into the model, rounded to the model's type.
    """

    def __init__(self, trainable: Mapping[str, nn.Parameter]):
        self.parameters = dict(trainable)
        self.masters = {name: _master(parameter) for name, parameter in trainable.items()}
        self.shapes = {name: tuple(parameter.shape) for name, parameter in trainable.items()}
        self.sharded = {name for name, parameter in trainable.items() if isinstance(parameter, DTensor)}
        self._hooks = [
            parameter.register_post_accumulate_grad_hook(_collector(self.masters[name]))
            for name, parameter in trainable.items()
            if self.masters[name] is not parameter
        ]

    @torch.no_grad()
    def publish(self) -> None:
        """Put the masters into the model."""
        for name, master in self.masters.items():
            own = local(self.parameters[name])
            if own.data_ptr() != master.data_ptr():
                own.copy_(master)
            else:  # torch's fused optimizers change a tensor without counting it, and who caches by the count is misled
                torch.autograd.graph.increment_version(self.parameters[name])

    @torch.no_grad()
    def load_model_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Put what `model_weights` gave into model and masters."""
        for name, master in self.masters.items():
            local(self.parameters[name]).copy_(weights[name])
            master.copy_(weights[name])

    def model_weights(self) -> dict[str, Tensor]:
        """Copies of this process's rows of each trained parameter, in the model's type."""
        return {name: local(parameter).clone() for name, parameter in self.parameters.items()}

    def rows(self, name: str) -> tuple[int, int]:
        """(first, end) of the rows of the whole weight that the master is."""
        num_rows = self.shapes[name][0]
        return rows_of(num_rows, rank()) if name in self.sharded else (0, num_rows)

    def whole(self, name: str, rows: Tensor) -> Tensor:
        """The whole tensor of which every process holds the rows of its master."""
        return gather_rows(rows, self.shapes[name][0]) if name in self.sharded else rows

    def close(self) -> None:
        """Let the model's gradients stay where autograd puts them."""
        for hook in self._hooks:
            hook.remove()


def local(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor, detached; it shares the tensor's memory."""
    detached = tensor.detach()
    return detached.to_local() if isinstance(detached, DTensor) else detached


def _master(parameter: nn.Parameter) -> nn.Parameter:
    if not isinstance(parameter, DTensor) and parameter.dtype == torch.float32:
        return parameter
    own = local(parameter)
    return nn.Parameter(own if own.dtype == torch.float32 else own.float())


def _collector(master: nn.Parameter) -> Callable[[Tensor], None]:
    def collect(parameter: Tensor) -> None:
        """Runs as soon as a parameter's gradient of one micro-batch is there."""
        assert parameter.grad is not None
        gradient = local(parameter.grad)
        if master.grad is None:
            master.grad = gradient.float()
        else:
            master.grad += gradient
        parameter.grad = None

    return collect
