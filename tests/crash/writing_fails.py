"""R5 and R6: a disk that is full, fails or may not be written. Explained, nothing half published, resumed later."""

import ctypes
import errno
import functools
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sartor.base.run_folder import RunFolder
from tests.crash.bench import Bench, CannotTry
from tests.crash.children import Child, Ended, command
from tests.crash.power_loss import mark_saves, promised_step
from tests.crash.system_calls import GO_ON, WHY_NOT, Call, Verdict

TAKES_SPACE = frozenset({"open", "write", "mkdir", "rename", "fsync"})
BYTES_NAMED = re.compile(r"the disk is full: [\d.]+ \w?B needed, [\d.]+ \w?B free")
MAY_NOT_MOUNT = 98  # an exit code that no command has
SMALL_DISK_BYTES = 4_000_000
ROOMS = (0.5, 0.2, 0.8)  # shares of what the run needs that are free; the first one only, with few tries
FEW_TRIES = 10


def full_disk(bench: Bench) -> None:
    """R5: from the n-th call that takes space on there is none; then a real small disk."""
    if WHY_NOT is None:
        calls: list[Call] = []
        with bench.one_try("watched") as folder:
            child = bench.start(folder, watched=True)
            ended = child.watched(folder / "run", lambda call: calls.append(call) or GO_ON)
            bench.check(ended.code == 0, f"ended with {ended.code}: {ended.said[-1000:]}")
        total = sum(_takes_space(call) for call in calls)
        bench.check(total, "no call that takes space was seen")
        for number in sorted(bench.draw.sample(range(1, total + 1), min(bench.num_tries, total))):
            with bench.one_try(f"no space from call {number} of {total} on") as folder:
                ended = _failing_from(bench, folder, number)
                bench.check_explained(ended)
                bench.check(BYTES_NAMED.search(ended.said), f"bytes needed and free are not named: {ended.said[-500:]}")
                _check_promises(bench, folder)
                bench.check_finishes(folder)
    else:
        bench.skipped.append(WHY_NOT)
    _small_disk(bench)


def _takes_space(call: Call) -> bool:
    return call.changes and call.name in TAKES_SPACE


def _failing_from(bench: Bench, folder: Path, number: int) -> Ended:
    count = 0

    def before(call: Call) -> Verdict:
        nonlocal count
        count += _takes_space(call)
        return Verdict(error=errno.ENOSPC if _takes_space(call) and count >= number else 0)

    return bench.start(folder, watched=True, prepare=lambda: mark_saves(folder)).watched(folder / "run", before)


@dataclass(frozen=True)
class Fault:
    """`error` at one call named `name`: of the run from its beginning or, with `resumed`, of one that goes on."""

    name: str
    error: int
    resumed: bool = False


FAULTS = (
    Fault("write", errno.EIO), Fault("fsync", errno.EIO), Fault("read", errno.EIO, resumed=True),
    Fault("open", errno.EROFS), Fault("rename", errno.EIO), Fault("mkdir", errno.EACCES),
    Fault("unlink", errno.EIO), Fault("write", errno.EIO, resumed=True), Fault("rmdir", errno.EIO),
    Fault("fsync", errno.EIO, resumed=True), Fault("open", errno.EIO, resumed=True),
)  # fmt: skip


def failing_disk(bench: Bench) -> None:
    """R6: input/output errors, refused writes, and a folder that can only be read."""
    _read_only(bench)
    if WHY_NOT is not None:
        bench.skipped.append(WHY_NOT)
        return
    counts = {resumed: _count(bench, resumed) for resumed in (False, True)}
    for turn in range(bench.num_tries):
        fault = FAULTS[turn % len(FAULTS)]
        total = counts[fault.resumed].get(fault.name, 0)
        if not total:
            when = "a resumed run" if fault.resumed else "the command"
            bench.skipped.append(f"{errno.errorcode[fault.error]} at {fault.name}: {when} makes no such call")
        else:
            _one_fault(bench, fault, bench.draw.randrange(1, total + 1), total)


def _count(bench: Bench, resumed: bool) -> dict[str, int]:
    counts: dict[str, int] = {}

    def before(call: Call) -> Verdict:
        counts[call.name] = counts.get(call.name, 0) + 1
        return GO_ON

    with bench.one_try("watched") as folder:
        if resumed:
            _half_done(bench, folder)
        ended = bench.start(folder, watched=True).watched(folder / "run", before)
        bench.check(ended.code == 0, f"ended with {ended.code}: {ended.said[-1000:]}")
    return counts


def _one_fault(bench: Bench, fault: Fault, number: int, total: int) -> None:
    count = 0

    def before(call: Call) -> Verdict:
        nonlocal count
        count += call.name == fault.name
        return Verdict(error=fault.error if call.name == fault.name and count == number else 0)

    resumed = " of a resumed run" if fault.resumed else ""
    with bench.one_try(f"{errno.errorcode[fault.error]} at {fault.name} {number} of {total}{resumed}") as folder:
        if fault.resumed:
            _half_done(bench, folder)
        child = bench.start(folder, watched=True, prepare=lambda: mark_saves(folder))
        ended = child.watched(folder / "run", before)
        if ended.code == 0:  # what failed could be done without, such as a damaged checkpoint
            bench.check_same(folder, rows_logged=False)
        else:
            bench.check(
                "Traceback" not in ended.said and "error: " in ended.said, f"not explained: {ended.said[-2000:]}"
            )
        _check_promises(bench, folder)
        bench.check_finishes(folder)


