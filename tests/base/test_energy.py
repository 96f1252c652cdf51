"""Energy from counters where there are any, else from processor time; and which of the two it was."""

import os
import time

import pytest

from sartor.base import energy
from sartor.base.energy import WATTS_PER_BUSY_CORE, EnergyMeter


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(energy, "_gpus", lambda: energy.NO_GPUS)


@pytest.fixture
def counters(tmp_path, monkeypatch, no_gpu):
    """Two packages, the first with a part inside it, and the board that holds them: none may be counted twice."""
    zones = [
        ("intel-rapl:0", 900, "package-0"), ("intel-rapl:0:0", 5, "core"), ("intel-rapl:1", 100, "package-1"),
        ("intel-rapl:2", 700, "psys"),
    ]  # fmt: skip
    for name, value, zone in zones:
        (tmp_path / name).mkdir()
        (tmp_path / name / "name").write_text(f"{zone}\n")
        (tmp_path / name / "energy_uj").write_text(f"{value}\n")
        (tmp_path / name / "max_energy_range_uj").write_text("999\n")
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    return tmp_path


def test_counters_are_summed_over_packages_and_may_wrap(counters):
    with EnergyMeter() as meter:
        (counters / "intel-rapl:0" / "energy_uj").write_text("50\n")  # wrapped: 150 microjoules
        (counters / "intel-rapl:0:0" / "energy_uj").write_text("900\n")
        (counters / "intel-rapl:1" / "energy_uj").write_text("400\n")
        (counters / "intel-rapl:2" / "energy_uj").write_text("990\n")
    assert meter.source == "measured"
    assert meter.watt_hours == pytest.approx(450e-6 / 3600)


def test_several_wraps_are_counted_by_sampling(counters, monkeypatch):
    with EnergyMeter() as meter:
        for value in (100, 900, 100, 899):
            (counters / "intel-rapl:0" / "energy_uj").write_text(f"{value}\n")
            meter._rapl[0].sample()
    assert meter.watt_hours == pytest.approx(1999e-6 / 3600)


def test_unreadable_counters_mean_an_estimate_from_processor_time(counters, no_gpu):
    (counters / "intel-rapl:1" / "energy_uj").write_text("")
    before = os.times()
    with EnergyMeter() as meter:
        end = time.process_time() + 0.2
        while time.process_time() < end:
            sum(range(1000))
    after = os.times()
    spent = after.user + after.system - before.user - before.system
    assert meter.source == "estimated"
    joules = meter.watt_hours * 3600
    assert 0.15 * WATTS_PER_BUSY_CORE <= joules <= spent * WATTS_PER_BUSY_CORE + 1e-9


def test_gpu_energy_is_added(tmp_path, monkeypatch):
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    readings = iter([1000.0, 4600.0])
    monkeypatch.setattr(energy, "_gpus", lambda: energy._Gpus(lambda: next(readings), measured=True))
    with EnergyMeter() as meter:
        pass
    assert meter.watt_hours == pytest.approx(1.0, abs=0.01)


class FakeNvml:
    """Two GPUs of 250 W, of which the ones in `counters` have an energy counter (in millijoules)."""

    def __init__(self, counters):
        self.counters = counters

    def nvmlInit_v2(self):
        return 0

    def nvmlDeviceGetCount_v2(self, count):
        count._obj.value = 2
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index, handle):
        handle._obj.value = index + 1
        return 0

    def nvmlDeviceGetTotalEnergyConsumption(self, handle, millijoules):
        if handle.value not in self.counters:
            return 3
        millijoules._obj.value = self.counters[handle.value]
        return 0

    def nvmlDeviceGetEnforcedPowerLimit(self, handle, milliwatts):
        milliwatts._obj.value = 250_000
        return 0


def test_a_gpu_without_a_counter_makes_it_an_estimate_of_its_power_limit(counters, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(energy, "POWERCAP", counters)
    nvml = FakeNvml({1: 1000, 2: 500})
    monkeypatch.setattr(energy.ctypes, "CDLL", lambda name: nvml)
    clock = iter([100.0, 110.0, 200.0, 210.0])
    monkeypatch.setattr(energy.time, "monotonic", lambda: next(clock))
    with EnergyMeter() as both:
        nvml.counters = {1: 4000, 2: 1500}
    assert (both.source, both.watt_hours) == ("measured", pytest.approx(4.0 / 3600))
    nvml.counters = {1: 1000}
    with EnergyMeter() as one:
        nvml.counters = {1: 4000}
    assert (one.source, one.watt_hours) == ("estimated", pytest.approx((3.0 + 250 * 10) / 3600))
