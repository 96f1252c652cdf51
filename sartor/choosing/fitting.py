"""Fit one path after the other, each in its own folder, and measure them; what is done already is kept."""

import hashlib
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sartor.base.console import format_seconds, say
from sartor.base.durable import replace_json
from sartor.base.errors import UsageError
from sartor.base.run_folder import RunFolder
from sartor.choosing.aligning import fit_aligned
from sartor.choosing.brief import Brief, fingerprint
from sartor.choosing.budget import Share
from sartor.choosing.choose import PATHS, ChooseConfig
from sartor.choosing.labels import PAIRS
from sartor.choosing.measure import measure
from sartor.choosing.prompting import Prompt, Tried, fit_prompt, prompt_candidates
from sartor.choosing.retrieving import Library, build_library, enough_passages, fit_retrieval
from sartor.choosing.service import SERVICE_FILE, Service
from sartor.choosing.task_pairs import TaskPairs
from sartor.choosing.training import fit_finetune, fit_finetune_with_retrieval
from sartor.data.task import Task
from sartor.generation.local import LocalModel
from sartor.generation.protocol import Generator
from sartor.models.hub import ModelLocation, lasting_name, locate
from sartor.retrieval.path import FILE_NAME, Knowledge, PathConfig, open_path

ALIGNED = "finetune+dpo"  # the path that learns from the task's preferences
KNOWLEDGE_FILE = "knowledge.sqlite"
LIBRARY_FILE = "library.json"  # how long the documents took when they were indexed first
TASK_FILE = "task.json"  # what the task was when the run began
INTERRUPTED_FILE = "interrupted.json"  # of a path: how long it was fitted before it was interrupted
DESCRIPTIONS = {
    "prompt": "the base model with an instruction and worked examples",
    "api": "a remote model with an instruction and worked examples",
    "api+rag": "the remote model reads passages found in the documents",
    "rag": "the base model reads passages found in the documents",
    "finetune": "the base model fine-tuned on the train rows",
    "finetune+rag": "the base model fine-tuned on train rows with passages, and reading passages",
    "finetune+dpo": "the base model fine-tuned on the train rows, then trained on preferences between answers",
}


def applicable_paths(config: ChooseConfig, task: Task) -> list[str]:
    """The paths to measure. UsageError for one that the task or settings do not allow."""
    lacking: dict[str, tuple[str, str]] = {}
    if task.documents is None:
        no_documents = ("the task has no documents", f"put them into {task.folder / 'documents'}")
        lacking |= dict.fromkeys(("rag", "api+rag", "finetune+rag"), no_documents)
    if task.preferences is None:
        record = "put pairs of a better and a worse answer there: `sartor prefer` records them"
        lacking[ALIGNED] = (f"there is no {task.folder / 'preferences.jsonl'}", record)
    if config.api is None:
        no_model = ("no remote model is named", "give --api and --api-base-url")
        lacking |= dict.fromkeys(("api", "api+rag"), no_model)
    for name in config.paths:
        if name in lacking:
            what, hint = lacking[name]
            raise UsageError(f"path {name} cannot be measured: {what}", where="--paths", hint=hint)
    return [name for name in PATHS if name not in lacking and (not config.paths or name in config.paths)]


