"""A list of a folder's files with their SHA-256, written last: with it the folder is complete, or it is known
not to be."""

import hashlib
import json
from pathlib import Path
from typing import Any

from sartor.base.durable import file_sha256

NAME = "manifest.json"


def manifest_text(folder: Path) -> str:
    """The manifest of everything in `folder` (subfolders too, an older manifest apart)."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / NAME)
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
        for path in paths
    }
    return _serialise(files)


def problem_with(folder: Path) -> str | None:
    """What is wrong with `folder` according to its manifest, or None when every listed file is as it was
    written."""
    try:
        text = (folder / NAME).read_text()
        files = json.loads(text)["files"]
        if text != _serialise(files):
            return f"{NAME} was changed"
        for name, expected in files.items():
            path = folder / name
            if not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != expected["bytes"]:
                return f"{name} has {path.stat().st_size} bytes instead of {expected['bytes']}"
            if file_sha256(path) != expected["sha256"]:
                return f"{name} was changed (SHA-256 differs)"
    except FileNotFoundError:
        return f"{NAME} is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{NAME} is not readable"
    return None


def _serialise(files: dict[str, Any]) -> str:
    body = json.dumps(files, sort_keys=True)
    return (
        json.dumps(
            {"files": files, "sha256": hashlib.sha256(body.encode()).hexdigest()}, indent=2, sort_keys=True
        )
        + "\n"
    )
