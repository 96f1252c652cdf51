"""One process holds a lock; when it dies, however it dies, the next one gets it."""

import os
import signal
import socket
import time

import pytest

from sartor.base.errors import SartorError
from sartor.base.lock import Lock


def child_holding(path):
    """A child process that holds the lock and sleeps; its pid."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        Lock(path, "training").acquire()
        os.write(writing, b"x")
        time.sleep(60)
        os._exit(0)
    os.read(reading, 1)
    return child


def test_the_second_is_refused_with_pid_and_host(tmp_path):
    child = child_holding(tmp_path / ".lock")
    try:
        with pytest.raises(SartorError) as caught:
            Lock(tmp_path / ".lock", "training").acquire()
        assert caught.value.what == f"process {child} on {socket.gethostname()} is training"
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    with Lock(tmp_path / ".lock", "training") as lock:  # the killed process's lock is stale
        assert lock.holder() == {"pid": os.getpid(), "host": socket.gethostname()}
    assert lock.holder() is None


def test_waiting_gets_the_lock_when_it_is_free(tmp_path):
    child = child_holding(tmp_path / ".lock")
    os.kill(child, signal.SIGTERM)
    lock = Lock(tmp_path / ".lock", "training")
    lock.acquire(wait=True)
    assert lock.holder()["pid"] == os.getpid()
    lock.release()
    os.waitpid(child, 0)


def test_a_lock_of_this_very_process_counts_too(tmp_path):
    with Lock(tmp_path / ".lock", "training"), pytest.raises(SartorError, match=f"process {os.getpid()}"):
        Lock(tmp_path / ".lock", "training").acquire()


def test_who_looks_sees_whether_it_is_held_and_takes_nothing(tmp_path):
    path = tmp_path / ".lock"
    assert not Lock(path, "training").is_held() and not path.exists()
    child = child_holding(path)
    assert Lock(path, "training").is_held()
    written = path.read_text()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert path.read_text() == written  # a crash leaves the holder's name
    assert not Lock(path, "training").is_held()
    with Lock(path, "training"):
        assert Lock(path, "training").is_held()
    assert not Lock(path, "training").is_held()


def test_nonsense_in_the_file_of_a_held_lock_is_not_believed(tmp_path):
    with Lock(tmp_path / ".lock", "training"):
        for nonsense in ("[5", "7", "{}"):
            (tmp_path / ".lock").write_text(nonsense)
            with pytest.raises(SartorError, match="another process is training"):
                Lock(tmp_path / ".lock", "training").acquire()
