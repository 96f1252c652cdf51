"""R9: one process at a time writes a run folder; the lock of a dead one is no hindrance."""

import signal
import socket
from pathlib import Path

from sartor.base.run_folder import LOCK_FILE
from tests.crash.bench import Bench
from tests.crash.children import Child


def one_writes(bench: Bench) -> None:
    """R9: the second process is refused and told by whom, whether it comes while the first works or with it at once;
    the first is not disturbed. Then a killed process's lock, and one with nonsense in it."""
    ways = (_second_comes_later, _both_at_once, _stale)
    for turn in range(bench.num_tries):
        way = ways[turn % len(ways)]
        with bench.one_try(way.__name__.strip("_")) as folder:
            way(bench, folder)


def _second_comes_later(bench: Bench, folder: Path) -> None:
    first = bench.start(folder)
    _wait_for(first, folder / "run" / "plan.json")
    first.signal(signal.SIGSTOP)  # so that it is surely still there
    second = bench.start(folder)
    ended = second.finish()
    first.signal(signal.SIGCONT)
    bench.check_explained(ended)
    _check_named(bench, ended.said, first)
    bench.check(first.finish().code == 0, "the first was disturbed")
    bench.check_same(folder)


def _both_at_once(bench: Bench, folder: Path) -> None:
    """Each with its output in a folder of its own."""
    children = []
    for name in ("one", "two"):
        (folder / name).mkdir()
        (folder / name / "run").symlink_to(folder / "run")
        children.append(bench.start(folder / name))
    (folder / "run").mkdir()
    ended = [child.finish() for child in children]
    codes = sorted(each.code for each in ended)
    bench.check(codes in ([0, 0], [0, 1]), f"exit codes {codes}: {[each.said[-1000:] for each in ended]}")
    for each, other in zip(ended, reversed(children), strict=True):
        if each.code == 1:
            bench.check_explained(each)
            _check_named(bench, each.said, other)
    bench.check_same(folder, rows_logged=False)


def _stale(bench: Bench, folder: Path) -> None:
    child = bench.start(folder)
    _wait_for(child, folder / "run" / "plan.json")
    child.kill()
    lock = folder / "run" / LOCK_FILE
    bench.check(str(child.pid) in lock.read_text(), "the dead process's id is not in the lock")
    if bench.draw.random() < 0.5:
        lock.write_bytes(b"\0\0[5")
    bench.check_finishes(folder)


def _check_named(bench: Bench, said: str, holder: Child) -> None:
    named = f"process {holder.pid} on {socket.gethostname()} is using this run folder"
    bench.check(named in said, f"process and host are not named: {said[-500:]}")


def _wait_for(child: Child, path: Path) -> None:
    while not path.is_file():
        if (ended := child.wait(0.002)) is not None:
            raise RuntimeError(f"ended before {path.name}: {ended.code} {ended.said[-1000:]}")
