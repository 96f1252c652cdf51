"""The process that parses files of strangers: run as `python -m sartor.data.parsers.worker` by `isolated.py`.

Requests and answers are a line of JSON followed by as many bytes as it names. The kernel ends this process when a file
takes too long (SIGALRM, also inside a library) and refuses it more memory than it may have.
"""

import json
import resource
import signal
import sys
from dataclasses import asdict
from typing import Any

from sartor.data.parsers.formats import parse
from sartor.data.parsers.parsed import Unreadable


def main() -> None:
    """Answer requests until there are no more."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while line := requests.readline():
        request = json.loads(line)
        data = requests.read(request["bytes"])
        _allow(request["memory_bytes"])
        signal.alarm(request["seconds"])
        answer = json.dumps(_answer(request, data)).encode()
        signal.alarm(0)
        answers.write(b"%d\n" % len(answer) + answer)
        answers.flush()


def _allow(memory_bytes: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = memory_bytes if hard == resource.RLIM_INFINITY else min(memory_bytes, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def _answer(request: dict[str, Any], data: bytes) -> dict[str, Any]:
    try:
        parsed = parse(request["media_type"], data)
        if len(parsed.text) > request["most_characters"]:
            return {"unreadable": f"its text is longer than {request['most_characters']:,} characters", "hint": ""}
        return {"parsed": asdict(parsed)}
    except Unreadable as error:
        return {"unreadable": error.what, "hint": error.hint}
    except MemoryError:
        return {"unreadable": "reading it takes more memory than is allowed", "hint": "the file may be hostile"}
    except Exception as error:  # a library broke on a strange file: that is the file's reject, not our end
        return {"unreadable": f"the parser failed: {type(error).__name__}: {str(error)[:200]}", "hint": ""}


if __name__ == "__main__":
    main()
