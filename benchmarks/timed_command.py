"""A command's time and peak memory, seen from outside.

The peak of a process that was started counts what the process that started it had held (Linux), so a small one is put
between them: this file, run as a program.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence


def timed(command: Sequence[str]) -> tuple[float, int]:
    """Seconds and peak resident bytes of a command that must succeed: of the largest process, if it starts several."""
    launcher = [sys.executable, "-I", "-S", __file__, *command]
    found = json.loads(subprocess.run(launcher, stdout=subprocess.PIPE, text=True, check=True).stdout)
    if found["exit_code"]:
        raise SystemExit(f"{' '.join(command)} failed")
    return found["seconds"], found["peak_bytes"]


def launch(command: Sequence[str]) -> dict[str, float]:
    begun = time.monotonic()
    exit_code = subprocess.run(command, stdout=subprocess.DEVNULL).returncode
    seconds = time.monotonic() - begun
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return {"exit_code": exit_code, "seconds": seconds, "peak_bytes": peak * (1 if sys.platform == "darwin" else 1024)}


if __name__ == "__main__":
    print(json.dumps(launch(sys.argv[1:])))
