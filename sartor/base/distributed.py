"""Several processes that work on one thing, as `torchrun` starts them: who am I, and what do we agree on.

A single process needs none of it: it is number 0 of 1, every agreement is its own opinion, and torch.distributed is
never started. Only numbers and tensors travel, never pickled objects.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from torch import Tensor

LAUNCHED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR")  # what torchrun tells a process that it starts
BUCKET_NUMBERS = 2**24  # summed at a time: enough to fill a network, 64 MB of float32 more


def rank() -> int:
    """The number of this process among all, from 0."""
    return int(os.environ["RANK"]) if _launched() else 0


def world_size() -> int:
    """How many processes work together."""
    return int(os.environ["WORLD_SIZE"]) if _launched() else 1


def local_rank() -> int:
    """The number of this process among those of its machine: which GPU is its own."""
    return int(os.environ["LOCAL_RANK"]) if _launched() else 0


def is_main() -> bool:
    """Whether this is the process that speaks and writes files."""
    return rank() == 0


@contextmanager
def process_group() -> Iterator[None]:
    """For the time of the block processes that torchrun started can reach each other: by NCCL, each with a GPU of its
    own, or by gloo where there is no GPU. Nothing happens in a single process or inside another such block. Also a
    decorator: `@process_group()`."""
    if world_size() == 1:
        yield
        return
    import torch

    if torch.distributed.is_initialized():
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(local_rank())
    torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


def leave(code: int) -> NoReturn:
    """End this process. One of several that work together ends at once, its output written, for torch's own threads do
    not always survive the interpreter's tearing down: of 28 runs with gloo 5 were aborted after all was done."""
    if world_size() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def barrier() -> None:
    """Wait until all processes are here."""
    sum_over([0.0])


def sum_over(values: Sequence[float]) -> list[float]:
    """Each of the values summed over all processes, in float64."""
    import torch

    if world_size() == 1:
        return list(values)
    together = torch.tensor(values, dtype=torch.float64, device=_device())
    torch.distributed.all_reduce(together)
    return [float(value) for value in together.tolist()]


def any_of(claim: bool) -> bool:
    """Whether any process says so."""
    return sum_over([float(claim)])[0] > 0


def from_main(values: Sequence[float]) -> list[float]:
    """The main process's values; every process passes as many."""
    import torch

    if world_size() == 1:
        return list(values)
    told = torch.tensor(values, dtype=torch.float64, device=_device())
    torch.distributed.broadcast(told, 0)
    return [float(value) for value in told.tolist()]


def sum_tensors(tensors: "Sequence[Tensor]") -> None:
    """Replace each tensor by its sum over all processes, in place; all of one type, the same ones everywhere."""
    import torch

    _in_buckets(tensors, lambda bucket: torch.distributed.all_reduce(bucket))


def copy_from_main(tensors: "Sequence[Tensor]") -> None:
    """Replace each tensor by the main process's, in place; all of one type, the same ones everywhere."""
    import torch

    _in_buckets(tensors, lambda bucket: torch.distributed.broadcast(bucket, 0))


def gather_rows(part: "Tensor", num_rows: int) -> "Tensor":
    """The whole tensor of `num_rows` rows of which every process holds its part (see `rows_of`)."""
    import torch

    if world_size() == 1:
        return part
    longest = rows_of(num_rows, 0)[1]
    padded = part.new_zeros((longest, *part.shape[1:]))
    padded[: len(part)] = part
    parts = [torch.empty_like(padded) for _ in range(world_size())]
    torch.distributed.all_gather(parts, padded)
    return torch.cat(parts)[:num_rows]


def rows_of(num_rows: int, process: int, processes: int | None = None) -> tuple[int, int]:
    """(first, end) of the rows that a process holds when `num_rows` are dealt out as torch.chunk does: equal parts,
    rounded up, so that the last ones may be shorter or empty."""
    each = -(-num_rows // (world_size() if processes is None else processes))
    return min(process * each, num_rows), min((process + 1) * each, num_rows)


def _launched() -> bool:
    return all(name in os.environ for name in LAUNCHED)


def _device() -> str:
    import torch

    return "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"


def _in_buckets(tensors: "Sequence[Tensor]", exchange: "Callable[[Tensor], object]") -> None:
    """Exchange many small tensors as few large ones: a message costs more than its bytes."""
    import torch

    bucket: list[Tensor] = []
    for index, tensor in enumerate(tensors):
        bucket.append(tensor)
        if index + 1 < len(tensors) and sum(each.numel() for each in bucket) < BUCKET_NUMBERS:
            continue
        flat = torch.cat([each.detach().reshape(-1) for each in bucket])
        exchange(flat)
        for each, values in zip(bucket, flat.split([each.numel() for each in bucket]), strict=True):
            each.detach().copy_(values.view_as(each))
        bucket = []
