"""Fit one path after the other, each in its own folder, and measure them; what is done already is kept."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sartor.base.console import format_seconds, say
from sartor.base.durable import replace_json
from sartor.base.errors import UsageError
from sartor.choosing.brief import fingerprint
from sartor.choosing.budget import Share
from sartor.choosing.labels import DESCRIPTIONS, PAIRS
from sartor.choosing.measure import measure
from sartor.choosing.path_kinds import KINDS
from sartor.choosing.workshop import Workshop
from sartor.models.hub import ModelLocation, locate
from sartor.retrieval.path import FILE_NAME, PathConfig, open_path

TASK_FILE = "task.json"  # what the task was when the run began
INTERRUPTED_FILE = "interrupted.json"  # of a path: how long it was fitted before it was interrupted


class Fitting:
    """Fits and measures paths in a workshop, each in `share_seconds`. UsageError when the run was begun with the task
    as it was before a change."""

    def __init__(self, shop: Workshop, share_seconds: float):
        self.shop, self.share_seconds = shop, share_seconds
        self._require_same_task()

    def fit(self, name: str) -> None:
        """Fit the path into paths/NAME, unless it is there."""
        folder, kind = self.shop.path_folder(name), KINDS[name]
        if (folder / FILE_NAME).is_file():
            say(f"{name}: fitted already")
            return
        say(f"--- {name}: {DESCRIPTIONS[name]}")
        library = self.shop.library if kind.retrieves else None
        folder.mkdir(parents=True, exist_ok=True)
        shared = self.shop.library_seconds("seconds") if library else 0.0
        share = Share(self.share_seconds, shared + _seconds_before(folder))
        try:
            path, tried = kind.fit(self.shop, name, folder, share)
        except BaseException:
            replace_json(folder / INTERRUPTED_FILE, {"seconds": share.spent - shared})
            raise
        seconds = share.spent
        facts = {
            "setup_seconds": seconds,
            "chosen_on_dev": [asdict(each) for each in tried],
            "freshness_seconds": self._freshness(name, seconds),
            **({} if library is None else {"documents": library.documents, "chunks": library.chunks}),
            **self._preferences(name),
            **self.shop.findings_of_service(name),
        }
        replace_json(folder / "fitted.json", facts)
        path.save(folder)
        say(f"{name}: fitted in {format_seconds(seconds)}")

    def measure(self, name: str) -> None:
        """Answer the test rows with the path, unless that was done."""
        folder = self.shop.path_folder(name)
        answers = self.shop.folder.path / "answers" / f"{name}.jsonl"
        if (folder / "measured.json").is_file() and answers.is_file():
            say(f"{name}: measured already")
            return
        answers.parent.mkdir(exist_ok=True)
        config = PathConfig.load(folder)
        opened = open_path(config, folder, None if config.adapter else self.shop.model(name))
        usage = measure(
            opened.generator,
            self.shop.brief,
            name,
            config.sampling,
            model_hash(config, folder),
            self.shop.config.machine_price,
            answers,
        )
        replace_json(folder / "measured.json", asdict(usage))

    def _require_same_task(self) -> None:
        """UsageError when a run is gone on with whose task has changed: its paths would be about different tasks."""
        run, task = self.shop.folder, self.shop.brief.task
        now = {"sha256": fingerprint(task)}
        if not (run.path / TASK_FILE).is_file():
            run.write_json(TASK_FILE, now)
        elif run.read_json(TASK_FILE) != now:
            raise UsageError(
                "the task has changed since this run began",
                where=str(task.folder),
                hint=f"choose another --out; for another scorer alone, `sartor choose --rescore {run.path}`",
            )

    def _preferences(self, name: str) -> dict[str, Any]:
        pairs = self.shop.pairs
        if pairs is None or not KINDS[name].about_pairs:
            return {}
        return {"pairs": len(pairs.pairs), "pair_leaks": pairs.leaks.text(among=PAIRS)}

    def _freshness(self, name: str, setup_seconds: float) -> float | None:
        """How long a changed document takes to reach the answers: one document indexed, or training again."""
        if KINDS[name].retrieves:
            return self.shop.library_seconds("index_seconds") / max(self.shop.library.documents, 1)
        return setup_seconds if name.startswith("finetune") else None


def _seconds_before(folder: Path) -> float:
    """How long this path was fitted before it was interrupted."""
    file = folder / INTERRUPTED_FILE
    return float(json.loads(file.read_text())["seconds"]) if file.is_file() else 0.0


def model_hash(config: PathConfig, folder: Path) -> str:
    """The first 16 digits of a SHA-256 over the weights that answer; a remote model's name."""
    if config.api_base_url is not None:
        return config.model
    location: ModelLocation = locate(folder / config.adapter if config.adapter else config.model)
    digest = hashlib.sha256()
    for source in filter(None, (location.folder, location.adapter)):
        for file in sorted(source.glob("*.safetensors")):
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]