class Fitting:
    """The state that the paths share: the base model, the documents, the prompt that won."""

    def __init__(
        self,
        config: ChooseConfig,
        brief: Brief,
        folder: RunFolder,
        share_seconds: float,
        service: Service | None,
        pairs: TaskPairs | None,
    ):
        self.config, self.brief, self.folder, self.share_seconds = config, brief, folder, share_seconds
        self.service, self.pairs = service, pairs
        self._base: LocalModel | None = None
        self._library: Library | None = None
        self._remote: Generator | None = None
        self._require_same_task()

    def fit(self, name: str) -> None:
        """Fit the path into paths/NAME, unless it is there."""
        folder = self._path_folder(name)
        if (folder / FILE_NAME).is_file():
            say(f"{name}: fitted already")
            return
        say(f"--- {name}: {DESCRIPTIONS[name]}")
        library = self.library if "rag" in name else None
        folder.mkdir(parents=True, exist_ok=True)
        shared = self._library_seconds("seconds") if library else 0.0
        share = Share(self.share_seconds, shared + _seconds_before(folder))
        fit = {
            "prompt": self._fit_prompt,
            "api": self._fit_prompt,
            "rag": self._fit_retrieval,
            "api+rag": self._fit_retrieval,
            "finetune": self._fit_finetune,
            "finetune+rag": self._fit_finetune,
            ALIGNED: self._fit_aligned,
        }[name]
        try:
            path, tried = fit(name, folder, share)
        except BaseException:
            replace_json(folder / INTERRUPTED_FILE, {"seconds": share.spent - shared})
            raise
        seconds = share.spent
        replace_json(
            folder / "fitted.json",
            {
                "setup_seconds": seconds,
                "chosen_on_dev": [asdict(each) for each in tried],
                "freshness_seconds": self._freshness(name, seconds),
                **self._documents(library),
                **self._preferences(name),
                **self._service_findings(name),
            },
        )
        path.save(folder)
        say(f"{name}: fitted in {format_seconds(seconds)}")

    def measure(self, name: str) -> None:
        """Answer the test rows with the path, unless that was done."""
        folder = self._path_folder(name)
        answers = self.folder.path / "answers" / f"{name}.jsonl"
        if (folder / "measured.json").is_file() and answers.is_file():
            say(f"{name}: measured already")
            return
        answers.parent.mkdir(exist_ok=True)
        config = PathConfig.load(folder)
        opened = open_path(config, folder, None if config.adapter else self._model(name))
        usage = measure(
            opened.generator,
            self.brief,
            name,
            config.sampling,
            model_hash(config, folder),
            self.config.machine_price,
            answers,
        )
        replace_json(folder / "measured.json", asdict(usage))

    # --- what the paths share -------------------------------------------------------------------------------------

    @property
    def base(self) -> LocalModel:
        if self._base is None:
            self._base = LocalModel.open(locate(self.config.base))
        return self._base

    @property
    def library(self) -> Library:
        if self._library is None:
            started = time.monotonic()
            self._library = build_library(self.brief, self.folder.path / KNOWLEDGE_FILE)
            if not (self.folder.path / LIBRARY_FILE).is_file():
                took = {"seconds": time.monotonic() - started, "index_seconds": self._library.index_seconds}
                self.folder.write_json(LIBRARY_FILE, took)
        return self._library

    def _library_seconds(self, part: str) -> float:
        return float(self.folder.read_json(LIBRARY_FILE)[part])

    @property
    def remote(self) -> Generator:
        if self._remote is None:
            assert self.service is not None
            self._remote = self.service.open(self.folder)
        return self._remote

    def _model(self, name: str) -> Generator:
        """What the path asks, before anything is trained."""
        return self.remote if name.startswith("api") else self.base

    def _prompt_of(self, name: str) -> Prompt:
        """What the path that only prompts chose; the plain instruction where that path is not measured."""
        path = self._path_folder(name)
        if not (path / FILE_NAME).is_file():
            return Prompt(self.brief.task.instruction, (), "instruction, 0 examples")
        chosen = PathConfig.load(path)
        return Prompt(chosen.instruction, tuple(chosen.examples), "as prompting chose")

    @property
    def passages(self) -> int:
        """How many passages retrieval chose on dev rows, so that the two paths that retrieve differ in training only;
        without that path, the fewest that find nearly as much as the most do."""
        path = self._path_folder("rag")
        chosen = PathConfig.load(path).knowledge if (path / FILE_NAME).is_file() else None
        return chosen.passages if chosen else enough_passages(self.library)

    def _require_same_task(self) -> None:
        """UsageError when a run is gone on with whose task has changed: its paths would be about different tasks."""
        now = {"sha256": fingerprint(self.brief.task)}
        if not (self.folder.path / TASK_FILE).is_file():
            self.folder.write_json(TASK_FILE, now)
        elif self.folder.read_json(TASK_FILE) != now:
            raise UsageError(
                "the task has changed since this run began",
                where=str(self.brief.task.folder),
                hint=f"choose another --out; for another scorer alone, `sartor choose --rescore {self.folder.path}`",
            )

    def _path_folder(self, name: str) -> Path:
        return self.folder.path / "paths" / name

    def _documents(self, library: Library | None) -> dict[str, int]:
        return {} if library is None else {"documents": library.documents, "chunks": library.chunks}

    def _preferences(self, name: str) -> dict[str, int | str]:
        if name != ALIGNED or self.pairs is None:
            return {}
        return {"pairs": len(self.pairs.pairs), "pair_leaks": self.pairs.leaks.text(among=PAIRS)}

    def _service_findings(self, name: str) -> dict[str, Any]:
        if self.service is None or not name.startswith("api"):
            return {}
        return {"service": self.folder.read_json(SERVICE_FILE)}

    def _freshness(self, name: str, setup_seconds: float) -> float | None:
        """How long a changed document takes to reach the answers: one document indexed, or training again."""
        if name in ("prompt", "api"):
            return None
        if "rag" in name:
            return self._library_seconds("index_seconds") / max(self.library.documents, 1)
        return setup_seconds

    # --- the paths ------------------------------------------------------------------------------------------------

    def _path(self, name: str, **settings: Any) -> PathConfig:
        values = {"model": lasting_name(self.config.base), "instruction": self.brief.task.instruction}
        if self.service is not None and name.startswith("api"):
            values |= self.service.names
        values |= settings
        return PathConfig(name=name, description=DESCRIPTIONS[name], max_new_tokens=self.brief.max_new_tokens, **values)

    def _fit_prompt(self, name: str, folder: Path, share: Share) -> tuple[PathConfig, list[Tried]]:
        candidates = prompt_candidates(self.brief, self.config.seed)
        prompt, tried = fit_prompt(self.brief, self._model(name), share, candidates, name)
        return self._path(name, instruction=prompt.instruction, examples=list(prompt.examples)), tried

    def _fit_retrieval(self, name: str, folder: Path, share: Share) -> tuple[PathConfig, list[Tried]]:
        plain = Prompt(self.brief.task.instruction, (), "instruction, 0 examples")
        best = self._prompt_of("api" if name == "api+rag" else "prompt")
        chosen, tried = fit_retrieval(self.brief, self._model(name), self.library, plain, best, share, name)
        return self._path(
            name,
            instruction=chosen.prompt.instruction,
            examples=list(chosen.prompt.examples),
            knowledge=self._knowledge(chosen.passages),
        ), [*self.library.tried, *tried]

    def _fit_finetune(self, name: str, folder: Path, share: Share) -> tuple[PathConfig, list[Tried]]:
        if name == "finetune":
            result, tried = fit_finetune(self.brief, folder, self.config.base, share, self.config.seed)
            knowledge = None
        else:
            number = self.passages
            result, rates = fit_finetune_with_retrieval(
                self.brief, folder, self.config.base, self.library, number, share, self.config.seed
            )
            knowledge, tried = self._knowledge(number), [*self.library.tried, *rates]
        adapter = result.trained.relative_to(folder).as_posix()
        return self._path(name, adapter=adapter, knowledge=knowledge), tried

    def _fit_aligned(self, name: str, folder: Path, share: Share) -> tuple[PathConfig, list[Tried]]:
        assert self.pairs is not None
        result, tried = fit_aligned(self.brief, folder, self.config.base, self.pairs, share, self.config.seed)
        return self._path(name, adapter=result.trained.relative_to(folder).as_posix()), tried

    def _knowledge(self, passages: int) -> Knowledge:
        return Knowledge(
            file=f"../../{KNOWLEDGE_FILE}", passages=passages, dense_weight=self.library.retriever.dense_weight
        )


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
