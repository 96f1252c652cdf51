"""Ask the fitted paths what the test rows do not tell: whether they follow a changed fact, what training made them
forget, and whether typing mistakes and other words disturb them. Dev rows only.

RUN/probes/PATH/PROBE.json holds each result, written once, with every row it comes from. A result is kept as long as
all that it depends on is the same; a run that was interrupted goes on behind the last one.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sartor.base.console import format_seconds, say
from sartor.base.durable import file_sha256, replace_json
from sartor.base.errors import UsageError
from sartor.choosing.brief import Brief, fingerprints
from sartor.choosing.choose import PROBES, ChooseConfig
from sartor.choosing.fitting.budget import parse_budget
from sartor.choosing.fitting.path_kinds import KINDS
from sartor.choosing.fitting.workshop import Workshop, is_remote
from sartor.choosing.inputs import weights_hash
from sartor.choosing.probes.abstaining import own_phrase
from sartor.choosing.probes.edits import Edit, automatic_edits
from sartor.choosing.probes.findings import FOLDER, result_file
from sartor.choosing.probes.forgetting import forgetting, general_knowledge, material_hash
from sartor.choosing.probes.fresh_file import read_fresh
from sartor.choosing.probes.freshness import MOST_EDITS, probe_freshness
from sartor.choosing.probes.paraphrase_file import read_paraphrases
from sartor.choosing.probes.probed_path import Finding, ProbedPath
from sartor.choosing.probes.robustness import MOST_ROWS, probe_robustness
from sartor.data.extract import Document, read_documents
from sartor.generation.local import LocalModel
from sartor.generation.protocol import Generator
from sartor.models.hub import locate
from sartor.retrieval.path import PathConfig, open_path

GENERAL = "general"  # below FOLDER: what each model knows of the world at large, by its weights
SCRATCH = ".scratch"
PART_OF_BUDGET = 0.5  # what all probes together may take, as a part of the time to fit; shared equally
LEAST_SECONDS = 5.0  # a probe asks no further row of a path when its time is over, but it has at least so much
VERSION = 2  # of what is asked and how it is counted
NONE = "none"


@dataclass(frozen=True)
class GivenEdits:
    """The edits of the user's own file, and the file's hash."""

    edits: tuple[Edit, ...]
    sha256: str


@dataclass(frozen=True)
class ProbePlan:
    """What is to be probed, with all that people wrote for it already checked. `fresh` are their own edits,
    `paraphrases` their own wordings by row id (None: there are none). `named`: the probes were asked for by name."""

    wanted: tuple[str, ...]
    named: bool
    fresh: GivenEdits | None
    paraphrases: dict[str, str] | None


def plan_probes(config: ChooseConfig, brief: Brief) -> ProbePlan:
    """Read the user's files for the probes, before anything is fitted. UsageError or DataError for a mistake."""
    task = brief.task
    wanted = tuple(name for name in PROBES if name in config.probes) if config.probes else PROBES
    fresh = None
    if config.fresh is not None:
        if "freshness" not in wanted:
            raise UsageError("--fresh is for the probe freshness", where="--probes", hint="add freshness to --probes")
        if task.documents is None:
            raise UsageError("the task has no documents to edit", where="--fresh", hint="leave --fresh out")
        file = Path(config.fresh)
        edits = read_fresh(file, _documents(task.documents), task.scorer)
        fresh = GivenEdits(tuple(edits), file_sha256(file))
    return ProbePlan(wanted, bool(config.probes), fresh, read_paraphrases(task))


def run_probes(shop: Workshop, names: Sequence[str], plan: ProbePlan) -> bool:
    """Probe the paths of these names, as far as that is not done; whether there was anything to do. A remote model,
    which costs money, is probed only when probes were named in the settings."""
    probed = [name for name in names if not KINDS[name].reference]
    budget = parse_budget(shop.config.budget, shop.config.machine_price).seconds
    each = max(LEAST_SECONDS, PART_OF_BUDGET * budget / (len(probed) * len(PROBES)))
    probing = _Probing(shop, plan, any(KINDS[name].retrieves for name in probed), each)
    started = time.monotonic()
    done = sum([probing.probe(name) for name in probed])
    if done:
        say(f"probes done in {format_seconds(time.monotonic() - started)}")
    return done > 0


def _documents(folder: Path) -> dict[str, Document]:
    """By id. A file that cannot be read is left out: it holds no fact to change, and indexing has told of it."""
    read = read_documents(folder, notice=lambda sentence: None, on_bad_file=lambda file, error: None)
    return {document.id: document for document in read}


