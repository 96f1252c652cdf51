"""The measured choice: fit every path in equal time, measure all on the same rows, decide, report."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from sartor.base.configuration import Config

PATHS = ("prompt", "api", "rag", "api+rag", "long-context", "finetune", "finetune+rag", "finetune+dpo")
CLOSED_BOOK, ORACLE = "closed-book", "oracle"
REFERENCES = (CLOSED_BOOK, ORACLE)  # measured beside the paths where they say something, and never chosen
BASIS = "rag"  # the path that the references are about
PROBES = ("freshness", "forgetting", "robustness")


class ChooseConfig(Config):
    """Settings of `sartor choose`."""

    task: str = Field(
        description="task folder: task.yaml, train and test rows, documents/ and preferences.jsonl if there are any"
    )
    out: str = Field(
        description="run folder to write; the same command again goes on where it stopped, with other --paths it adds "
        "them to those it has"
    )
    paths: list[str] = Field(
        [],
        description=f"paths to measure, of {', '.join(PATHS)} (default: all that apply: those with rag where the task "
        "has documents, long-context where the model can read them all at once, finetune+dpo where it has preferences, "
        "those with api where a remote model is named)",
    )
    budget: str = Field(
        "20m",
        description="time to fit all paths together, shared equally (90s, 20m, 1h), or money (5usd): as much of this "
        "machine's time as it pays for, or of what a remote model charges; measuring the test rows comes on top",
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
    rerank: str | None = Field(
        None,
        description="cross-encoder (a folder or Hub id) that reads passages again, where that pays on dev rows",
    )
    machine_price: float = Field(
        0.10, ge=0, description="US dollars an hour of this machine, for the cost of local paths"
    )
    grid: str = Field(
        "world",
        description="where the machine's electricity comes from, for its carbon: a country's two letters, or grams of "
        "carbon dioxide for a kilowatt hour",
    )
    probes: list[str] = Field(
        [],
        description=f"what to ask the fitted paths besides, on dev rows, of {', '.join(PROBES)}, or none (default: all "
        "that apply; those that ask a remote model or judge, which costs money, only when named here). Together "
        "they take at most about half as long as --budget, on top of it: freshness changes and deletes facts in a copy "
        "of the documents, forgetting compares a trained model with its base, robustness asks with typing mistakes and "
        "in other words",
    )
    fresh: str | None = Field(
        None,
        description="file with facts to change for the probe freshness, a row each: document, old, new, question, "
        "answer (default: facts found in the dev rows)",
    )
    seed: int = Field(0, ge=0, description="of examples, training and sampling")
    seeds: int = Field(
        1,
        ge=1,
        description="how often each trained path is trained, with other random numbers each time, to know how much of "
        "its score is luck; 3 or more tell something; beside the budget",
    )
    curve: bool = Field(
        False,
        description="also train the fine-tuned path on a quarter and on half of its rows, to tell whether more rows "
        "would help; beside the budget, up to two more trainings",
    )

    @field_validator("paths")
    @classmethod
    def _known_paths(cls, paths: list[str]) -> list[str]:
        unknown = [name for name in paths if name not in PATHS]
        if unknown:
            raise ValueError(f"there is no path {unknown[0]}; paths are {', '.join(PATHS)}")
        return paths

    @field_validator("probes")
    @classmethod
    def _known_probes(cls, probes: list[str]) -> list[str]:
        unknown = [name for name in probes if name not in PROBES and probes != ["none"]]
        if unknown:
            raise ValueError(f"there is no probe {unknown[0]}; probes are {', '.join(PROBES)}, or none alone")
        return probes

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
    from sartor.base.console import say
    from sartor.base.grid_intensity import grid_intensity
    from sartor.choosing.brief import make_brief
    from sartor.choosing.decide import write_choice
    from sartor.choosing.fitting.budget import parse_budget
    from sartor.choosing.fitting.course import Fitting
    from sartor.choosing.fitting.path_kinds import KINDS
    from sartor.choosing.fitting.workshop import Workshop
    from sartor.choosing.going_on import (
        asks_service,
        drop_changed,
        kept_share,
        open_choice,
        paths_of_run,
        settings_to_go_on,
    )
    from sartor.choosing.probes.probing import plan_probes, run_probes
    from sartor.choosing.prompted.long_context import without_what_does_not_fit
    from sartor.choosing.retrieved.references import references_of
    from sartor.choosing.service import Service
    from sartor.choosing.trained.learning_curve import draw_curve
    from sartor.choosing.trained.seeds import Seeds
    from sartor.choosing.trained.task_pairs import read_task_pairs
    from sartor.data.task import Task
    from sartor.recipes.judge_check import JUDGEMENTS_FILE

    parse_budget(config.budget, config.machine_price)
    grid_intensity(config.grid)
    config = settings_to_go_on(config)
    task = Task.load(config.task).keeping_judgements(Path(config.out) / JUDGEMENTS_FILE)
    names = paths_of_run(config, task)
    brief = make_brief(task, config.base)
    service = Service(config) if asks_service(config, brief, names) else None
    names = without_what_does_not_fit(names, brief, config.base, config.paths)
    pairs = read_task_pairs(task) if any(KINDS[name].about_pairs for name in names) else None
    probes = plan_probes(config, brief)
    started = time.time()
    with open_choice(config, task) as folder:
        share = kept_share(folder, config, len(names))
        say(f"paths: {', '.join(names)}; up to {share} to fit each, then all on {len(brief.test)} test rows")
        shop = Workshop(config, brief, folder, service, pairs)
        references = references_of(names, brief)
        drop_changed(shop, [*names, *references])
        fitting = Fitting(shop, share)
        for name in [*names, *references]:
            fitting.fit(name)
        seeds = Seeds(shop, names)
        worked = seeds.train()
        say("every path is fitted; measuring them on the test rows, which nothing has looked at so far")
        for name in [*names, *references]:
            fitting.measure(name)
        worked |= seeds.measure() | draw_curve(shop, names)
        worked |= run_probes(shop, names, probes)
        seconds = time.time() - started if fitting.worked or worked else None
        choice = write_choice(folder.path, brief, [*names, *references], config.budget, seconds)
        return Outcome(folder.path, choice)


def rescore(out: Path) -> Outcome:
    """Decide again from the answers alone, with the task as it is now (its scorer and limits may have changed)."""
    from sartor.base.configuration import build, load_yaml
    from sartor.base.run_folder import RunFolder
    from sartor.choosing.brief import make_brief
    from sartor.choosing.decide import score_again, write_choice
    from sartor.data.task import Task
    from sartor.recipes.judge_check import JUDGEMENTS_FILE

    config = build(ChooseConfig, load_yaml(RunFolder(out).path / "config.yaml"))
    with RunFolder.open(out) as folder:
        task = Task.load(config.task).keeping_judgements(folder.path / JUDGEMENTS_FILE)
        brief = make_brief(task, config.base)
        names = score_again(folder.path, brief)
        return Outcome(folder.path, write_choice(folder.path, brief, names, config.budget, None))
