"""Where the work on shards is done: a Daft plan, in processes of this machine or on a Ray cluster.

The plan is a table of tasks, one a row, on which one function does the whole work of a shard. So the plan is the same
everywhere, an error of a shard comes back as that shard's result, and memory is bounded by what one shard takes.
"""

import json
import logging
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

from sartor import __version__
from sartor.base.errors import DataError, Interrupted, SartorError, UsageError

LOCAL, RAY, RAY_PREFIX = "local", "ray", "ray://"
QUIET = {
    "DAFT_ANALYTICS_ENABLED": "0",
    "DAFT_PROGRESS_BAR": "0",
    "DO_NOT_TRACK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
SECONDS_BETWEEN_LOOKS = 0.5
WORKER_DIED = "closed the connection unexpectedly"  # what Daft says of a process that is no more
KINDS: dict[str, type[SartorError]] = {"data": DataError, "usage": UsageError}

Work = Callable[[str], dict[str, Any]]
"""Does one task, given as text, and says in JSON values what came of it."""


@dataclass(frozen=True)
class Engine:
    """`kind` is `local`, `ray` (the cluster of RAY_ADDRESS, or a new one on this machine) or `ray://HOST:PORT`, a
    cluster that this machine is part of. All its machines must see the folders of documents under the same paths."""

    kind: str = LOCAL
    processes: int = 1

    def check(self) -> None:
        """UsageError when there is no such engine, or what it needs is not installed."""
        if self.kind != LOCAL and self.kind != RAY and not self.kind.startswith(RAY_PREFIX):
            hint = "local, ray, or ray://HOST:PORT of a Ray cluster that runs"
            raise UsageError(f"there is no engine '{self.kind}'", where="--engine", hint=hint)
        if self.kind != LOCAL and find_spec("ray") is None:
            raise UsageError("Ray is not installed", where="--engine", hint="pip install 'sartor[ray]'")

    def run(self, work: Work, tasks: Sequence[str]) -> Iterator[dict[str, Any]]:
        """What `work` gives for each task, in their order, as they are done. Its errors are raised here."""
        if not tasks:
            return
        daft = _daft(self.kind, self.processes)
        parent = os.getpid() if self.kind == LOCAL else None

        class Worker:
            def __init__(self) -> None:
                if parent is not None:
                    end_with(parent)

            @daft.method(return_dtype=daft.DataType.string())
            def do(self, task: str) -> str:
                return attempt(work, task, __version__)

        worker = daft.cls(max_concurrency=self.processes)(Worker)()  # each instance is a process of its own
        plan = daft.from_pydict({"task": list(tasks)}).into_batches(1)
        plan = plan.select(worker.do(plan["task"]).alias("result"))
        try:
            done = 0
            for row in plan.iter_rows(results_buffer_size=1):
                done += 1
                yield result_of(json.loads(row["result"]))
            if done < len(tasks):  # Daft has a handler for Ctrl-C, which ends the plan as if it were done
                raise Interrupted("stopped on request", hint="the same command goes on from here")
        except RuntimeError as error:
            if WORKER_DIED not in str(error):
                raise
            hint = "if memory ran out, give fewer --processes; the same command goes on from here"
            raise SartorError("a worker process was killed", hint=hint) from error


def attempt(work: Work, task: str, version: str) -> str:
    """What came of a task, or of its failure, as text that travels between processes and machines."""
    if version != __version__:  # the function came from another machine, `__version__` is of this one
        error = UsageError(
            f"this worker has Sartor {__version__}, the command has {version}", hint="install the same version"
        )
        return _failure(error)
    try:
        return json.dumps({"result": work(task)})
    except SartorError as error:
        return _failure(error)
    except Exception:
        return json.dumps({"bug": traceback.format_exc()})


def end_with(parent: int) -> None:
    """End this process when `parent`, which started it, is no more: nobody would take its results. Stop signals that
    go to all processes together are for the parent, which lets shards be finished."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()


def _failure(error: SartorError) -> str:
    kind = next((name for name, kind in KINDS.items() if isinstance(error, kind)), "")
    return json.dumps({"failure": {"kind": kind, "what": error.what, "where": error.where, "hint": error.hint}})


def result_of(answer: dict[str, Any]) -> dict[str, Any]:
    """What `attempt` said, or the error that it told of."""
    if "bug" in answer:
        raise RuntimeError(f"a worker failed:\n{answer['bug']}")
    if "failure" in answer:
        failure = answer["failure"]
        kind = KINDS.get(failure["kind"], SartorError)
        raise kind(failure["what"], where=failure["where"], hint=failure["hint"])
    return answer["result"]


def _daft(kind: str, processes: int) -> Any:
    """The library, told to stay quiet before it is imported, and where to run."""
    os.environ.update(QUIET)
    if kind != LOCAL:
        _join_cluster(kind, processes)
    return _runner(kind)


def _join_cluster(kind: str, processes: int) -> None:
    import ray

    if ray.is_initialized():
        return
    address = kind.removeprefix(RAY_PREFIX) if kind.startswith(RAY_PREFIX) else os.environ.get("RAY_ADDRESS")
    new: dict[str, Any] = {} if address else {"num_cpus": processes, "include_dashboard": False}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **new)
    except (ConnectionError, RuntimeError) as error:
        what = f"cannot join the Ray cluster: {str(error).splitlines()[0]}"
        hint = "give the address that `ray start` prints (port 6379 mostly) on a machine of the cluster"
        raise SartorError(what, where=f"--engine {kind}", hint=hint) from error


@cache
def _runner(kind: str) -> Any:
    """Daft takes its runner once in the life of a process."""
    import daft

    if kind == LOCAL:
        daft.set_runner_native()
    else:
        daft.set_runner_ray(noop_if_initialized=True)
    return daft
