"""The files of a folder and its subfolders in a fixed order, each with what speaks against reading it."""

import os
from collections.abc import Iterator
from pathlib import Path

from sartor.base.errors import DataError

HIDDEN = "hidden"
LINKED_FOLDER = "a link to a folder, not followed"
LEADS_OUTSIDE = "a link that leads outside the folder, refused"
NOT_REGULAR = "not a regular file, left out"


def walk(root: Path) -> Iterator[tuple[Path, str | None]]:
    """(path, problem or None), sorted by path. What is hidden, and links to folders, are named once and not entered, so
    that no loop of links and nothing outside the folder is read. DataError for a folder that cannot be listed."""
    resolved = root.resolve()
    found: list[tuple[Path, str | None]] = []
    for folder, subfolders, names in os.walk(root, onerror=_cannot_list):
        place = Path(folder)
        found += [(place / name, HIDDEN) for name in (*subfolders, *names) if name.startswith(".")]
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        found += [(place / name, LINKED_FOLDER) for name in subfolders if (place / name).is_symlink()]
        found += [(place / name, _problem(place / name, resolved)) for name in names if not name.startswith(".")]
    yield from sorted(found, key=lambda each: each[0].relative_to(root).parts)


def _problem(path: Path, root: Path) -> str | None:
    try:
        if not path.resolve().is_relative_to(root):
            return LEADS_OUTSIDE
        return None if path.is_file() else NOT_REGULAR
    except (OSError, RuntimeError):  # a link to itself
        return NOT_REGULAR


def _cannot_list(error: OSError) -> None:
    raise DataError(
        f"cannot list the folder: {error.strerror}", where=str(error.filename), hint="check the folder's rights"
    ) from error
