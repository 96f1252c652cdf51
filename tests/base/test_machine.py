"""What the machine says about itself, compared with what it says elsewhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sartor.base import machine as module
from sartor.base.machine import Memory, cpu_flags, memory, num_threads, peak_rss_bytes


@pytest.fixture
def container(tmp_path, monkeypatch):
    """A container's limits in a folder of our own."""
    monkeypatch.setattr(module, "CGROUP", tmp_path)
    return tmp_path


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="no /proc to compare with")
def test_peak_memory_is_what_the_kernel_counts():
    block = bytearray(100_000_000)
    lines = Path("/proc/self/status").read_text().splitlines()
    kernel = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    assert len(block) < peak_rss_bytes() == pytest.approx(kernel, rel=0.02)


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="no /proc: the parent's peak cannot be told apart")
def test_the_peak_of_the_process_that_started_this_one_does_not_count():
    child = "from sartor.base.machine import peak_rss_bytes; print(peak_rss_bytes())"
    parent = (
        "import subprocess, sys; block = b'x' * 1_200_000_000; "
        f"print(subprocess.check_output([sys.executable, '-c', {child!r}], text=True))"
    )
    found = subprocess.run([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True, check=True)
    assert 0 < int(found.stdout) < 1_000_000_000


def test_without_proc_the_peak_is_getrusages(tmp_path, monkeypatch):
    before = peak_rss_bytes()
    monkeypatch.setattr(module, "STATUS", tmp_path / "none")
    assert peak_rss_bytes() >= 0.98 * before


def test_memory_is_the_machines_or_the_containers(container):
    whole = memory()
    assert 0 < whole.available_bytes <= whole.total_bytes
    assert whole.total_bytes == pytest.approx(
        os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), rel=0.05
    )
    (container / "memory.max").write_text("100000000\n")
    (container / "memory.current").write_text("60000000\n")
    (container / "memory.stat").write_text("anon 1\ninactive_file 20000000\n")
    assert memory() == Memory(100_000_000, 60_000_000)
    (container / "memory.max").write_text("max\n")
    assert memory().total_bytes == whole.total_bytes


def test_threads_obey_affinity_and_quota(container, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert num_threads() == 8
    for quota, expected in [("max 100000", 8), ("250000 100000", 3), ("50000 100000", 1)]:
        (container / "cpu.max").write_text(quota)
        assert num_threads() == expected


def test_cpu_flags_are_words():
    assert all(flag and " " not in flag for flag in cpu_flags())


def test_torch_is_not_needed():
    code = "import sys, sartor.base.machine; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
