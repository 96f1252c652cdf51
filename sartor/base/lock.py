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
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back; the file stays, because removing it would let two others in at once."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def holder(self) -> dict[str, Any] | None:
        """`pid` and `host` written by the holder, None when unknown."""
        try:
            return json.loads(self.path.read_text())
        except (OSError, ValueError):
            return None

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
