"""Tensors as the content of a durable file: safetensors, never pickle."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sartor.base.errors import DataError


class TensorFile:
    """`Content` for `sartor.base.durable`: writes named tensors (any device, any strides) as a safetensors
    file."""

    def __init__(self, tensors: Mapping[str, Tensor]):
        self.tensors = dict(tensors)
        self.needed_bytes = sum(tensor.numel() * tensor.element_size() for tensor in self.tensors.values())

    def __call__(self, path: Path) -> None:
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.tensors.items()}
        try:
            save_file(tensors, path, metadata={"format": "pt"})
        except SafetensorError as error:
            raise _as_os_error(error) from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of a safetensors file, on the CPU. DataError when it is missing or damaged."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        hint = "fetch or copy it again: the file is damaged"
        raise DataError(f"not a readable safetensors file: {error}", where=str(path), hint=hint) from error


def _as_os_error(error: SafetensorError) -> OSError:
    """safetensors reports a failed write as text (`… (os error 28)`); give it its number back."""
    number = str(error).rpartition("(os error ")[2].partition(")")[0]
    return OSError(int(number) if number.isdigit() else 0, str(error))
