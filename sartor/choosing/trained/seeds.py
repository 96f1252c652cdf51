"""Trained paths are trained again with other seeds: how much of a score is the luck of one training.

A further training has the first one's rows, settings and number of steps; the seed draws the order of the rows, the
adapter's start and dropout. All of them answer the test rows. What a path is worth is their mean, row by row; what is
served is the one with the best score on dev rows, decided before any test row was asked.
"""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.base.console import format_seconds, say
from sartor.base.durable import replace_json
from sartor.choosing.fitting.path_kinds import KINDS
from sartor.choosing.fitting.workshop import Workshop
from sartor.choosing.inputs import keep_inputs, path_inputs, weights_hash
from sartor.choosing.prompted.prompting import dev_rows, dev_scores
from sartor.choosing.touches import note_touch
from sartor.choosing.trained.retraining import first_seconds, train_again
from sartor.data.writers import write_jsonl
from sartor.evaluation.runner import answer_rows
from sartor.models.hub import locate
from sartor.retrieval.path import PathConfig, open_path

SEEDS_FILE, SEEDS_FOLDER = "seeds.json", "seeds"  # of a path: its trainings, and the further ones among them
MEASURED_FILE = "measured.json"


def is_trained(folder: Path) -> bool:
    return PathConfig.load(folder).adapter is not None


class Seeds:
    """The trainings of the paths in a workshop that are trained, as many as `seeds` of the settings says."""

    def __init__(self, shop: Workshop, names: Sequence[str]):
        self.shop = shop
        trained = [name for name in names if is_trained(shop.path_folder(name))]
        # A path that was begun with more seeds is brought to an end: it has none that is served before.
        self.names = [name for name in trained if shop.config.seeds > 1 or kept_seeds(shop.path_folder(name))]

    def train(self) -> bool:
        """Train what is not trained yet and choose which of each path's trainings is served; tells the time
        beforehand. Whether there was anything to do."""
        missing = {name: self._missing(name) for name in self.names}
        undecided = [name for name in self.names if not any(each["served"] for each in self._kept(name))]
        if not undecided and not any(missing.values()):
            return False
        self._tell(missing)
        for name in self.names:
            for seed in missing[name]:
                self._train(name, seed)
            if missing[name] or name in undecided:
                self._serve_the_best(name)
        return True

    def measure(self) -> bool:
        """Answer the test rows with every training that is not served (the served one is measured as its path).
        Whether there was anything to do."""
        worked = False
        for name in self.names:
            for each in self._kept(name):
                worked |= not each["served"] and self._measure(name, each)
        return worked

    def _tell(self, missing: Mapping[str, Sequence[int]]) -> None:
        own = self.shop.config.seed
        further = {name: [seed for seed in seeds if seed != own] for name, seeds in missing.items()}
        seconds = sum(len(seeds) * first_seconds(self.shop.path_folder(name)) for name, seeds in further.items())
        for name, seeds in further.items():
            if seeds:
                say(f"{name} is trained again with {len(seeds)} further seed{'s' if len(seeds) > 1 else ''}")
        say(f"that comes on top of the budget and takes about {format_seconds(seconds)}")

    def _kept(self, name: str) -> list[dict[str, Any]]:
        return kept_seeds(self.shop.path_folder(name))

    def _missing(self, name: str) -> list[int]:
        known = {each["seed"] for each in self._kept(name)}
        first = self.shop.config.seed
        return [seed for seed in range(first, first + self.shop.config.seeds) if seed not in known]

    def _train(self, name: str, seed: int) -> None:
        """Train with the seed (the path's first training has the settings' own) and score it on dev rows."""
        path, started = self.shop.path_folder(name), time.monotonic()
        if seed == self.shop.config.seed:
            folder, config, seconds = path, PathConfig.load(path), first_seconds(path)
        else:
            say(f"--- {name}: training with seed {seed}")
            folder = path / SEEDS_FOLDER / str(seed)
            trained = train_again(path, folder, seed=seed)
            config = _as_served_from(PathConfig.load(path), trained.relative_to(folder).as_posix())
            keep_inputs(folder, path_inputs(self.shop, KINDS[name]))
            config.save(folder)
            seconds = time.monotonic() - started
        adapter = (folder / (config.adapter or "")).relative_to(path).as_posix()
        score = self._dev_score(name, config, folder, seed)
        kept = {"seed": seed, "adapter": adapter, "dev_score": score, "seconds": seconds, "served": False}
        undecided = [each | {"served": False} for each in kept_seeds(path)]
        replace_json(path / SEEDS_FILE, [*undecided, kept])

    def _dev_score(self, name: str, config: PathConfig, folder: Path, seed: int) -> float:
        rows = dev_rows(self.shop.brief, self.shop.config.seed)
        generator = open_path(config, folder).generator
        scores = dev_scores(self.shop.brief, generator, rows, f"{name}, seed {seed}")
        return float(np.mean([score or 0.0 for score in scores]))

    def _serve_the_best(self, name: str) -> None:
        """Let the path be its training with the best dev score, the first of equal ones. Answers that were measured
        with another one stay, as that training's."""
        path, answers = self.shop.path_folder(name), self.shop.folder.path / "answers"
        config, trainings = PathConfig.load(path), kept_seeds(path)
        best = max(trainings, key=lambda each: each["dev_score"])
        if config.adapter != best["adapter"]:
            (now,) = (each["seed"] for each in trainings if each["adapter"] == config.adapter)
            if (answers / f"{name}.jsonl").is_file():
                (answers / f"{name}.jsonl").rename(answers / f"{name}.seed-{now}.jsonl")
                replace_json(_measured(path, now), {"served_before": True})
            (path / MEASURED_FILE).unlink(missing_ok=True)
            config.model_copy(update={"adapter": best["adapter"]}).save(path)
            say(f"{name}: seed {best['seed']} is served, with the best score on dev rows ({best['dev_score']:.3f})")
        replace_json(path / SEEDS_FILE, [each | {"served": each is best} for each in trainings])

    def _measure(self, name: str, training: dict[str, Any]) -> bool:
        run, seed = self.shop.folder.path, training["seed"]
        file, path = run / "answers" / f"{name}.seed-{seed}.jsonl", self.shop.path_folder(name)
        done = _measured(path, seed)
        if done.is_file() and file.is_file():
            return False
        config = PathConfig.load(path).model_copy(update={"adapter": training["adapter"]})
        note_touch(run, f"{name}/{SEEDS_FOLDER}/{seed}")
        brief, hash_of_weights = self.shop.brief, weights_hash(locate(path / training["adapter"]))
        label = f"measuring {name}, seed {seed}"
        generator = open_path(config, path).generator
        answers = answer_rows(generator, brief.test, brief.task.scorer, config.sampling, label, hash_of_weights)
        write_jsonl(file, [answer.as_dict() for answer in answers])
        replace_json(done, {"rows": len(answers)})
        return True


