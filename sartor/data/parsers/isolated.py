"""Parsing in a process of its own, so that a file that hangs, crashes or explodes its parser costs that file only."""

import json
import signal
import subprocess
import sys
from typing import IO, Any, cast

from sartor.base.durable import format_bytes
from sartor.data.parsers.parsed import Parsed, Unreadable

SECONDS, MEMORY_BYTES = 60, 1_500_000_000
HINT = "the file may be damaged or hostile; save it again, or leave it out"


class IsolatedParser:
    """Parses one file after the other in a child process, which is started when it is needed and again after it died.

    `seconds` and `memory_bytes` bound one file (memory where the system enforces RLIMIT_AS, as Linux does).
    """

    def __init__(self, seconds: int = SECONDS, memory_bytes: int = MEMORY_BYTES):
        self.seconds, self.memory_bytes = seconds, memory_bytes
        self._process: subprocess.Popen[bytes] | None = None

    def parse(self, media_type: str, data: bytes, most_characters: int) -> Parsed:
        """Unreadable when the file is not of that type or broke a limit."""
        process = self._process = self._process or self._start()
        request = {
            "media_type": media_type,
            "bytes": len(data),
            "seconds": self.seconds,
            "memory_bytes": self.memory_bytes,
            "most_characters": most_characters,
        }
        answer = _exchange(process, json.dumps(request).encode() + b"\n", data)
        if answer is None:
            raise self._explain_end()
        if "unreadable" in answer:
            raise Unreadable(answer["unreadable"], answer["hint"] or HINT)
        parsed = answer["parsed"]
        return Parsed(parsed["title"], parsed["text"], parsed["licence"], tuple(parsed["notices"]), parsed["metadata"])

    def close(self) -> None:
        """End the child process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "sartor.data.parsers.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us; the child ends when its input does
        )

    def _explain_end(self) -> Unreadable:
        assert self._process is not None
        self._process.communicate()
        code = self._process.returncode
        self._process = None
        if code == -signal.SIGALRM:
            return Unreadable(f"reading it takes longer than {self.seconds} s", HINT)
        memory = format_bytes(self.memory_bytes)
        return Unreadable(f"its parser broke (exit code {code}; {memory} of memory are allowed)", HINT)

    def __enter__(self) -> "IsolatedParser":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _exchange(process: subprocess.Popen[bytes], request: bytes, data: bytes) -> dict[str, Any] | None:
    """The child's answer; None when it died."""
    requests, answers = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
    try:
        requests.write(request)
        requests.write(data)
        requests.flush()
    except BrokenPipeError:
        return None
    length = answers.readline()
    answer = answers.read(int(length)) if length.endswith(b"\n") else b""
    return json.loads(answer) if answer and len(answer) == int(length) else None
