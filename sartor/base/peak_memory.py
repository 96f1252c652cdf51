"""The most memory each phase of a piece of work took: the process's resident set, or what torch holds on a GPU."""

import contextlib
from pathlib import Path

import torch

from sartor.base.device import peak_rss_bytes, status_bytes

CLEAR = Path("/proc/self/clear_refs")
RESET_PEAK = "5"  # proc(5): sets the high-water mark back to the present size


class PeakMemory:
    """`end(phase)` notes the peak since the last `end` under that name; `phases` are the peaks in bytes, by phase.

    Where the system cannot set its mark back (only Linux can), a phase's peak is that of everything so far.
    """

    def __init__(self, on: torch.device):
        self.device = on
        self.phases: dict[str, int] = {}
        self._reset()

    @property
    def peak_bytes(self) -> int:
        return max(self.phases.values(), default=0)

    def end(self, phase: str) -> None:
        self.phases[phase] = max(self.phases.get(phase, 0), self._peak())
        self._reset()

    def now_bytes(self) -> int:
        """What is held at this moment."""
        if self.device.type == "cuda":
            return torch.cuda.memory_allocated(self.device)
        return status_bytes("VmRSS") or peak_rss_bytes()

    def _peak(self) -> int:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return peak_rss_bytes()

    def _reset(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            return
        with contextlib.suppress(OSError):  # not Linux, or not allowed: peaks are of everything so far, as promised
            CLEAR.write_text(RESET_PEAK)