def _measured(path: Path, seed: int) -> Path:
    """Is there when the answers of that training are."""
    return path / SEEDS_FOLDER / f"measured-{seed}.json"


def _as_served_from(config: PathConfig, adapter: str) -> PathConfig:
    """The path's configuration for a folder two levels deeper than its own."""
    knowledge = config.knowledge
    if knowledge is not None:
        knowledge = knowledge.model_copy(update={"file": f"../../{knowledge.file}"})
    return config.model_copy(update={"adapter": adapter, "knowledge": knowledge})


def kept_seeds(path: Path) -> list[dict[str, Any]]:
    """The trainings of the path in the folder `path` with their dev scores; empty where seeds were not asked for."""
    file = path / SEEDS_FILE
    found: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
    return found


def answer_files(run: Path, name: str) -> list[Path]:
    """Where the answers of the path's trainings are; the served one's are the path's."""
    folder = run / "answers"
    trainings = kept_seeds(run / "paths" / name)
    if not trainings:
        return [folder / f"{name}.jsonl"]
    return [folder / (f"{name}.jsonl" if each["served"] else f"{name}.seed-{each['seed']}.jsonl") for each in trainings]


def seeds_as_json(run: Path, name: str, scores: NDArray[np.float64] | None) -> dict[str, Any]:
    """The path's trainings for choice.json; `scores` are [trainings, test rows], NaN where unscored."""
    if scores is None:
        return {}
    trainings = kept_seeds(run / "paths" / name)
    return {
        "seeds": [
            {
                "seed": each["seed"],
                "score": None if np.isnan(line).all() else float(np.nanmean(line)),
                "dev_score": each["dev_score"],
                "served": each["served"],
            }
            for each, line in zip(trainings, scores, strict=True)
        ]
    }
