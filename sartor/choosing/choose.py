"""The measured choice: fit every path in equal time, measure all on the same rows, decide, report."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from sartor.base.configuration import Config

PATHS = ("prompt", "api", "rag", "api+rag", "finetune", "finetune+rag", "finetune+dpo")


class ChooseConfig(Config):
    """Settings of `sartor choose`."""

    task: str = Field(
        description="task folder: task.yaml, train and test rows, documents/ and preferences.jsonl if there are any"
    )
    out: str = Field(description="run folder to write; the same command again goes on where it stopped")
    paths: list[str] = Field(
        [],
        description=f"paths to measure, of {', '.join(PATHS)} (default: all that apply: those with rag where the task "
        "has documents, finetune+dpo where it has preferences, those with api where a remote model is named)",
    )
    budget: str = Field(
        "20m",
        description="time to fit all paths together, shared equally (90s, 20m, 1h); "
        "measuring the test rows comes on top and is told beforehand",
    )
    base: str = Field("starter", description="local model: starter, a Hub id or a local folder")
    api: str | None = Field(None, description="name of a remote model to measure as a path of its own")
    api_base_url: str | None = Field(None, description="where it answers, such as https://api.openai.com/v1")
    api_key_env: str | None = Field(None, description="environment variable that holds the key")
    api_budget: float | None = Field(
        None,
        gt=0,
        exclude=True,  # no part of what is measured: a run that was stopped by it goes on with a higher one
        description="US dollars that the remote model's answers may cost in all (default: no cap)",
    )
    prices: str | None = Field(None, description="file with the prices of remote models, before the shipped ones")
    machine_price: float = Field(
        0.10, ge=0, description="US dollars an hour of this machine, for the cost of local paths"
    )
    seed: int = Field(0, ge=0, description="of examples, training and sampling")

    @field_validator("paths")
    @classmethod
    def _known_paths(cls, paths: list[str]) -> list[str]:
        unknown = [name for name in paths if name not in PATHS]
        if unknown:
            raise ValueError(f"there is no path {unknown[0]}; paths are {', '.join(PATHS)}")
        return paths

    @model_validator(mode="after")
    def _whole_api(self) -> Self:
        if (self.api is None) != (self.api_base_url is None):
            raise ValueError("--api and --api-base-url belong together")
        if self.api is None and not (self.api_budget is None and self.prices is None and self.api_key_env is None):
            raise ValueError("--api-budget, --prices and --api-key-env are for a remote model: name it with --api")
        return self


@dataclass(frozen=True)
class Outcome:
    """Where everything is, and choice.json as a dictionary."""

    out: Path
    choice: dict[str, Any]


def run(config: ChooseConfig) -> Outcome:
    """Measure and decide. What an interrupted run had finished is kept; a finished run is decided again."""
    from sartor.base.console import format_seconds, say
    from sartor.choosing.brief import make_brief
    from sartor.choosing.budget import parse_seconds
    from sartor.choosing.decide import write_choice
    from sartor.choosing.fitting import Fitting
    from sartor.choosing.path_kinds import KINDS, applicable_paths
    from sartor.choosing.service import Service
    from sartor.choosing.task_pairs import read_task_pairs
    from sartor.choosing.workshop import Workshop
    from sartor.data.task import Task
    from sartor.recipes.training import check_run, open_run

    seconds = parse_seconds(config.budget)
    check_run(config, config.out)
    task = Task.load(config.task)
    names = applicable_paths(config, task)
    service = Service(config) if any(name.startswith("api") for name in names) else None
    brief = make_brief(task, config.base)
    pairs = read_task_pairs(task) if any(KINDS[name].about_pairs for name in names) else None
    started = time.time()
    with open_run(config, config.out) as folder:
        share = seconds / len(names)
        say(
            f"paths: {', '.join(names)}; up to {format_seconds(share)} to fit each, then all on "
            f"{len(brief.test)} test rows"
        )
        fitting = Fitting(Workshop(config, brief, folder, service, pairs), share)
        for name in names:
            fitting.fit(name)
        say("every path is fitted; measuring them on the test rows, which nothing has looked at so far")
        for name in names:
            fitting.measure(name)
        choice = write_choice(folder.path, brief, names, config.budget, time.time() - started)
        return Outcome(folder.path, choice)


def rescore(out: Path) -> Outcome:
    """Decide again from the answers alone, with the task as it is now (its scorer and limits may have changed)."""
    from sartor.base.configuration import build, load_yaml
    from sartor.base.run_folder import RunFolder
    from sartor.choosing.brief import make_brief
    from sartor.choosing.decide import score_again, write_choice
    from sartor.data.task import Task

    config = build(ChooseConfig, load_yaml(RunFolder(out).path / "config.yaml"))
    with RunFolder.open(out) as folder:
        brief = make_brief(Task.load(config.task), config.base)
        names = score_again(folder.path, brief)
        return Outcome(folder.path, write_choice(folder.path, brief, names, config.budget, None))
