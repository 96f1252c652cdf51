"""Fit one path after the other, each in its own folder, and measure them; what is done already is kept."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sartor.base.console import format_seconds, say
from sartor.base.durable import replace_json
from sartor.choosing.faults.arms_lint import keep_conditions
from sartor.choosing.fitting.budget import Budget, Share
from sartor.choosing.fitting.path_kinds import KINDS, PathKind
from sartor.choosing.fitting.tries import TRIES_FILE, Tries
from sartor.choosing.fitting.workshop import Workshop
from sartor.choosing.going_on import is_measured
from sartor.choosing.inputs import keep_inputs, path_inputs, weights_hash
from sartor.choosing.labels import DESCRIPTIONS, PAIRS
from sartor.choosing.measure import measure
from sartor.choosing.prompted.long_context import seconds_to_read
from sartor.choosing.retrieved.references import generator_of
from sartor.choosing.touches import note_touch
from sartor.choosing.trained.retraining import first_seconds
from sartor.generation.answer_cache import Traffic
from sartor.models.hub import locate
from sartor.retrieval.path import FILE_NAME, PathConfig, open_path

TRAFFIC_FILE = "traffic_before.json"  # of a path: what the remote model had been sent in this run before, and charged
INTERRUPTED_FILE = "interrupted.json"  # of a path: how long it was fitted before it was interrupted


class Fitting:
    """Fits and measures paths in a workshop, each with the same `budget`. `worked` tells whether there was anything
    left to do."""

    def __init__(self, shop: Workshop, budget: Budget):
        self.shop, self.budget, self.worked = shop, budget, False
        shop.share_seconds = budget.seconds

    def fit(self, name: str) -> None:
        """Fit the path into paths/NAME, unless it is there."""
        folder, kind = self.shop.path_folder(name), KINDS[name]
        if (folder / FILE_NAME).is_file():
            say(f"{name}: fitted already")
            return
        say(f"--- {name}: {DESCRIPTIONS[name]}")
        self.worked = True
        keep_inputs(folder, path_inputs(self.shop, kind))
        library = self.shop.library if kind.retrieves else None
        shared = self.shop.library_seconds if library else 0.0
        tries = Tries(folder / TRIES_FILE)
        traffic = self._traffic_since_begun(name)
        self._open_for(kind)
        share = Share(self.budget.seconds, shared + _seconds_before(folder, tries), self._charged(traffic), tries)
        try:
            path, tried = kind.fit(self.shop, name, folder, share)
        except BaseException:
            replace_json(folder / INTERRUPTED_FILE, {"seconds": share.spent - shared})
            raise
        seconds = max(share.spent, first_seconds(folder))  # a training that was killed and went on knows its own time
        facts = {
            "setup_seconds": seconds,
            "setup_paid": traffic().paid,
            "setup_bytes_sent": traffic().bytes_sent,
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
        if is_measured(self.shop.folder.path, name):
            say(f"{name}: measured already")
            return
        self.worked = True
        answers.parent.mkdir(exist_ok=True)
        note_touch(self.shop.folder.path, name)
        config = PathConfig.load(folder)
        opened = open_path(config, folder, None if config.adapter else self.shop.model(name))
        keep_conditions(folder, opened, self.shop.brief)
        usage = measure(
            generator_of(self.shop, name, opened),
            self.shop.brief,
            name,
            config.sampling,
            model_hash(config, folder),
            self.shop.config.machine_price,
            answers,
        )
        replace_json(folder / "measured.json", asdict(usage))

    def _open_for(self, kind: PathKind) -> None:
        """Open what several paths ask, before the clock of the first of them runs."""
        if not kind.trained:
            self.shop.model(kind.name)
        if kind.searches_examples:
            self.shop.similar(1)

    def _traffic_since_begun(self, name: str) -> Callable[[], Traffic]:
        """What fitting the path has sent to the remote model so far, and paid, interrupted work counted in."""
        service, file = self.shop.service, self.shop.path_folder(name) / TRAFFIC_FILE
        if service is None or not KINDS[name].remote:
            return Traffic
        service.open(self.shop.folder)
        if not file.is_file():
            replace_json(file, asdict(service.traffic))
        before = Traffic(**json.loads(file.read_text()))
        return lambda: service.traffic.since(before)

    def _charged(self, traffic: Callable[[], Traffic]) -> Callable[[], float]:
        """What was paid as seconds of a share, where the budget is money."""
        if self.budget.dollars is None:
            return lambda: 0.0
        seconds_a_dollar = self.budget.seconds / self.budget.dollars
        return lambda: traffic().paid * seconds_a_dollar

    def _preferences(self, name: str) -> dict[str, Any]:
        pairs = self.shop.pairs
        if pairs is None or not KINDS[name].about_pairs:
            return {}
        return {"pairs": len(pairs.pairs), "pair_leaks": pairs.leaks.text(among=PAIRS)}

    def _freshness(self, name: str, setup_seconds: float) -> float | None:
        """How long a changed document takes to reach the answers: one document indexed, all written anew into the
        prompt, or training again."""
        if KINDS[name].reference:
            return None
        if KINDS[name].retrieves:
            return self.shop.document_seconds
        if KINDS[name].reads_documents:
            return seconds_to_read(self.shop.path_folder(name))
        return setup_seconds if KINDS[name].trained else None


def _seconds_before(folder: Path, tries: Tries) -> float:
    """How long this path was fitted before it was interrupted; where it was killed, as far as its tries tell."""
    file = folder / INTERRUPTED_FILE
    return max(tries.seconds, json.loads(file.read_text())["seconds"] if file.is_file() else 0.0)


def model_hash(config: PathConfig, folder: Path) -> str:
    """The first 16 digits of a SHA-256 over the weights that answer; a remote model's name."""
    if config.api_base_url is not None:
        return config.model
    return weights_hash(locate(folder / config.adapter if config.adapter else config.model))
