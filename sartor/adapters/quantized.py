"""Frozen linear layers in 4 bits, the base of QLoRA (Dettmers et al. 2023, 2305.14314).

A weight is cut into blocks of 64 numbers; each is one of NF4's 16 values times its block's scale, and the scales are
in turn 8-bit numbers in blocks of 256 (double quantization): 4.127 bits a weight. bitsandbytes has the kernels.
"""

import logging
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from sartor.base.errors import UsageError

BLOCK_SIZE = 64
SCALES_BLOCK_SIZE = 256
QUANTIZATION = {"type": "nf4", "block_size": BLOCK_SIZE, "double_quantization": True}  # as adapters record it


class QuantizedLinear(nn.Module):
    """A frozen linear layer whose weight [out, in] is packed; it computes in its input's number format.

    GPT-2's `Conv1D` is packed as [out, in] too; `transposed` remembers it for `plain`. Nothing [out, in] outlives a
    call: forward and backward each unpack the weight again.
    """

    bias: nn.Parameter | None
    packed: Tensor  # uint8 [out · in / 2, 1]
    scales: Tensor  # uint8 [blocks]: index into bitsandbytes' table of 256 values
    scale_sizes: Tensor  # float32 [blocks / 256]
    scale_offset: Tensor  # float32 []: the mean scale, taken off before the scales were packed

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.transposed = isinstance(layer, Conv1D)
        weight: Tensor = layer.weight.detach()  # type: ignore[union-attr, operator, assignment]
        weight = weight.t().contiguous() if self.transposed else weight.contiguous()
        self.out_features, self.in_features = weight.shape
        self.dtype = weight.dtype
        packed, state = _bitsandbytes().functional.quantize_4bit(
            weight, blocksize=BLOCK_SIZE, quant_type="nf4", compress_statistics=True
        )
        self.register_buffer("packed", packed)
        self.register_buffer("scales", state.absmax)
        self.register_buffer("scale_sizes", state.state2.absmax)
        self.register_buffer("scale_offset", state.offset)
        self.register_parameter("bias", layer.bias)  # type: ignore[arg-type]
        self.train(layer.training)

    @property
    def weight(self) -> Tensor:
        """The weight as a new tensor [out, in], in the number format it had before it was packed."""
        return self.unpacked(self.dtype)

    def unpacked(self, dtype: torch.dtype) -> Tensor:
        """The weight as a new tensor [out, in]."""
        weight: Tensor = _bitsandbytes().functional.dequantize_4bit(self.packed, self._state(dtype))
        return weight

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(x.dtype)
        result: Tensor = _bitsandbytes().matmul_4bit(x, self.packed, self._state(x.dtype), bias=bias)
        return result

    def plain(self, weight: Tensor) -> nn.Module:
        """The layer this one was made of, with `weight` [out, in] in its place."""
        layer: Any
        if self.transposed:
            layer = Conv1D(0, 0)
            layer.nf, layer.nx = self.out_features, self.in_features
        else:
            layer = nn.Linear(self.in_features, self.out_features, device="meta")
        stored = weight.t().contiguous() if self.transposed else weight
        layer.weight = nn.Parameter(stored.to(self.dtype), requires_grad=False)
        layer.bias = self.bias
        restored: nn.Module = layer.train(self.training)
        return restored

    def _state(self, dtype: torch.dtype) -> Any:
        """What bitsandbytes needs to unpack the weight into `dtype`."""
        assert self.scale_sizes.dtype == torch.float32, "a quantized model keeps its number format"
        nf4, scale_values = _tables(self.packed.device)
        state = _bitsandbytes().functional.QuantState
        inner = state(self.scale_sizes, blocksize=SCALES_BLOCK_SIZE, code=scale_values, dtype=torch.float32)
        return state(
            self.scales,
            shape=torch.Size((self.out_features, self.in_features)),
            code=nf4,
            blocksize=BLOCK_SIZE,
            quant_type="nf4",
            dtype=dtype,
            offset=self.scale_offset,
            state2=inner,
        )

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}, nf4"


def linear_layers(model: PreTrainedModel) -> dict[str, nn.Module]:
    """Every linear layer but the output head, plain or packed, by its full name."""
    head = model.get_output_embeddings()
    kinds = nn.Linear | Conv1D | QuantizedLinear
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, kinds) and layer is not head}


def quantize_base(model: PreTrainedModel) -> None:
    """Pack every linear layer but the output head in place, one by one, so that one layer exists twice at a time.

    UsageError without bitsandbytes. Comes before `add_lora`; layers that are packed already stay as they are.
    """
    _bitsandbytes()
    for name in linear_layers(model):
        layer = model.get_submodule(name)
        if not isinstance(layer, QuantizedLinear):
            replace_layer(model, name, QuantizedLinear(layer))
    for parameter in model.parameters():  # each may be a piece of the model's file, which is mapped as a whole:
        parameter.data = parameter.data.clone()  # the pages of what was packed stay resident until all let go of it


def is_quantized(model: nn.Module) -> bool:
    return any(isinstance(module, QuantizedLinear) for module in model.modules())


def replace_layer(model: nn.Module, name: str, layer: nn.Module) -> None:
    setattr(model.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2], layer)


@cache
def _tables(device: torch.device) -> tuple[Tensor, Tensor]:
    """NF4's 16 values and the 256 values of the scales, float32: constants of bitsandbytes."""
    functional = _bitsandbytes().functional
    nf4: Tensor = functional.get_4bit_type("nf4", device=device)
    return nf4, functional.create_dynamic_map().to(device)


@cache
def _bitsandbytes() -> Any:
    """The library; UsageError where it is not installed. While it loads it warns of a kernel that is not needed."""
    log = logging.getLogger("bitsandbytes")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        import bitsandbytes
    except ImportError as error:
        raise UsageError(
            f"a 4-bit base needs bitsandbytes ({error})",
            where="--adapter qlora",
            hint="pip install 'sartor[qlora]', or use --adapter lora",
        ) from None
    finally:
        log.setLevel(level)
    return bitsandbytes
