"""What this machine has to compute with: device, number format, memory, cores."""

import torch

from sartor.base import machine
from sartor.base.machine import Memory as Memory
from sartor.base.machine import cpu_flags as cpu_flags
from sartor.base.machine import cpu_name as cpu_name
from sartor.base.machine import num_threads as num_threads
from sartor.base.machine import peak_rss_bytes as peak_rss_bytes
from sartor.base.machine import status_bytes as status_bytes

BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # x86 (two ways) and ARM, as /proc/cpuinfo names them


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
    return machine.memory()
