"""How much memory and disk the search for duplicates takes, known before it begins."""

from dataclasses import dataclass
from pathlib import Path

from sartor.base.durable import format_bytes, require_space
from sartor.base.errors import UsageError
from sartor.base.machine import memory
from sartor.data.duplicates.buckets import SORTED_BYTES, SPILLED_BYTES, partitions_needed
from sartor.data.duplicates.clusters import index_type

FIXED_BYTES = 72_000_000  # batches while they are read and written; measured, what the allocator keeps of them included
CLUSTER_BYTES = 32  # root, rank, tie and survivor of a cluster; there is at most one for two records
MEMBER_BYTES = 96  # for a record that is compared with others once more: numbers, order, place of its n-grams
LEAST_SORTING_BYTES = 8_000_000
DROP_BYTES = 40  # for a dropped record on disk, compressed: numbers and the survivor's id


@dataclass(frozen=True)
class Budget:
    """`memory_bytes` is what is needed besides the interpreter, `disk_bytes` what temporary files and results take at
    most; `sorting_bytes` is the part of memory that records are sorted in, `partitions` how often it is filled."""

    num_records: int
    memory_bytes: int
    disk_bytes: int
    sorting_bytes: int
    partitions: int

    def text(self) -> str:
        """For people, in one line."""
        how = "in memory" if self.partitions == 1 else f"in {self.partitions} parts on disk"
        return (
            f"{self.num_records:,} signatures, sorted {how}: at most {format_bytes(self.memory_bytes)} of memory "
            f"and {format_bytes(self.disk_bytes)} of disk"
        )


def budget_for(num_records: int, memory_bytes: int | None, verified: bool = False) -> Budget:
    """What a search over `num_records` takes within `memory_bytes` (None: half of what the machine, or its container,
    has).

    UsageError when it cannot be done within them. The n-grams that verification puts on disk are not counted: how
    long the documents are that it compares is not known before.
    """
    limit = memory().total_bytes // 2 if memory_bytes is None else memory_bytes
    fixed = FIXED_BYTES + num_records * _bytes_for_record(num_records, verified)
    if fixed + LEAST_SORTING_BYTES > limit:
        what = f"{num_records:,} signatures need {format_bytes(fixed + LEAST_SORTING_BYTES)} of memory"
        whose = "half of this machine's memory" if memory_bytes is None else "what is allowed"
        hint = f"{format_bytes(limit)} are {whose}: use a machine with more, or prepare the documents in parts"
        raise UsageError(what, where="memory for duplicates", hint=hint)
    room = limit - fixed
    partitions = partitions_needed(num_records, room)
    sorting = min(room, num_records * SORTED_BYTES)
    spilled = num_records * SPILLED_BYTES if partitions > 1 else 0
    return Budget(num_records, fixed + sorting, spilled + num_records * DROP_BYTES, room, partitions)


def check_disk(budget: Budget, folder: Path) -> None:
    """SartorError when the disk of `folder`, which exists, has not enough space."""
    require_space(folder, budget.disk_bytes)


def _bytes_for_record(num_records: int, verified: bool) -> int:
    number = index_type(num_records)(0).nbytes
    return number + 1 + CLUSTER_BYTES // 2 + 1 + (MEMBER_BYTES if verified else 0)
