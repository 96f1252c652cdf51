"""One training on several processes: each computes some of a step's micro-batches, and all make the same step.

`ddp`: every process holds the whole model. `fsdp` (torch's fully_shard): the layers' weights, with their masters,
gradients and optimizer state, are shared out by rows; a layer is gathered when it is computed. What is not in a layer
(embedding, head, last norm) stays whole everywhere, because the loss reads the head's weight outside of any module's
forward pass; so do an adapter's trained factors, which are small and of another type than the frozen weights beside
them. Gradients of whatever is whole are summed after a step's last micro-batch; they are never averaged, for a loss
is already a share of the loss of the whole step.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from sartor.adapters.quantized import is_quantized
from sartor.base.device import device
from sartor.base.distributed import copy_from_main, is_main, rank, sum_tensors, world_size
from sartor.base.errors import UsageError
from sartor.data.packing import MicroBatch
from sartor.train.masters import MasterWeights

Parallel = Literal["ddp", "fsdp"]


def place(model: PreTrainedModel, parallel: Parallel = "ddp") -> PreTrainedModel:
    """Put a model that is complete, adapter included, where it trains: whole on this process's device, or its layers
    shared out among the processes. In a single process both are the same."""
    if parallel == "fsdp" and world_size() > 1:
        _share_out(model)
    return model.to(device())


def layers_of(model: nn.Module) -> list[nn.Module]:
    """The layers that a model is a stack of. UsageError when there is no such stack."""
    stacks = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    if not stacks:
        raise UsageError("this model is no stack of layers", where="--parallel fsdp", hint="take --parallel ddp")
    return [*max(stacks, key=_num_weights)]


def _num_weights(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def is_shared_out(model: nn.Module) -> bool:
    return any(isinstance(module, FSDPModule) for module in model.modules())


@torch.no_grad()
def whole_model(model: PreTrainedModel, make: Callable[[], PreTrainedModel]) -> PreTrainedModel:
    """The trained model with all its weights, to be written: itself or, where its layers are shared out, the one that
    `make` gives, with what was trained gathered into it (in the main process; the others get theirs back)."""
    if not is_shared_out(model):
        return model
    whole = make() if is_main() else model
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        tensor = parameter.full_tensor() if isinstance(parameter, DTensor) else parameter
        if is_main():
            whole.get_parameter(name).copy_(tensor)
    return whole


def deal(batches: Sequence[MicroBatch]) -> list[tuple[MicroBatch, bool]]:
    """This process's share of a step's micro-batches, and whether each counts.

    Every process gets equally many, as gathering layers takes all of them at the same moments; where the numbers do
    not divide, some compute the smallest one once more, and it counts as nothing. The longest go round first, there
    and back, so that the tokens are about equal.
    """
    processes = world_size()
    if processes == 1:
        return [(batch, True) for batch in batches]
    longest_first = sorted(batches, key=lambda batch: -batch.num_row_tokens)
    share = []
    for start in range(0, len(longest_first), processes):
        turn = longest_first[start : start + processes]
        seat = rank() if (start // processes) % 2 == 0 else processes - 1 - rank()
        share.append((turn[seat], True) if seat < len(turn) else (longest_first[-1], False))
    return share


def same_start(weights: MasterWeights) -> None:
    """Make whole trained weights the main process's everywhere."""
    if world_size() > 1:
        whole = [master for name, master in weights.masters.items() if name not in weights.sharded]
        copy_from_main(whole)
        weights.publish()


def sum_gradients(weights: MasterWeights) -> None:
    """Add up the gradients of whole weights; those of weights that are shared out were, as they arose."""
    if world_size() == 1:
        return
    gradients = []
    for name, master in weights.masters.items():
        if master.grad is None:  # of a weight that this process did not use, while another one may have
            master.grad = torch.zeros_like(master)
        if name not in weights.sharded:
            gradients.append(master.grad)
    sum_tensors(gradients)


def _share_out(model: PreTrainedModel) -> None:
    """fully_shard on each layer, gradients summed in float32."""
    if is_quantized(model):
        raise UsageError(
            "a quantized base cannot be shared out", where="--parallel fsdp", hint="take --parallel ddp: it is small"
        )
    kind = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
    mesh = init_device_mesh(kind, (world_size(),))
    layers = layers_of(model)
    frozen_apart = any(not weight.requires_grad for layer in layers for weight in layer.parameters())
    inside = {
        weight for layer in layers for weight in layer.parameters() if not (frozen_apart and weight.requires_grad)
    }
    ignored = set(model.parameters()) - inside
    for module in (*layers, model.base_model):
        policy = MixedPrecisionPolicy(reduce_dtype=torch.float32)
        shared = fully_shard(module, mesh=mesh, mp_policy=policy, ignored_params=ignored)
        shared.set_gradient_divide_factor(1.0)
        shared.set_force_sum_reduction_for_comms(True)
        shared.unshard()  # once now, since tensors first made in inference mode could never be trained with
        shared.reshard()
