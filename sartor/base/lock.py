"""One process at a time: a lock that a crash cannot leave behind.

The kernel holds the lock (flock) and drops it when the process ends, however it ends; the file's text only
tells others who holds it, so a stale file is harmless.
"""

import fcntl
import json
import os
import socket
from pathlib import Path
from typing import Any

from sartor.base.errors import SartorError


class Lock:
    """An exclusive lock on `path`. `acquire` raises SartorError, naming process and host, while another holds
    it."""

    def __init__(self, path: Path, doing: str):
        self.path, self.doing = path, doing
        self._descriptor: int | None = None

    def acquire(self, wait: bool = False) -> None:
        """Take the lock; with `wait`, sleep until it is free."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise self._refusal() from None
        except BaseException:
            os.close(descriptor)
            raise
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back; the file stays, because removing it would let two others in at once."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def is_held(self) -> bool:
        """Whether a process holds the lock. Only where the file names one is the lock tried, so that looking does not
        get in the way of a process that takes a free one."""
        if self.holder() is None:
            return False
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def require_free(self) -> None:
        """SartorError as `acquire` while another process holds the lock; nothing is taken or written."""
        if self.path.is_file() and self.is_held():
            raise self._refusal()

    def holder(self) -> dict[str, Any] | None:
        """`pid` and `host` written by the holder, None when unknown."""
        try:
            written = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return None
        return written if isinstance(written, dict) and written.keys() >= {"pid", "host"} else None

    def _refusal(self) -> SartorError:
        holder = self.holder()
        who = f"process {holder['pid']} on {holder['host']}" if holder else "another process"
        return SartorError(
            f"{who} is {self.doing}",
            where=str(self.path.parent),
            hint="wait for it or stop it, then try again",
        )

    def __enter__(self) -> "Lock":
        if self._descriptor is None:
            self.acquire()
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()
