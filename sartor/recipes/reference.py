"""The reference's log-probabilities of a run's rows: computed once, by the model before its first step, and kept."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from torch import Tensor
from transformers import PreTrainedModel

from sartor.base.distributed import barrier, from_main
from sartor.base.run_folder import RunFolder
from sartor.base.tensor_file import TensorFile, read_tensors
from sartor.data.pairs import Pair
from sartor.data.rated import Rated
from sartor.train.loop import evaluation_mode

Item = TypeVar("Item", Pair, Rated)
REFERENCE = "reference"  # folder of the run
FILE = "log_probs.safetensors"


def known_reference(
    folder: RunFolder,
    model: PreTrainedModel,
    rows: Mapping[str, Sequence[Any]],
    compute: Callable[[PreTrainedModel, Sequence[Any]], Tensor],
) -> dict[str, Tensor]:
    """What `compute` gives for each kind of rows, from the run's folder where it is there already."""
    (known,) = from_main([(folder.path / REFERENCE).is_dir()])
    if not known:  # computed by all processes, since layers that are shared out take all of them
        with evaluation_mode(model):
            tensors = {name: compute(model, own) for name, own in rows.items()}
        folder.write_folder(REFERENCE, {FILE: TensorFile(tensors)})
    barrier()
    return read_tensors(folder.path / REFERENCE / FILE)


def with_reference(rows: Sequence[Item], log_probs: Tensor) -> list[Item]:
    """The rows with their reference log-probabilities [R, 2]."""
    values = log_probs.tolist()
    return [replace(row, reference=(own[0], own[1])) for row, own in zip(rows, values, strict=True)]