def _half_done(bench: Bench, folder: Path) -> None:
    """The uninterrupted run as it was before its last checkpoint."""
    shutil.copytree(bench.world.reference / "run", folder / "run")
    for name in ("result.json", "README.md"):
        (folder / "run" / name).unlink()
    shutil.rmtree(folder / "run" / "checkpoints" / f"step-{max(RunFolder(folder / 'run').steps())}")
    shutil.copy(bench.world.reference / "rows.log", folder)


def _check_promises(bench: Bench, folder: Path) -> None:
    """What was saved is there."""
    promised = promised_step(folder)
    if promised is not None:
        newest = RunFolder(folder / "run").newest_checkpoint()
        bench.check(newest is not None and newest.step >= promised, f"step {promised} was saved, found {newest}")


def _small_disk(bench: Bench) -> None:
    needed = sum(path.stat().st_size for path in (bench.world.reference / "run").rglob("*") if path.is_file())
    for room in ROOMS if bench.num_tries > FEW_TRIES else ROOMS[:1]:
        with bench.one_try(f"a small disk with room for {room:.0%}") as folder:
            (folder / "disk").mkdir()
            _require_mount(folder, lambda: _mount_small_disk(folder / "disk"))
            ended = Child(functools.partial(_on_small_disk, bench, folder, int(room * needed)), folder).finish()
            bench.check(ended.code == 0, f"on the small disk: {ended.said[-2000:]}")
            bench.check_same(folder)


def _mount_small_disk(disk: Path) -> bool:
    return _mount(disk, "tmpfs", f"size={SMALL_DISK_BYTES}")


def _on_small_disk(bench: Bench, folder: Path, room: int) -> int:
    """In a child with mounts of its own: the command on a disk with `room` bytes, then with more."""
    disk = folder / "disk"
    assert _mount_small_disk(disk), "it could be mounted before"
    filler = disk / "filler"
    filler.write_bytes(bytes(max(0, shutil.disk_usage(disk).free - room)))
    log = folder / "rows.log"
    work = command(bench.arguments, lambda: (os.chdir(disk), bench.world.recipe.log_rows(log))[-1])
    inner = folder / "inner"
    inner.mkdir()
    ended = Child(work, inner).finish()
    if ended.code != 1 or not BYTES_NAMED.search(ended.said) or "Traceback" in ended.said:
        raise AssertionError(f"on a full disk: {ended.code} {ended.said}")
    if (disk / "run" / "checkpoints").is_dir():
        steps, newest = RunFolder(disk / "run").steps(), RunFolder(disk / "run").newest_checkpoint()
        if newest is None and steps:
            raise AssertionError(f"no whole checkpoint of {steps}")
    filler.unlink()
    ended = Child(work, inner).finish()
    if ended.code != 0:
        raise AssertionError(f"with space again: {ended.code} {ended.said}")
    shutil.copytree(disk / "run", folder / "run")
    return 0


def _read_only(bench: Bench) -> None:
    with bench.one_try("a folder that can only be read") as folder:
        (folder / "tried").mkdir()
        _require_mount(folder, lambda: _mount(folder / "tried", None, None))
        child = bench.start(folder)
        while not (folder / "run" / "latest").is_file() and child.wait(0.002) is None:
            pass
        child.kill()
        ended = Child(lambda: _in_read_only(bench, folder), folder).finish()
        bench.check_explained(ended)
        bench.check("Read-only file system" in ended.said, f"the reason is not named: {ended.said[-500:]}")
        bench.check_finishes(folder)


def _in_read_only(bench: Bench, folder: Path) -> int:
    assert _mount(folder / "run", None, None), "a folder could be mounted before"
    return command(bench.arguments)() or 0


def _require_mount(folder: Path, mount: Callable[[], bool]) -> None:
    """CannotTry where a process of this user may not do it."""
    if Child(lambda: 0 if mount() else MAY_NOT_MOUNT, folder).finish().code == MAY_NOT_MOUNT:
        raise CannotTry("this user has no right to mount")


MS_READ_ONLY, MS_REMOUNT, MS_BIND, MS_RECURSIVE, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
NEW_MOUNTS = 0x00020000


def _mount(folder: Path, kind: str | None, options: str | None) -> bool:
    """In a mount namespace of this process's own: a disk of `kind`, or (None) `folder` itself read-only."""
    libc = ctypes.CDLL(None, use_errno=True)
    place = str(folder).encode()
    if libc.unshare(NEW_MOUNTS) or libc.mount(None, b"/", None, MS_RECURSIVE | MS_PRIVATE, None):
        return False
    if kind is not None:
        return libc.mount(b"none", place, kind.encode(), 0, (options or "").encode()) == 0
    flags = MS_BIND | MS_REMOUNT | MS_READ_ONLY
    return libc.mount(place, place, None, MS_BIND, None) == 0 and libc.mount(None, place, None, flags, None) == 0
