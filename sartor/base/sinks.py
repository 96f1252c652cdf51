"""Metrics also for other people's viewers: the record that goes to metrics.jsonl, handed on step by step.

Each library is optional and imported only where its sink was chosen; so is whatever network it uses. TensorBoard and
MLflow write into the run folder (MLflow elsewhere where MLFLOW_TRACKING_URI says so).
"""

import importlib
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

from sartor.base.console import warn
from sartor.base.durable import write_error
from sartor.base.errors import SartorError, UsageError
from sartor.base.run_folder import RunFolder

SinkName = Literal["tensorboard", "mlflow", "wandb", "trackio"]
MODULES: dict[SinkName, str] = {
    "tensorboard": "torch.utils.tensorboard",
    "mlflow": "mlflow",
    "wandb": "wandb",
    "trackio": "trackio",
}
PACKAGES: dict[SinkName, str] = {
    "tensorboard": "tensorboard",
    "mlflow": "mlflow",
    "wandb": "wandb",
    "trackio": "trackio",
}
PROJECT = "sartor"
STATE_FILE = "sinks.json"


class Sink(Protocol):
    """Where metrics go besides metrics.jsonl."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Take the numbers of one step; steps come in ascending order, each once."""
        ...

    def close(self) -> None:
        """Hand over what is still waiting."""
        ...


class Target:
    """What a sink is told of the run: its folder, its settings, a name that stays its own when the run goes on, and
    what the sink itself wants to find again then (`kept`)."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]):
        self.folder, self.settings = folder, settings
        state = _stored(folder / STATE_FILE)
        self.name: str = state.get("name") or f"{folder.resolve().name}-{secrets.token_hex(3)}"
        self.kept: dict[str, str] = dict(state.get("kept", {}))
        self.sent: dict[str, int] = dict(state.get("sent", {}))
        self._told = False

    def remember(self) -> None:
        """Write what is known now. Not synced: a power loss may cost it, and then a few steps are sent twice. Neither
        does a disk that fails end the work: the first time it is told."""
        path = self.folder / STATE_FILE
        unfinished = path.with_name(f".{STATE_FILE}.new")
        try:
            unfinished.write_text(json.dumps({"name": self.name, "kept": self.kept, "sent": self.sent}))
            os.replace(unfinished, path)
        except OSError as error:
            if not self._told:
                warn(f"{write_error(error, path, 0).what} ({path}): if the run goes on later, steps may be sent twice")
            self._told = True


class TensorBoardSink:
    def __init__(self, library: Any, target: Target):
        self._writer = library.SummaryWriter(str(target.folder / "tensorboard"))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()  # or a kill would lose steps that count as sent

    def close(self) -> None:
        self._writer.close()


class MlflowSink:
    def __init__(self, library: Any, target: Target):
        self._library = library
        where = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{target.folder.resolve() / 'mlflow.db'}"
        self._client = library.MlflowClient(tracking_uri=where)
        if "mlflow" in target.kept:
            self._run = target.kept["mlflow"]
            self._client.update_run(self._run, status="RUNNING")
            return
        found = self._client.get_experiment_by_name(PROJECT)
        experiment = found.experiment_id if found else self._client.create_experiment(PROJECT)
        self._run = target.kept["mlflow"] = self._client.create_run(experiment, run_name=target.name).info.run_id
        params = [library.entities.Param(name, str(value)) for name, value in target.settings.items()]
        self._client.log_batch(self._run, params=params)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        now = int(1000 * time.time())
        entity = self._library.entities.Metric
        self._client.log_batch(self._run, [entity(name, value, now, step) for name, value in values.items()])

    def close(self) -> None:
        self._client.set_terminated(self._run)


class WandbSink:
    def __init__(self, library: Any, target: Target):
        self._run = library.init(
            project=PROJECT,
            id=target.name,
            name=target.name,
            resume="allow",
            config=dict(target.settings),
            dir=str(target.folder),
        )

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        self._run.finish()


class TrackioSink:
    def __init__(self, library: Any, target: Target):
        self._library = library
        library.init(project=PROJECT, name=target.name, resume="allow", config=dict(target.settings))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._library.log(dict(values), step=step)

    def close(self) -> None:
        self._library.finish()


SINKS: dict[SinkName, Callable[[Any, Target], Sink]] = {
    "tensorboard": TensorBoardSink,
    "mlflow": MlflowSink,
    "wandb": WandbSink,
    "trackio": TrackioSink,
}


def require_sinks(names: Sequence[SinkName]) -> None:
    """UsageError, with what to install, where the library of a sink is missing; to be asked before any work."""
    for name in names:
        _library(name)


@contextmanager
def feeding(names: Sequence[SinkName], folder: RunFolder, settings: Mapping[str, Any]) -> Iterator[None]:
    """While this lasts, what `folder.metrics()` logs goes to the sinks as well.

    A run that goes on after an interruption computes its last steps again: a sink is sent only steps later than the
    last one it took. SartorError when a sink cannot be opened; one that fails later is told of and left alone, because
    training is worth more than a copy of its metrics.
    """
    target = Target(folder.path, settings)
    sinks: dict[SinkName, Sink] = {}

    def listener(record: Mapping[str, Any]) -> None:
        _feed(sinks, target, record)

    try:
        for name in names:
            sinks[name] = _opened(name, target)
        if sinks:
            target.remember()
            folder.metrics_listeners.append(listener)
        yield
    finally:
        if listener in folder.metrics_listeners:
            folder.metrics_listeners.remove(listener)
        for name, sink in sinks.items():
            _guarded(name, sink.close)


def _feed(sinks: dict[SinkName, Sink], target: Target, record: Mapping[str, Any]) -> None:
    step = int(record["step"])
    values = {name: float(value) for name, value in record.items() if name != "step" and _is_figure(value)}
    for name, sink in list(sinks.items()):
        if step <= target.sent.get(name, 0):
            continue
        if not _guarded(name, lambda sink=sink: sink.log(step, values)):  # type: ignore[misc]
            del sinks[name]
            continue
        target.sent[name] = step
    target.remember()


def _guarded(name: SinkName, work: Any) -> bool:
    """Whether `work` went well; if not, a warning says so. Libraries of others raise whatever they like."""
    try:
        work()
    except Exception as error:
        warn(f"{name} takes no more metrics ({type(error).__name__}: {error}); metrics.jsonl has all of them")
        return False
    return True


def _opened(name: SinkName, target: Target) -> Sink:
    library = _library(name)
    try:
        return SINKS[name](library, target)
    except Exception as error:
        raise SartorError(
            f"{name} cannot be opened: {type(error).__name__}: {error}",
            where="--sinks",
            hint=f"set up {name}, or leave it out: metrics.jsonl has everything",
        ) from error


def _library(name: SinkName) -> Any:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # metrics go where the person said, and nowhere else
    try:
        return importlib.import_module(MODULES[name])
    except ImportError as error:
        raise UsageError(
            f"{name} is not installed ({error})",
            where="--sinks",
            hint=f"install it with `pip install {PACKAGES[name]}`, or leave it out",
        ) from None


def _is_figure(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _stored(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except FileNotFoundError:
        return {}
    except ValueError:
        warn(f"{path} is damaged: the sinks begin anew")
        return {}
