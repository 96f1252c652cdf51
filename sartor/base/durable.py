"""Writes that survive a crash: a reader sees the old content or the new, never a mixture.

Files are written beside their place, synced, and renamed into it; then the folder that holds the name is
synced. Folders are built as `.NAME.new` and renamed; one that is replaced waits as `.NAME.old` until the new
one is durable.
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sartor.base.errors import SartorError

Content = bytes | str | Callable[[Path], None]
"""What a file shall hold: bytes, text (UTF-8), or a function that writes the file at the path it is given."""

NEW_SUFFIX, OLD_SUFFIX = ".new", ".old"
NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_synced(path: Path, content: Content) -> None:
    """Write `path` in place and sync it: only for files in a folder that nobody reads yet."""
    if callable(content):
        content(path)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, content: Content) -> None:
    """Put `content` at `path`, atomically and durably. SartorError when it cannot be written; the old file
    stays."""
    temporary = path.with_name(f".{path.name}{NEW_SUFFIX}")
    try:
        write_synced(temporary, content)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        _remove_quietly(temporary)
        raise write_error(error, path, size_of(content)) from error


def replace_json(path: Path, value: Any) -> None:
    """`replace_file` with `value` as indented JSON; NaN and infinity are refused with ValueError."""
    replace_file(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def replace_folder(final: Path, files: Mapping[str, Content], needed_bytes: int | None = None) -> None:
    """Publish a folder with `files` (names may hold `/`), in order, atomically and durably.

    `needed_bytes` is checked against the free space first. SartorError when it cannot be written; nothing
    half written stays, and a folder that was there before stays as it was.
    """
    needed = sum(size_of(content) for content in files.values()) if needed_bytes is None else needed_bytes
    new = final.with_name(f".{final.name}{NEW_SUFFIX}")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        require_space(final.parent, needed)
        if new.exists():
            shutil.rmtree(new)
        _fill(new, files)
        _swap_in(new, final)
    except OSError as error:
        shutil.rmtree(new, ignore_errors=True)
        raise write_error(error, final, needed) from error


def publish_folder(new: Path, final: Path) -> None:
    """Sync everything in the finished folder `new`, a sibling of `final`, and put it in `final`'s place."""
    for path in sorted(new.rglob("*"), reverse=True):
        if path.is_dir():
            sync_folder(path)
        else:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    sync_folder(new)
    _swap_in(new, final)


def clean_leftovers(folder: Path) -> None:
    """Undo what a crash left in `folder`: half-built items go, a folder whose successor never came
    returns."""
    for path in list(folder.glob(f".*{OLD_SUFFIX}")):
        final = path.with_name(path.name[1 : -len(OLD_SUFFIX)])
        if final.exists():
            shutil.rmtree(path)
        else:
            os.rename(path, final)
    for path in list(folder.glob(f".*{NEW_SUFFIX}")):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def remove_folder(folder: Path) -> None:
    """Delete a folder so that a crash never leaves half of it under its own name."""
    doomed = folder.with_name(f".{folder.name}{NEW_SUFFIX}")
    if doomed.exists():
        shutil.rmtree(doomed)
    os.rename(folder, doomed)
    sync_folder(folder.parent)
    shutil.rmtree(doomed)


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def size_of(content: Content) -> int:
    """Bytes that are known to be needed: a function may tell by an attribute `needed_bytes`, else it counts
    as 0."""
    if callable(content):
        return int(getattr(content, "needed_bytes", 0))
    return len(content.encode() if isinstance(content, str) else content)


def require_space(folder: Path, needed_bytes: int) -> None:
    """SartorError, naming both sizes, when `needed_bytes` do not fit where the existing `folder` is."""
    if needed_bytes > shutil.disk_usage(folder).free:
        raise write_error(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), folder, needed_bytes)


def write_error(error: OSError, path: Path, needed_bytes: int) -> SartorError:
    """The one-line error for a write that failed."""
    if error.errno not in NO_SPACE:
        return SartorError(
            f"cannot write: {error.strerror or error}",
            where=str(path),
            hint="check that the disk is healthy and the folder is writable",
        )
    existing = next(parent for parent in (path, *path.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    return SartorError(
        f"the disk is full: {format_bytes(needed_bytes)} needed, {format_bytes(free)} free",
        where=str(path),
        hint="make space or choose another folder; what was complete before is untouched",
    )


def format_bytes(count: float) -> str:
    """`512 B`, `3.4 MB`, `12.0 GB` (powers of 1,000)."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _fill(folder: Path, files: Mapping[str, Content]) -> None:
    folder.mkdir()
    subfolders: set[Path] = set()
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        subfolders.update(parent for parent in path.parents if parent.is_relative_to(folder))
        write_synced(path, content)
    for subfolder in sorted(subfolders | {folder}, reverse=True):
        sync_folder(subfolder)


def _swap_in(new: Path, final: Path) -> None:
    old = final.with_name(f".{final.name}{OLD_SUFFIX}")
    if final.exists():
        if old.exists():
            shutil.rmtree(old)
        os.rename(final, old)
    try:
        os.rename(new, final)
    except OSError:
        if old.exists():
            os.rename(old, final)
        raise
    sync_folder(final.parent)
    if old.exists():
        shutil.rmtree(old)


def _remove_quietly(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return  # the write already failed and is being reported
