"""What this machine has to compute with: device, number format, memory, cores."""

import os
import resource
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

CGROUP = Path("/sys/fs/cgroup")
BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # x86 (two ways) and ARM, as /proc/cpuinfo names them


@dataclass(frozen=True)
class Memory:
    """Memory of the device in bytes; on the CPU within the limit of the container."""

    total_bytes: int
    available_bytes: int


def device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def compute_dtype(on: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies it, else float32 (emulated bfloat16 is slower than float32)."""
    if on.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    return torch.bfloat16 if cpu_flags() & BF16_FLAGS else torch.float32


def memory(on: torch.device | None = None) -> Memory:
    """Total and available memory of the CPU (default) or of a GPU."""
    if on is not None and on.type == "cuda":
        available, total = torch.cuda.mem_get_info(on)
        return Memory(total, available)
    total, available = _system_memory()
    limit = _read_number(CGROUP / "memory.max")
    if limit is not None and limit < total:
        total, available = limit, min(available, limit - _container_memory_in_use())
    return Memory(total, max(available, 0))


def peak_rss_bytes() -> int:
    """The most resident memory this process has had so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


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
