"""What this machine has besides a GPU, and what it leaves to this process: memory, cores, the processor's name.

Without torch, so that work on data does not load it.
"""

import os
import re
import resource
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Memory:
    """Memory of the device in bytes; on the CPU within the limit of the container."""

    total_bytes: int
    available_bytes: int


def memory() -> Memory:
    """Total and available memory of the machine, within the limit of the container."""
    total, available = _system_memory()
    limit = _read_number(CGROUP / "memory.max")
    if limit is not None and limit < total:
        total, available = limit, min(available, limit - _container_memory_in_use())
    return Memory(total, max(available, 0))


def peak_rss_bytes() -> int:
    """The most resident memory this process has had so far, or since the mark was set back (`PeakMemory`)."""
    # Linux adds to ru_maxrss what the process that started this one had held; its own mark is in /proc.
    own = status_bytes("VmHWM")
    if own is not None:
        return own
    return _most_resident_bytes(resource.RUSAGE_SELF)


def peak_rss_of_a_child_bytes() -> int:
    """The most resident memory that one process started by this one, and ended, has had; 0 where there was none."""
    return _most_resident_bytes(resource.RUSAGE_CHILDREN)


def status_bytes(name: str) -> int | None:
    """A size that the kernel tells of this process, such as VmRSS; None where it tells none."""
    found = re.search(rf"^{name}:\s*(\d+) kB", _read_text(STATUS), re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def num_threads() -> int:
    """Cores this process may use: its affinity and the container's quota (torch itself does not see the
    quota)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _read_text(CGROUP / "cpu.max").split()
    if len(quota) == 2 and quota[0].isdigit():
        cores = min(cores, -(-int(quota[0]) // int(quota[1])))
    return max(cores, 1)


@cache
def cpu_flags() -> frozenset[str]:
    """The processor's features as /proc/cpuinfo names them; empty where there is no such file."""
    for line in _read_text(Path("/proc/cpuinfo")).splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def cpu_name() -> str:
    """The processor's name, or the machine type where the system does not tell."""
    for line in _read_text(Path("/proc/cpuinfo")).splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return os.uname().machine


def _most_resident_bytes(whose: int) -> int:
    peak = resource.getrusage(whose).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _container_memory_in_use() -> int:
    """Bytes that the container cannot give back; cached files that were not used lately are given back on
    demand."""
    in_use = _read_number(CGROUP / "memory.current") or 0
    for line in _read_text(CGROUP / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name == "inactive_file":
            in_use -= int(value)
    return in_use


def _system_memory() -> tuple[int, int]:
    """(total, available) bytes of the whole machine."""
    sizes = {}
    for line in _read_text(Path("/proc/meminfo")).splitlines():
        name, _, value = line.partition(":")
        sizes[name] = int(value.split()[0]) * 1024
    if "MemTotal" in sizes:
        return sizes["MemTotal"], sizes.get("MemAvailable", sizes["MemFree"])
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return total, total


def _read_number(path: Path) -> int | None:
    text = _read_text(path).strip()
    return int(text) if text.isdigit() else None


def _read_text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
