"""Sinks: the record of metrics.jsonl, each step once, whatever happens in between."""

import builtins
import errno
import importlib
import os
import sys
import types

import pytest

from sartor.base.errors import SartorError, UsageError
from sartor.base.metrics import read_metrics
from sartor.base.run_folder import RunFolder
from sartor.base.sinks import MODULES, feeding, require_sinks

SETTINGS = {"base": "starter", "learning_rate": 1e-3, "sinks": ["wandb"]}


def fed(folder, names, steps, rewind_to=None, **more):
    """Log these steps with the sinks open; `rewind_to` drops the log's lines after so many bytes before that."""
    with feeding(names, folder, SETTINGS), folder.metrics() as log:
        if rewind_to is not None:
            log.rewind(rewind_to)
        for step in steps:
            log.append({"step": step, "loss": 1.0 / step, "note": "text", "flag": True, **more})
        return log.position


@pytest.fixture
def run(tmp_path):
    with RunFolder.create(tmp_path / "tuned") as folder:
        yield folder


class Tracker(types.ModuleType):
    """A stand-in for wandb and trackio: keeps what it is given."""

    def __init__(self):
        super().__init__("tracker")
        self.started, self.logged, self.finished, self.broken = [], [], 0, False

    def init(self, **options):
        self.started.append(options)
        return self

    def log(self, values, step):
        if self.broken:
            raise ConnectionError("no route")
        self.logged.append((step, values))

    def finish(self):
        self.finished += 1


@pytest.fixture(params=["wandb", "trackio"])
def tracker(request, monkeypatch):
    library = Tracker()
    monkeypatch.setitem(sys.modules, request.param, library)
    library.sink = request.param
    return library


def test_the_sink_gets_the_numbers_of_every_step(run, tracker):
    fed(run, [tracker.sink], range(1, 4))
    assert tracker.logged == [(step, {"loss": 1.0 / step}) for step in (1, 2, 3)]
    (started,) = tracker.started
    assert started["project"] == "sartor" and started["config"] == SETTINGS and started["name"].startswith("tuned-")
    assert tracker.finished == 1 and run.metrics_listeners == []


def test_a_resumed_run_logs_no_step_twice_and_under_the_same_name(run, tracker):
    saved = fed(run, [tracker.sink], range(1, 4))
    fed(run, [tracker.sink], range(4, 6))
    fed(run, [tracker.sink], range(4, 8), rewind_to=saved)  # from the checkpoint after step 3
    assert [step for step, _ in tracker.logged] == [1, 2, 3, 4, 5, 6, 7]
    assert [record["step"] for record in read_metrics(run.path / "metrics.jsonl")] == [1, 2, 3, 4, 5, 6, 7]
    assert len({options["name"] for options in tracker.started}) == 1


def test_a_sink_that_fails_is_told_of_and_training_goes_on(run, tracker, capsys):
    tracker.broken = True
    fed(run, [tracker.sink], range(1, 5))
    assert len(read_metrics(run.path / "metrics.jsonl")) == 4
    shown = " ".join(capsys.readouterr().err.split())
    assert shown.count("takes no more metrics (ConnectionError: no route)") == 1


def test_a_sink_that_cannot_be_opened_stops_before_training(run, tracker, monkeypatch):
    def refuse(**options):
        raise RuntimeError("not logged in")

    monkeypatch.setattr(tracker, "init", refuse)
    with pytest.raises(SartorError, match="cannot be opened: RuntimeError: not logged in"):
        fed(run, [tracker.sink], [1])
    assert not (run.path / "metrics.jsonl").exists()


@pytest.mark.parametrize("name", MODULES)
def test_a_missing_library_is_named_with_how_to_install_it(name, monkeypatch):
    original = importlib.import_module

    def missing(module):
        if module == MODULES[name]:
            raise ModuleNotFoundError(f"No module named {module!r}")
        return original(module)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(UsageError, match=f"{name} is not installed") as caught:
        require_sinks([name])
    assert f"pip install {name}" in caught.value.hint


def test_without_sinks_nothing_is_imported_or_written(run, monkeypatch):
    original = builtins.__import__

    def refuse(name, *arguments, **options):
        assert name.split(".")[0] not in ("tensorboard", "mlflow", "wandb", "trackio")
        return original(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    require_sinks([])
    fed(run, [], range(1, 3))
    assert sorted(path.name for path in run.path.iterdir()) == [".lock", "metrics.jsonl"]


def test_tensorboard_reads_back_what_was_logged(run):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    saved = fed(run, ["tensorboard"], range(1, 4), dev_score=0.5)
    fed(run, ["tensorboard"], [4], dev_score=0.5)
    fed(run, ["tensorboard"], range(4, 7), rewind_to=saved, dev_score=0.5)
    events = EventAccumulator(str(run.path / "tensorboard")).Reload()
    assert sorted(events.Tags()["scalars"]) == ["dev_score", "loss"]
    read = [(event.step, event.value) for event in events.Scalars("loss")]
    assert read == [(step, pytest.approx(1.0 / step)) for step in range(1, 7)]


def test_mlflow_reads_back_what_was_logged(run, monkeypatch):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    pytest.importorskip("sqlalchemy", reason="mlflow has no database here")
    fed(run, ["mlflow"], range(1, 4))
    fed(run, ["mlflow"], range(3, 6))
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{run.path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("sartor")
    (stored,) = client.search_runs([experiment.experiment_id])
    assert stored.data.params["learning_rate"] == "0.001" and stored.info.status == "FINISHED"
    history = client.get_metric_history(stored.info.run_id, "loss")
    assert [(metric.step, metric.value) for metric in history] == [(step, 1.0 / step) for step in range(1, 6)]


def test_a_disk_that_fails_to_note_what_was_sent_is_told_once_and_stops_nothing(run, tracker, monkeypatch, capsys):
    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("sartor.base.sinks.os.replace", full)
    fed(run, [tracker.sink], range(1, 4))
    assert [step for step, _ in tracker.logged] == [1, 2, 3]
    assert " ".join(capsys.readouterr().err.split()).count("steps may be sent twice") == 1
