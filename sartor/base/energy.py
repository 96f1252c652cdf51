"""Energy of a piece of work: read from the hardware's counters where they can be read, else estimated, and
said which.

Counters are of the whole processor package or GPU, so other programs at the same time are counted too.
"""

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal

POWERCAP = Path("/sys/class/powercap")
WATTS_PER_BUSY_CORE = 5.0  # assumed: a server processor's package power divided by its cores (3 to 8 W)
SECONDS_BETWEEN_SAMPLES = 60.0  # RAPL counters wrap after some 262 kJ: at 1 kW that takes four minutes
JOULES_PER_WATT_HOUR = 3600.0


class EnergyMeter:
    """`with EnergyMeter() as meter: …`; then `meter.watt_hours` and `meter.source`.

    `source` is "measured" when processor and GPUs (if any) were read from counters, else "estimated":
    processor seconds of this process and its finished children times WATTS_PER_BUSY_CORE, plus what GPUs were
    read to use.
    """

    source: Literal["measured", "estimated"]

    def __init__(self) -> None:
        self._rapl = _rapl_counters()
        self._gpu_joules = _gpu_energy_reader()
        self.source = "measured" if self._rapl else "estimated"
        self.watt_hours = 0.0
        self._stop = threading.Event()
        self._sampler = threading.Thread(target=self._sample_now_and_then, daemon=True)

    def __enter__(self) -> "EnergyMeter":
        self._processor_seconds = _processor_seconds()
        self._gpu_start = self._gpu_joules()
        for counter in self._rapl:
            counter.start()
        if self._rapl:
            self._sampler.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        if self._rapl:
            self._sampler.join()
            joules = sum(counter.sample() for counter in self._rapl)
        else:
            joules = (_processor_seconds() - self._processor_seconds) * WATTS_PER_BUSY_CORE
        self.watt_hours = (joules + self._gpu_joules() - self._gpu_start) / JOULES_PER_WATT_HOUR

    def _sample_now_and_then(self) -> None:
        while not self._stop.wait(SECONDS_BETWEEN_SAMPLES):
            for counter in self._rapl:
                counter.sample()


class _RaplCounter:
    """One processor package's energy counter, in microjoules, which wraps at its range."""

    def __init__(self, folder: Path):
        self._file = folder / "energy_uj"
        self._range = int((folder / "max_energy_range_uj").read_text())
        self.start()

    def start(self) -> None:
        self._last = int(self._file.read_text())
        self._total = 0

    def sample(self) -> float:
        """Joules since `start`, right as long as samples are less than one range apart."""
        now = int(self._file.read_text())
        self._total += (now - self._last) % (self._range + 1)
        self._last = now
        return self._total / 1e6


def _rapl_counters() -> list[_RaplCounter]:
    """One for each package (intel-rapl:N, on AMD too); its parts (intel-rapl:N:M) are contained in it."""
    try:
        return [
            _RaplCounter(folder)
            for folder in sorted(POWERCAP.glob("intel-rapl:*"))
            if folder.name.count(":") == 1
        ]
    except (OSError, ValueError):
        return []  # most systems let only root read the counters


def _processor_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _gpu_energy_reader() -> Callable[[], float]:
    """A function that gives the joules all visible NVIDIA GPUs have used since the driver was loaded; 0
    without any."""
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return lambda: 0.0
    count = ctypes.c_uint()
    if nvml.nvmlInit_v2() != 0 or nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
        return lambda: 0.0
    handles = [ctypes.c_void_p() for _ in range(count.value)]
    for index, handle in enumerate(handles):
        nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle))

    def joules() -> float:
        total, millijoules = 0.0, ctypes.c_ulonglong()
        for handle in handles:
            if nvml.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(millijoules)) == 0:
                total += millijoules.value / 1000
        return total

    return joules
