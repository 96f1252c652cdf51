"""Named tensors on disk, whole or as rows that several processes each wrote: read back by any number of processes.

A kind of tensors (weights, optimizer, …) is `KIND.safetensors` with what is whole and, for what is shared out by rows,
`shards/PROCESS/KIND.safetensors`. `shards.json` says which rows of which tensor are where.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from sartor.base.distributed import barrier, is_main, rank, rows_of, world_size
from sartor.base.durable import NEW_SUFFIX, Content, write_error
from sartor.base.errors import DataError
from sartor.base.tensor_file import TensorFile

INDEX = "shards.json"


@dataclass(frozen=True)
class Kind:
    """Tensors of one kind: `whole` ones, the same in every process, and this process's rows of `shared` ones, of
    which `num_rows` tells the whole number."""

    whole: Mapping[str, Tensor]
    shared: Mapping[str, Tensor]
    num_rows: Mapping[str, int]


@contextmanager
def staged_files(place: Path, kinds: Mapping[str, Kind]) -> Iterator[dict[str, Content]]:
    """The checkpoint's files for the main process to publish within the block; nothing for the others.

    All processes call it. Rows are written beside `place`, where all of them see it, and moved from there when the
    files are published. What a crash leaves there is for `clean_leftovers`.
    """
    files: dict[str, Content] = {f"{kind}.safetensors": TensorFile(tensors.whole) for kind, tensors in kinds.items()}
    staging = place.with_name(f".{place.name}{NEW_SUFFIX}")
    if any(tensors.num_rows for tensors in kinds.values()):
        _write_own_rows(staging, kinds)
        barrier()
        files |= _shared_files(staging, kinds)
    try:
        yield files if is_main() else {}
    finally:
        if is_main():
            shutil.rmtree(staging, ignore_errors=True)


def _shared_files(staging: Path, kinds: Mapping[str, Kind]) -> dict[str, Content]:
    """What all processes wrote, and the index of it."""
    names = [_shard_file(process, kind) for process in range(world_size()) for kind in kinds]
    index = {kind: _parts(kind, tensors.num_rows) for kind, tensors in kinds.items()}
    text = json.dumps({"processes": world_size(), "parts": index}, indent=1)
    return {**{name: _moved(staging / name) for name in names}, INDEX: text}


def _write_own_rows(staging: Path, kinds: Mapping[str, Kind]) -> None:
    own = staging / "shards" / str(rank())
    try:
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir(parents=True)
        for kind, tensors in kinds.items():
            TensorFile(tensors.shared)(own / f"{kind}.safetensors")
    except OSError as error:
        raise write_error(error, own, sum(TensorFile(each.shared).needed_bytes for each in kinds.values())) from error


class SavedTensors:
    """The tensors of one kind in a checkpoint's folder, read a tensor or some rows at a time."""

    def __init__(self, folder: Path, kind: str):
        self._folder, self._whole_file = folder, f"{kind}.safetensors"
        path = folder / INDEX
        self._parts: dict[str, list[list[Any]]] = json.loads(path.read_text())["parts"][kind] if path.is_file() else {}
        self._files: dict[str, Any] = {}
        self._stack = ExitStack()

    def __enter__(self) -> "SavedTensors":
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def names(self) -> list[str]:
        return [*self._open(self._whole_file).keys(), *self._parts]

    def read(self, name: str, rows: tuple[int, int] | None = None) -> Tensor:
        """The tensor on the CPU, or only its rows `first` to `end` (a number has none and is read whole)."""
        if name not in self._parts:
            tensor: Tensor = self._open(self._whole_file).get_tensor(name)
            return tensor if rows is None or not tensor.ndim else tensor[rows[0] : rows[1]].clone()
        parts = self._parts[name]
        first, end = (0, parts[-1][2]) if rows is None else rows
        found = [
            self._open(file).get_slice(name)[max(first, start) - start : min(end, stop) - start]
            for file, start, stop in parts
            if start < end and first < stop
        ]
        return torch.cat(found) if found else self._open(parts[0][0]).get_slice(name)[0:0]

    def _open(self, file: str) -> Any:
        if file not in self._files:
            path = self._folder / file
            try:
                self._files[file] = self._stack.enter_context(safe_open(path, "pt"))
            except (OSError, SafetensorError) as error:
                raise DataError(
                    f"not a readable safetensors file: {error}", where=str(path), hint="the checkpoint is damaged"
                ) from error
        return self._files[file]


def _shard_file(process: int, kind: str) -> str:
    return f"shards/{process}/{kind}.safetensors"


def _parts(kind: str, num_rows: Mapping[str, int]) -> dict[str, list[tuple[str, int, int]]]:
    return {
        name: [(_shard_file(process, kind), *rows_of(rows, process)) for process in range(world_size())]
        for name, rows in num_rows.items()
    }


def _moved(staged: Path) -> Callable[[Path], None]:
    """`Content` that is already written on the same disk."""
    return lambda path: os.replace(staged, path)
