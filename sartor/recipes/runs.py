"""Run folders on a disk: which there are, what each came to, and taking them away. Everything is read from files."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from sartor.base.configuration import Config
from sartor.base.durable import remove_folder, write_error
from sartor.base.errors import Interrupted, SartorError, UsageError
from sartor.base.lock import Lock
from sartor.base.run_folder import LOCK_FILE, RunFolder
from sartor.reporting.figures import number
from sartor.train.alarms import Alarm, alarms
from sartor.train.diagnosis import Diagnosis, diagnose
from sartor.train.history import History, read_history, read_record, read_settings

State = Literal["running", "finished", "failed", "interrupted"]
SETTINGS_FILE, FAILURE_FILE = "config.yaml", "failed.json"
COLLECTION = "runs"


@dataclass(frozen=True)
class RunSummary:
    """One run in a line. `dev_loss` is that of the weights that were kept; `score` is between 0 and 1: of the task's
    dev questions, or of a choice's test questions; `outcome` is the held-out figure that alignment is judged by, named
    `outcome_name` (accuracy of a reward model or DPO, mean reward of PPO or GRPO), likewise of what was kept. `rows`
    are pairs or prompts where those are learnt from. What does not apply or is not known yet is None."""

    path: Path
    kind: str
    state: State
    base: str | None
    rows: int | None
    steps: int | None
    dev_loss: float | None
    score: float | None
    outcome_name: str | None
    outcome: float | None
    choice: str | None
    seconds: float | None
    size_bytes: int
    begun: str

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "path": str(self.path)}


@dataclass(frozen=True)
class RunRecord:
    """Everything about a run that is worth showing."""

    summary: RunSummary
    settings: dict[str, Any]
    history: History
    diagnosis: Diagnosis | None
    failure: str | None

    @cached_property
    def alarms(self) -> list[Alarm]:
        """What went wrong in alignment; looked for when it is asked for, since a list of runs does not."""
        return alarms(self.history.records) if self.history.aligns else []


def is_run(path: Path) -> bool:
    """Whether the folder is a run folder: settings, and one of the marks that only Sartor leaves beside them."""
    if not (path / SETTINGS_FILE).is_file():
        return False
    environment = path / "environment.json"
    return (path / LOCK_FILE).is_file() or (environment.is_file() and "sartor" in read_record(environment))


def require_run(path: Path) -> Path:
    """UsageError when there is no run folder at `path`."""
    if not path.is_dir():
        raise UsageError("there is no such run folder", where=str(path), hint="`sartor runs ls` lists those here")
    if not is_run(path):
        raise UsageError(
            "is not a run folder", where=str(path), hint="a run folder holds config.yaml and environment.json"
        )
    return path


def find_runs(folder: Path) -> list[Path]:
    """The folder itself, the folders in it and those in its `runs/`, as far as they are runs, the oldest first."""
    if not folder.is_dir():
        raise UsageError("there is no such folder", where=str(folder), hint="name the folder that holds the runs")
    places = [folder, *_folders(folder), *_folders(folder / COLLECTION)]
    return sorted(filter(is_run, places), key=lambda path: ((path / SETTINGS_FILE).stat().st_mtime, str(path)))


def summarise(path: Path) -> RunSummary:
    return read_run(path).summary


def read_run(path: Path) -> RunRecord:
    """What is known of the run at `path`. UsageError when it is none, DataError when a file of it is damaged."""
    require_run(path)
    settings, history = read_settings(path), read_history(path)
    choice, certificate = read_record(path / "choice.json"), read_record(path / "certificate.json")
    how = choice.get("how") or {}
    chosen = choice.get("choice")
    begun = datetime.fromtimestamp((path / SETTINGS_FILE).stat().st_mtime, UTC)
    seconds = history.result.get("seconds", how.get("seconds_total"))
    so_far = history.series("seconds")
    summary = RunSummary(
        path=path,
        kind=_kind(path, settings),
        state=_state(path),
        base=settings.get("base"),
        rows=_rows(certificate, how),
        steps=history.steps or None,
        dev_loss=history.best_value,
        score=_score(history, choice),
        outcome_name=history.outcome_name if history.aligns else None,
        outcome=history.outcome if history.aligns else None,
        choice=chosen if chosen is not None else choice.get("verdict"),
        seconds=number(seconds) if seconds is not None else so_far[-1][1] if so_far else None,
        size_bytes=folder_bytes(path),
        begun=begun.isoformat(timespec="seconds"),
    )
    failure = read_record(path / FAILURE_FILE).get("error") if summary.state == "failed" else None
    return RunRecord(summary, settings, history, diagnose(history) if history.records else None, failure)


def unlike_defaults(settings: Mapping[str, Any], config_class: type[Config]) -> dict[str, Any]:
    """The settings that were given: those without a default, and those that differ from theirs."""
    fields = config_class.model_fields
    return {
        name: value
        for name, value in settings.items()
        if name not in fields
        or fields[name].is_required()
        or value != fields[name].get_default(call_default_factory=True)
    }


def differing(settings: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Each setting that is not the same in all, with its value in each; one that a run does not have is None there."""
    names = dict.fromkeys(name for each in settings for name in each)
    rows = {name: [each.get(name) for each in settings] for name in names}
    return {name: values for name, values in rows.items() if any(value != values[0] for value in values)}


