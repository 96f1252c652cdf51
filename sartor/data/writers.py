"""JSON Lines files that are either whole or not there."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sartor.base.durable import replace_file


def write_jsonl(path: Path, rows: Iterable[Any]) -> int:
    """Write one JSON document a line, atomically, and return how many. SartorError when the disk refuses.

    Values that JSON does not know (dates, bytes) are written as text, half surrogate pairs as `\\\\udXXX`.
    """
    count = 0

    def write(temporary: Path) -> None:
        nonlocal count
        with open(temporary, "wb") as stream:
            for row in rows:
                line = json.dumps(row, ensure_ascii=False, default=str)
                stream.write(line.encode("utf-8", "backslashreplace") + b"\n")
                count += 1

    replace_file(path, write)
    return count
