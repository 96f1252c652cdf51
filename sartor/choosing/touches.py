"""How often the test rows were used: once for every path that was measured on them, and again for each new version."""

import hashlib
from collections import Counter
from pathlib import Path

from sartor.base.metrics import MetricsLog, read_metrics
from sartor.choosing.inputs import INPUTS_FILE
from sartor.retrieval.path import FILE_NAME

TOUCHES_FILE = "test_touches.jsonl"  # of a run; lines are only ever added


def note_touch(run: Path, name: str) -> None:
    """To be called before the path answers the test rows. A path that was interrupted there and goes on unchanged has
    not had a second look; scoring kept answers again is none at all."""
    version = _version(run / "paths" / name)
    file = run / TOUCHES_FILE
    if any((line["path"], line["version"]) == (name, version) for line in read_metrics(file)):
        return
    with MetricsLog(file) as log:
        log.append({"path": name, "version": version})
        log.sync()


def touches(run: Path) -> dict[str, int]:
    """For each path, how many versions of it have answered the test rows."""
    return dict(Counter(str(line["path"]) for line in read_metrics(run / TOUCHES_FILE)))


def most_touches(run: Path) -> int:
    """How many versions of one path, the one that has most, have answered them: what is chosen after several looks is
    less sure than its interval says. 1 for a run that did not count."""
    return max(touches(run).values(), default=1)


def _version(folder: Path) -> str:
    """Of what was fitted and on what."""
    files = [folder / name for name in (FILE_NAME, INPUTS_FILE)]
    contents = [file.read_bytes() if file.is_file() else b"" for file in files]
    return hashlib.sha256(b"\0".join(contents)).hexdigest()[:16]
