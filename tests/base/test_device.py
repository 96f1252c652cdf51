"""The number format of the hardware, and whose memory is meant."""

import torch

from sartor.base import device as module
from sartor.base.device import compute_dtype, memory
from sartor.base.machine import Memory


def test_bfloat16_only_where_the_processor_multiplies_it(monkeypatch):
    for flags, expected in [
        ({"avx2", "avx512_bf16"}, torch.bfloat16),
        ({"amx_bf16"}, torch.bfloat16),
        ({"avx512f"}, torch.float32),
        (set(), torch.float32),
    ]:
        monkeypatch.setattr(module, "cpu_flags", lambda flags=flags: frozenset(flags))
        assert compute_dtype(torch.device("cpu")) == expected


def test_without_a_gpu_the_memory_is_the_machines(monkeypatch):
    monkeypatch.setattr(module.machine, "memory", lambda: Memory(100, 60))
    assert memory() == memory(torch.device("cpu")) == Memory(100, 60)
