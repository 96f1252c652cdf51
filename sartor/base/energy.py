"""Energy of a piece of work: read from the hardware's counters where they can be read, else estimated, and
said which.

Counters are of the whole processor package or GPU, so other programs at the same time are counted too.
"""

import ctypes
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

POWERCAP = Path("/sys/class/powercap")
WATTS_PER_BUSY_CORE = 5.0  # assumed: a server processor's package power divided by its cores (3 to 8 W)
SECONDS_BETWEEN_SAMPLES = 60.0  # RAPL counters wrap after some 262 kJ: at 1 kW that takes four minutes
JOULES_PER_WATT_HOUR = 3600.0


class EnergyMeter:
    """`with EnergyMeter() as meter: …`; then `meter.watt_hours` and `meter.source`.

    `source` is "measured" when processor and GPUs (if any) were read from counters, else "estimated": what has no
    counter is then taken as processor seconds of this process and its finished children times WATTS_PER_BUSY_CORE, and
    as a GPU's power limit times the time that passed.
    """

    source: Literal["measured", "estimated"]

    def __init__(self) -> None:
        self._rapl = _rapl_counters()
        self._gpus = _gpus()
        self.source = "measured" if self._rapl and self._gpus.measured else "estimated"
        self.watt_hours = 0.0
        self._stop = threading.Event()
        self._sampler = threading.Thread(target=self._sample_now_and_then, daemon=True)

    def __enter__(self) -> "EnergyMeter":
        self._processor_seconds = _processor_seconds()
        self._gpu_start = self._gpus.joules()
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
        self.watt_hours = (joules + self._gpus.joules() - self._gpu_start) / JOULES_PER_WATT_HOUR

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
    """One for each package (intel-rapl:N, on AMD too). Its parts (intel-rapl:N:M) are contained in it, and so is it in
    the zone of a laptop's whole board (psys)."""
    try:
        zones = [folder for folder in sorted(POWERCAP.glob("intel-rapl:*")) if folder.name.count(":") == 1]
        return [_RaplCounter(zone) for zone in zones if (zone / "name").read_text().startswith("package")]
    except (OSError, ValueError):
        return []  # most systems let only root read the counters


def _processor_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@dataclass(frozen=True)
class _Gpus:
    """All NVIDIA GPUs of the machine: `joules` they have used since some moment in the past, and whether that comes
    from their own counters."""

    joules: Callable[[], float]
    measured: bool


NO_GPUS = _Gpus(lambda: 0.0, measured=True)


def _gpus() -> _Gpus:
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return NO_GPUS
    count = ctypes.c_uint()
    if nvml.nvmlInit_v2() != 0 or nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
        return NO_GPUS
    handles = [ctypes.c_void_p() for _ in range(count.value)]
    for index, handle in enumerate(handles):
        nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle))
    counted = [_counted_joules(nvml, handle) is not None for handle in handles]

    def joules() -> float:
        now = time.monotonic()
        return sum(
            (_counted_joules(nvml, handle) or 0.0) if has_counter else _most_watts(nvml, handle) * now
            for handle, has_counter in zip(handles, counted, strict=True)
        )

    return _Gpus(joules, all(counted))


def _counted_joules(nvml: Any, handle: ctypes.c_void_p) -> float | None:
    """None where the GPU has no counter (those before Volta, and parts of a GPU)."""
    millijoules = ctypes.c_ulonglong()
    if nvml.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(millijoules)) != 0:
        return None
    return millijoules.value / 1000


def _most_watts(nvml: Any, handle: ctypes.c_void_p) -> float:
    """The GPU's power limit; 0 where it does not tell even that."""
    milliwatts = ctypes.c_uint()
    if nvml.nvmlDeviceGetEnforcedPowerLimit(handle, ctypes.byref(milliwatts)) != 0:
        return 0.0
    return milliwatts.value / 1000
