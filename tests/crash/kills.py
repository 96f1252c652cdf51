"""R1 and R2: killed or stopped at any moment, the same command again ends as the uninterrupted run."""

import signal
import time
from pathlib import Path

from tests.crash.bench import Bench
from tests.crash.children import Child, Ended

REAL_PROCESSES_SHARE = 0.1
KILLS_IN_ONE_RUN = 5
RESUMABLE, INTERRUPTED = 75, 130
SECONDS_TO_FIRST_STEP = 60.0


def killed_once(bench: Bench) -> None:
    """R1: SIGKILL at a moment drawn evenly from the uninterrupted run's duration; a tenth in processes of their own."""
    num_real = int(REAL_PROCESSES_SHARE * bench.num_tries)
    _real_processes(bench, num_real)
    seconds = bench.world.seconds
    while bench.tries < bench.num_tries:
        moment = bench.draw.uniform(0, seconds)
        with bench.one_try(f"killed after {moment:.3f} s") as folder:
            child = bench.start(folder)
            ended = child.wait(moment) or child.kill()
            if ended.code != -signal.SIGKILL:  # quicker than the uninterrupted one was
                seconds = min(seconds, moment)
                bench.tries -= 1
            bench.check_finishes(folder)


def _real_processes(bench: Bench, number: int) -> None:
    seconds = 0.0
    for turn in range(number + bool(number)):
        moment = bench.draw.uniform(0.3, 1) * seconds  # the first seconds are imports
        with bench.one_try(f"a process of its own killed after {moment:.3f} s") as folder:
            child = bench.start_real(folder)
            if turn == 0:
                seconds = child.finish().seconds
                bench.tries -= 1
            else:
                child.wait(moment) or child.kill()
                again = bench.start_real(folder).finish()
                bench.check(again.code == 0, f"the same command again ended with {again.code}: {again.said[-2000:]}")
            bench.check_same(folder, rows_logged=False)


def killed_often(bench: Bench) -> None:
    """R2: several kills in one run (all but the first of them while it resumes), stop signals, and both mixed."""
    ways = (_several_kills, _stopped, _stopped_twice, _stopped_anywhere)
    for turn in range(bench.num_tries):
        way = ways[turn % len(ways)]
        number = (signal.SIGTERM, signal.SIGINT)[turn // len(ways) % 2]
        with bench.one_try(f"{way.__name__.strip('_')} {number.name}") as folder:
            way(bench, folder, number)
            bench.check_finishes(folder)


def _several_kills(bench: Bench, folder: Path, number: int) -> None:
    for kill in range(KILLS_IN_ONE_RUN):
        child = bench.start(folder)
        # even turns die early in the resume, the others after some progress
        moment = bench.world.seconds * (bench.draw.uniform(0, 0.5) if kill % 2 else bench.draw.uniform(0.4, 0.8))
        child.wait(moment) or child.kill()


def _stopped(bench: Bench, folder: Path, number: int) -> None:
    """Twice a signal between two steps: saved, exit code 75, explained."""
    for _ in range(2):
        child = bench.start(folder)
        if (early := _after_a_step(child, folder)) is not None:
            bench.check(False, f"ended before a step: {early.code} {early.said[-500:]}")
            return
        child.signal(number)
        ended = child.finish()
        bench.check_explained(ended, RESUMABLE)
        bench.check("stopped after step" in ended.said and "hint: run the same command again" in ended.said, ended.said)


def _stopped_twice(bench: Bench, folder: Path, number: int) -> None:
    """A second signal at once does not wait for the step to end."""
    child = bench.start(folder)
    _after_a_step(child, folder)
    child.signal(number)
    child.wait(bench.draw.uniform(0, 0.05))
    child.signal(number)
    ended = child.finish()
    allowed = {RESUMABLE, INTERRUPTED if number == signal.SIGINT else -signal.SIGTERM}
    bench.check(ended.code in allowed, f"exit code {ended.code}: {ended.said[-2000:]}")


def _stopped_anywhere(bench: Bench, folder: Path, number: int) -> None:
    child = bench.start(folder)
    ended = child.wait(bench.draw.uniform(0.05, 1) * bench.world.seconds)
    if ended is None:
        child.signal(number)
        ended = child.finish()
    allowed = {0, RESUMABLE, INTERRUPTED if number == signal.SIGINT else -signal.SIGTERM}
    bench.check(ended.code in allowed, f"exit code {ended.code}: {ended.said[-2000:]}")
    bench.check("Traceback" not in ended.said, ended.said[-2000:])


def _after_a_step(child: Child, folder: Path) -> Ended | None:
    """Wait until a step was logged since the child began; how it ended if it ended first."""
    metrics = folder / "run" / "metrics.jsonl"
    before = metrics.stat().st_size if metrics.is_file() else 0
    deadline = time.monotonic() + SECONDS_TO_FIRST_STEP
    while time.monotonic() < deadline:
        if metrics.is_file() and metrics.stat().st_size > before:
            return None
        if (ended := child.wait(0.002)) is not None:
            return ended
    raise TimeoutError("no step was made")
