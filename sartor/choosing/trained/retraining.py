"""A path's training once more, with one thing changed: the same settings, the same number of steps."""

from pathlib import Path
from typing import Any

from sartor.base.configuration import build, load_yaml
from sartor.base.run_folder import RunFolder
from sartor.choosing.trained.scored_questions import kept_questions
from sartor.recipes import dpo, finetune
from sartor.recipes.dpo import DpoConfig
from sartor.recipes.finetune import FinetuneConfig
from sartor.recipes.stage import TrainingResult
from sartor.recipes.training import open_run

PLAN_FILE = "plan.json"
FIRST_STAGE, SECOND_STAGE = "run", "dpo"  # where a path's folder holds its trainings


def first_seconds(path: Path) -> float:
    """How long the trainings in the path's folder took."""
    stages = (path / stage for stage in (FIRST_STAGE, SECOND_STAGE))
    return sum(float(RunFolder(stage).read_json("result.json")["seconds"]) for stage in stages if stage.is_dir())


def train_again(path: Path, folder: Path, **changes: Any) -> Path:
    """Train as the path in the folder `path` was trained first, with `changes` of the settings (such as `seed`), into
    `folder`; what was learnt last. A training that was finished or begun there goes on."""
    result = _finetune_again(path, folder, changes)
    if (path / SECOND_STAGE).is_dir():
        result = _align_again(path, folder, changes)
    return result.trained


def _finetune_again(path: Path, folder: Path, changes: dict[str, Any]) -> TrainingResult:
    first = build(FinetuneConfig, load_yaml(path / FIRST_STAGE / "config.yaml"))
    config = first.model_copy(update={**_rows_in(path, first), **changes, "out": str(folder / FIRST_STAGE)})
    _plan_as(path / FIRST_STAGE, config)
    return finetune.run(config, kept_questions(path) if first.best_by == "score" else None)


def _align_again(path: Path, folder: Path, changes: dict[str, Any]) -> TrainingResult:
    first = build(DpoConfig, load_yaml(path / SECOND_STAGE / "config.yaml"))
    places = {"base": str(folder / FIRST_STAGE), "out": str(folder / SECOND_STAGE)}
    config = first.model_copy(update={**_rows_in(path, first), **changes, **places})
    _plan_as(path / SECOND_STAGE, config)
    return dpo.run(config)


def _rows_in(path: Path, first: FinetuneConfig | DpoConfig) -> dict[str, str]:
    """The files that the training `first` learnt from, where they are now: a run folder may have been moved."""
    assert first.dev is not None
    return {"data": str(path / Path(first.data).name), "dev": str(path / Path(first.dev).name)}


def _plan_as(first: Path, config: FinetuneConfig | DpoConfig) -> None:
    """Begin the run of `config` with the plan of the run in `first`, so that the clock does not decide how long it
    trains."""
    if (Path(config.out) / PLAN_FILE).is_file():
        return
    with open_run(config, config.out) as folder:
        folder.write_json(PLAN_FILE, RunFolder(first).read_json(PLAN_FILE))
