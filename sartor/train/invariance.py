"""What must not change a model's numbers: how rows are packed, split and padded, and whose code computes them.

The strongest reference is transformers' own: `as_transformers` takes all of Sartor's arithmetic out of a model (packed
attention, head, fused layers, low-rank product) and leaves its weights, so that padded rows, eager attention, full
logits and plain autograd can be compared with what training computes.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from sartor.adapters.lora import LoraLinear, lora_layers
from sartor.adapters.quantized import replace_layer
from sartor.data.batches import micro_batches
from sartor.data.chat import Rendered
from sartor.data.packing import Batch
from sartor.models.attention import IMPLEMENTATION
from sartor.models.fused import GatedMlp, RmsNorm
from sartor.train.log_probs import batch_log_probs
from sartor.train.loop import LossOf
from sartor.train.optimizer import trainable_parameters

Gradients = Mapping[str, Tensor]
FUSED_PARTS: dict[type, tuple[str, ...]] = {RmsNorm: ("weight",), GatedMlp: ("gate_proj", "up_proj", "down_proj")}
SMALL_SHARE = 1e-3  # a tensor whose gradient is smaller than this share of all is compared on that share's scale


# --- Sartor's numbers ---------------------------------------------------------------------------------------------


def split_rows(rows: Sequence[Rendered], max_tokens: int | None = None, share_prefix: bool = True) -> list[Batch]:
    """The rows in micro-batches of at most `max_tokens` tokens, or (None) all in one."""
    total = sum(len(row.ids) for row in rows)
    return micro_batches(rows, max_tokens or total, share_prefix)


def one_by_one(rows: Sequence[Rendered]) -> list[Batch]:
    """Each row alone in a micro-batch."""
    return [batch for row in rows for batch in micro_batches([row], len(row.ids))]


def gradients(model: PreTrainedModel, batches: Sequence[Batch], loss_of: LossOf) -> Gradients:
    """The gradient of one optimizer step over these micro-batches, as training accumulates it; dropout is off."""
    place = next(model.parameters()).device
    num_trained = sum(batch.num_trained for batch in batches)
    with _training_without_dropout(model):
        for batch in batches:
            loss, _ = loss_of(model, batch.to(place), num_trained)
            loss.backward()  # type: ignore[no-untyped-call]
    return _take_gradients(model)


@torch.inference_mode()
def log_probs(model: PreTrainedModel, batches: Sequence[Batch]) -> Tensor:
    """log p of every learnt token, in the order of rows and tokens."""
    place = next(model.parameters()).device
    return torch.cat([batch_log_probs(model, batch.to(place)).float().cpu() for batch in batches])


# --- the same numbers by transformers -----------------------------------------------------------------------------


@contextmanager
def as_transformers(model: PreTrainedModel) -> Iterator[None]:
    """For the time of the block the model computes with transformers' own layers, eager attention and plain
    autograd."""
    fused = {name: module for name, module in model.named_modules() if isinstance(module, RmsNorm | GatedMlp)}
    layers = lora_layers(model)
    for name, module in _own_modules(model, fused).items():
        replace_layer(model, name, module)
    for name, layer in layers.items():
        replace_layer(model, name, PlainBranch(layer))
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(IMPLEMENTATION)
        for name, module in [*fused.items(), *layers.items()]:
            replace_layer(model, name, module)


def _own_modules(model: PreTrainedModel, fused: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """What transformers has in the place of each fused module, with the same weights."""
    with torch.device("meta"):
        skeleton = type(model)(copy.deepcopy(model.config))
    own = {name: skeleton.get_submodule(name) for name in fused}
    for name, module in fused.items():
        for part in FUSED_PARTS[type(module)]:
            setattr(own[name], part, getattr(module, part))
    return own


class PlainBranch(nn.Module):
    """The formula of LoRA (or DoRA) on the very parameters of a layer, left to autograd."""

    def __init__(self, layer: LoraLinear):
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        layer, dtype = self.layer, x.dtype
        if layer.magnitude is None:
            branch = (x @ layer.lora_A.to(dtype).t()) @ layer.lora_B.to(dtype).t()
            result: Tensor = layer.base(x) + branch * layer.scale
            return result
        weight = layer.weight.float() + layer.scale * (layer.lora_B @ layer.lora_A)
        norms = torch.linalg.vector_norm(weight, dim=1).detach()  # constants to the gradient: 2402.09353, section 4.3
        weight = weight * (layer.magnitude.weight / norms)[:, None]
        bias: Tensor | None = layer.base.bias  # type: ignore[assignment]
        return functional.linear(x, weight.to(dtype), bias)


def reference_gradients(model: PreTrainedModel, rows: Sequence[Rendered], padded: bool) -> Gradients:
    """The gradient by transformers: all rows padded to the longest at once, or one at a time."""
    num_trained = sum(row.num_trained for row in rows)
    with as_transformers(model):
        for group in [rows] if padded else [[row] for row in rows]:
            loss = -_padded_log_probs(model, group).sum() / num_trained
            loss.backward()  # type: ignore[no-untyped-call]
    return _take_gradients(model)


@torch.no_grad()
def reference_log_probs(model: PreTrainedModel, rows: Sequence[Rendered], padded: bool) -> Tensor:
    """log p of every learnt token by transformers, in the order of rows and tokens."""
    with as_transformers(model):
        groups = [rows] if padded else [[row] for row in rows]
        return torch.cat([_padded_log_probs(model, group).float().cpu() for group in groups])


def _padded_log_probs(model: PreTrainedModel, rows: Sequence[Rendered]) -> Tensor:
    place = next(model.parameters()).device
    longest = max(len(row.ids) for row in rows)
    ids = torch.tensor([row.ids + [0] * (longest - len(row.ids)) for row in rows], device=place)
    mask = torch.tensor([[1] * len(row.ids) + [0] * (longest - len(row.ids)) for row in rows], device=place)
    unlearnt = -100
    labels = torch.tensor(
        [
            [token if trained else unlearnt for token, trained in zip(row.ids, row.trained, strict=True)]
            + [unlearnt] * (longest - len(row.ids))
            for row in rows
        ],
        device=place,
    )[:, 1:].reshape(-1)
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].flatten(0, 1)
    learnt = labels != unlearnt
    # In float64, because float32 log_softmax errs alike at every token: with 49,152 words that was measured to change
    # the gradient of late layers by 5e-4, where Sartor's head is 6e-6 off.
    return -functional.cross_entropy(logits[learnt].double(), labels[learnt], reduction="none")


# --- differences --------------------------------------------------------------------------------------------------


def gradient_difference(found: Gradients, expected: Gradients) -> float:
    """The largest relative difference of any tensor: |found - expected| / |expected|, in Euclidean norms; NaN where
    one is."""
    assert found.keys() == expected.keys(), "gradients of different parameters"
    whole = sum(float(tensor.norm()) ** 2 for tensor in expected.values()) ** 0.5
    differences = [
        float((found[name] - tensor).norm()) / max(float(tensor.norm()), SMALL_SHARE * whole)
        for name, tensor in expected.items()
    ]
    return float(torch.tensor(differences, dtype=torch.float64).max())  # Python's max would lose a NaN


def largest_difference(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max())


def root_mean_square(tensor: Tensor) -> float:
    return float(tensor.float().square().mean().sqrt())


def _take_gradients(model: nn.Module) -> Gradients:
    """Copies of all gradients, in float32 on the CPU; the model keeps none."""
    found = {}
    for name, parameter in trainable_parameters(model).items():
        gradient = parameter.grad
        found[name] = torch.zeros(parameter.shape) if gradient is None else gradient.detach().float().cpu().clone()
        parameter.grad = None
    return found


@contextmanager
def _training_without_dropout(model: nn.Module) -> Iterator[None]:
    """Training mode, in which layers may be computed again for their gradients, but with nothing left to chance."""
    dropouts = [module for module in model.modules() if isinstance(module, nn.Dropout)]
    shares = [dropout.p for dropout in dropouts]
    _set(dropouts, [0.0] * len(dropouts))
    model.train()
    try:
        yield
    finally:
        model.eval()
        _set(dropouts, shares)


def _set(dropouts: Sequence[nn.Dropout], shares: Sequence[float]) -> None:
    for dropout, share in zip(dropouts, shares, strict=True):
        dropout.p = share