class _Probing:
    """What the probes of one run share."""

    def __init__(self, shop: Workshop, plan: ProbePlan, reads_documents: bool, seconds: float):
        """`reads_documents`: a path of the run does, so that there is something to compare the others with. `seconds`
        is what one probe of one path may take."""
        self.shop, self.plan, self.reads_documents, self.seconds = shop, plan, reads_documents, seconds
        self.run = shop.folder.path
        self._prints = fingerprints(shop.brief.task)
        rows = (*shop.brief.train, *shop.brief.dev)
        self._phrase = None if shop.brief.task.documents is None else own_phrase(rows)

    @cached_property
    def documents(self) -> Mapping[str, Document]:
        folder = self.shop.brief.task.documents
        return {} if folder is None else _documents(folder)

    @cached_property
    def edits(self) -> tuple[Sequence[Edit], Mapping[str, int]]:
        """The facts to change, and how many dev rows give none, by reason."""
        if self.plan.fresh is not None:
            return self.plan.fresh.edits, {}
        brief = self.shop.brief
        rows = (*brief.train, *brief.dev)
        return automatic_edits(brief.dev, rows, self.documents, brief.task.scorer, self.shop.config.seed)

    def probe(self, name: str) -> int:
        """Do what is not done yet, and remove what is about a path that is another one now. How many probes were
        done."""
        folder = self.shop.path_folder(name)
        config = PathConfig.load(folder)
        edits = self._edits_used(result_file(self.run, name, "freshness"))
        keys = {probe: self._key(probe, config, folder, edits) for probe in PROBES}
        for probe, key in keys.items():
            _remove_other(result_file(self.run, name, probe), key)
        missing = [
            probe
            for probe in PROBES
            if probe in self._applicable(name, config) and not result_file(self.run, name, probe).is_file()
        ]
        if not missing:
            return 0
        path = self._open(name, config, folder)
        for probe in missing:
            started = time.monotonic()
            found = PROBE_FUNCTIONS[probe](self, path)
            seconds = time.monotonic() - started
            file = result_file(self.run, name, probe)
            file.parent.mkdir(parents=True, exist_ok=True)
            replace_json(file, {"key": keys[probe], "edits": edits, "seconds": seconds, "found": found})
            say(f"{name}: {probe} probed in {format_seconds(seconds)}")
        return len(missing)

    def _applicable(self, name: str, config: PathConfig) -> list[str]:
        if is_remote(name) and (not self.plan.named or self.shop.service is None):  # nothing asks the service now
            return []
        task, possible = self.shop.brief.task, []
        if self.plan.named or task.scorer.judge is None or task.scorer.judge.api_base_url is None:
            possible.append("robustness")  # a remote judge costs money too
        if task.documents is not None and (self.plan.named or self.reads_documents) and self.edits[0]:
            possible.append("freshness")
        if config.adapter is not None:
            possible.append("forgetting")
        return [probe for probe in self.plan.wanted if probe in possible]

    def _edits_used(self, file: Path) -> str | None:
        """The hash of the user's own edits (None: they are automatic), of this run or, where it does not ask for the
        probe, of the result that is kept."""
        if "freshness" not in self.plan.wanted and file.is_file():
            edits: str | None = json.loads(file.read_text(encoding="utf-8")).get("edits")
            return edits
        return self.plan.fresh.sha256 if self.plan.fresh else None

    def _key(self, probe: str, config: PathConfig, folder: Path, edits: str | None) -> str:
        """A hash of all that the result depends on."""
        weights = None
        if config.api_base_url is None:
            weights = weights_hash(locate(folder / config.adapter if config.adapter else config.model))
        of_probe: dict[str, Any] = {
            "freshness": [self._prints.get("documents"), edits, MOST_EDITS],
            "forgetting": [self.shop.base_hash if config.adapter else None, material_hash()],
            "robustness": [self.plan.paraphrases, MOST_ROWS, self._phrase],
        }
        depends = [VERSION, config.model_dump(), weights, self._prints["rows"], self.shop.config.seed, of_probe[probe]]
        return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:16]

    def _open(self, name: str, config: PathConfig, folder: Path) -> ProbedPath:
        model = self._model(name, config, folder)
        opened = open_path(config, folder, model)
        return ProbedPath(name, folder, self.shop.brief, model, opened, self.seconds, self.shop.config.seed)

    def _model(self, name: str, config: PathConfig, folder: Path) -> Generator:
        """The model behind the path; an adapter on the base that is open already, if it can share it."""
        if config.adapter is None:
            return self.shop.model(name)
        location = locate(folder / config.adapter)
        try:
            return self.shop.base.with_adapter(location)
        except UsageError:
            return LocalModel.open(location)

    def freshness(self, path: ProbedPath) -> Finding:
        scratch = self.run / FOLDER / SCRATCH
        shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed
        scratch.mkdir(parents=True)
        try:
            edits, left_out = self.edits
            return probe_freshness(path, edits, left_out, self.documents, self._phrase, scratch)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def forgetting(self, path: ProbedPath) -> Finding:
        assert path.config.adapter is not None and isinstance(path.model, LocalModel)
        folder = self.run / FOLDER / GENERAL
        before = general_knowledge(self.shop.base, self.shop.base_hash, folder)
        hash_after = weights_hash(locate(path.folder / path.config.adapter))
        return forgetting(before, general_knowledge(path.model, hash_after, folder))

    def robustness(self, path: ProbedPath) -> Finding:
        return probe_robustness(path, self.plan.paraphrases, self._phrase)


PROBE_FUNCTIONS: Mapping[str, Callable[[_Probing, ProbedPath], Finding]] = {
    "freshness": _Probing.freshness,
    "forgetting": _Probing.forgetting,
    "robustness": _Probing.robustness,
}


def _remove_other(file: Path, key: str) -> None:
    """Remove a result that was found of something else: the path was made again, or the rows have changed."""
    if file.is_file() and json.loads(file.read_text(encoding="utf-8"))["key"] != key:
        file.unlink()