def remove_run(path: Path) -> int:
    """Delete a whole run folder; the bytes that are free now. UsageError when it is none, SartorError while a process
    works on it."""
    with _locked(path) as run:
        freed = folder_bytes(path)
        _remove(run.path)
    return freed


def remove_checkpoints(path: Path) -> int:
    """Delete only the run's checkpoints; the bytes that are free now. Refuses as `remove_run`.

    What was trained stays; a run that has not ended begins anew when it goes on.
    """
    with _locked(path) as run:
        checkpoints = run.path / "checkpoints"
        if not checkpoints.is_dir():
            return 0
        freed = folder_bytes(checkpoints)
        (run.path / "latest").unlink(missing_ok=True)
        _remove(checkpoints)
    return freed


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below the folder; what links point at is not counted."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # a running process may just have replaced it
                total += os.lstat(os.path.join(place, name)).st_size
    return total


@contextlib.contextmanager
def noting_failure(folder: RunFolder) -> Iterator[None]:
    """Leave word of what made the work in `folder` fail, for those who look at it later; a new attempt takes it away.

    An interruption or a refused command is no failure of the run; an error that is told is not hidden by one of
    telling it.
    """
    forget_failure(folder.path)
    try:
        yield
    except (Interrupted, UsageError):
        raise
    except Exception as error:
        with contextlib.suppress(SartorError):
            folder.write_json(FAILURE_FILE, {"error": str(error) or type(error).__name__})
        raise


def forget_failure(path: Path) -> None:
    """Of a run that goes on, or is finished after all."""
    (path / FAILURE_FILE).unlink(missing_ok=True)


def _folders(folder: Path) -> list[Path]:
    return [item for item in folder.iterdir() if item.is_dir()] if folder.is_dir() else []


def _kind(path: Path, settings: Mapping[str, Any]) -> str:
    """The verb that made the run; of runs that did not note it, what their settings tell."""
    noted = read_record(path / "environment.json").get("run")
    return str(noted) if noted else "choose" if "budget" in settings else "finetune" if "adapter" in settings else "run"


def _state(path: Path) -> State:
    if Lock(path / LOCK_FILE, doing="").is_held():
        return "running"
    if (path / "result.json").is_file() or (path / "choice.json").is_file():
        return "finished"
    return "failed" if (path / FAILURE_FILE).is_file() else "interrupted"


def _rows(certificate: Mapping[str, Any], how: Mapping[str, Any]) -> int | None:
    told = (certificate.get("pairs"), certificate.get("prompts"), certificate.get("rows"), how.get("rows_train"))
    return next((count for count in told if isinstance(count, int)), None)


def _score(history: History, choice: Mapping[str, Any]) -> float | None:
    """Of a choice the chosen path's score, of a training that of the weights that were kept."""
    chosen = [each for each in choice.get("paths") or [] if each.get("name") == choice.get("choice")]
    return number(chosen[0].get("score")) if chosen else dict(history.series("dev_score")).get(history.best_step or 0)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[RunFolder]:
    """The run, so that nobody begins to work on it meanwhile."""
    require_run(path)
    if path.is_symlink():
        raise UsageError("is a link to a run", where=str(path), hint=f"name the folder itself: {path.resolve()}")
    with RunFolder.open(path) as run:
        yield run


def _remove(folder: Path) -> None:
    try:
        remove_folder(folder.resolve())
    except OSError as error:
        raise write_error(error, folder, 0) from error
