"""Fit one path after the other, each in its own folder, and measure them; what is done already is kept."""

import hashlib
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sartor.base.console import format_seconds, say
from sartor.base.durable import replace_json
from sartor.base.errors import UsageError
from sartor.base.run_folder import RunFolder
from sartor.choosing.brief import Brief
from sartor.choosing.budget import Share
from sartor.choosing.choose import PATHS, ChooseConfig
from sartor.choosing.measure import measure, usage_facts
from sartor.choosing.prompting import Prompt, Tried, fit_prompt, prompt_candidates
from sartor.choosing.retrieving import Library, build_library, enough_passages, fit_retrieval
from sartor.choosing.training import fit_finetune, fit_finetune_with_retrieval
from sartor.generation.local import LocalModel
from sartor.generation.remote import Remote
from sartor.models.hub import ModelLocation, locate
from sartor.retrieval.path import FILE_NAME, Knowledge, PathConfig, open_path

KNOWLEDGE_FILE = "knowledge.sqlite"
DESCRIPTIONS = {
    "prompt": "the base model with an instruction and worked examples",
    "api": "a remote model with an instruction and worked examples",
    "rag": "the base model reads passages found in the documents",
    "finetune": "the base model fine-tuned on the train rows",
    "finetune+rag": "the base model fine-tuned on train rows with passages, and reading passages",
}


def applicable_paths(config: ChooseConfig, brief: Brief) -> list[str]:
    """The paths to measure. UsageError for one that is unknown or that the task or settings do not allow."""
    reasons: dict[str, str] = {}
    if brief.task.documents is None:
        reasons |= dict.fromkeys(("rag", "finetune+rag"), "the task has no documents/")
    if config.api is None or config.api_base_url is None:
        reasons["api"] = "it needs --api and --api-base-url"
    if (config.api is None) != (config.api_base_url is None):
        raise UsageError("--api and --api-base-url belong together", hint="give both, or neither")
    for name in config.paths:
        if name not in PATHS:
            raise UsageError(f"there is no path {name}", where="--paths", hint=f"paths are {', '.join(PATHS)}")
        if name in reasons:
            raise UsageError(f"path {name} cannot be measured: {reasons[name]}", where="--paths")
    return [name for name in PATHS if name not in reasons and (not config.paths or name in config.paths)]


class Fitting:
    """The state that the paths share: the base model, the documents, the prompt that won."""

    def __init__(self, config: ChooseConfig, brief: Brief, folder: RunFolder, share_seconds: float):
        self.config, self.brief, self.folder, self.share_seconds = config, brief, folder, share_seconds
        self._base: LocalModel | None = None
        self._library: Library | None = None
        self._library_seconds = 0.0
        self._prompt: Prompt | None = None

    def fit(self, name: str) -> None:
        """Fit the path into paths/NAME, unless it is there."""
        folder = self._path_folder(name)
        if (folder / FILE_NAME).is_file():
            say(f"{name}: fitted already")
            return
        say(f"--- {name}: {DESCRIPTIONS[name]}")
        library = self.library if "rag" in name else None
        folder.mkdir(parents=True, exist_ok=True)
        share = Share(self.share_seconds)
        fit = {
            "prompt": self._fit_prompt,
            "api": self._fit_api,
            "rag": self._fit_retrieval,
            "finetune": self._fit_finetune,
            "finetune+rag": self._fit_finetune,
        }[name]
        path, tried = fit(name, folder, share)
        seconds = share.spent + (self._library_seconds if library else 0.0)
        replace_json(
            folder / "fitted.json",
            {
                "setup_seconds": seconds,
                "chosen_on_dev": [asdict(each) for each in tried],
                "freshness_seconds": self._freshness(name, seconds),
                **self._documents(library),
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
        local = None if config.adapter or config.api_base_url else self.base
        opened = open_path(config, folder, local)
        usage = measure(
            opened.generator,
            self.brief,
            name,
            config.sampling,
            model_hash(config, folder),
            self.config.machine_price,
            answers,
        )
        replace_json(folder / "measured.json", usage_facts(usage))

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
            self._library_seconds = time.monotonic() - started
        return self._library

    @property
    def prompt(self) -> Prompt:
        """What the prompt path chose; the plain instruction where that path is not measured."""
        if self._prompt is None:
            path = self._path_folder("prompt")
            if (path / FILE_NAME).is_file():
                chosen = PathConfig.load(path)
                self._prompt = Prompt(chosen.instruction, tuple(chosen.examples), "as prompting chose")
            else:
                self._prompt = Prompt(self.brief.task.instruction, (), "instruction, 0 examples")
        return self._prompt

    def _path_folder(self, name: str) -> Path:
        return self.folder.path / "paths" / name

    def _documents(self, library: Library | None) -> dict[str, int]:
        return {} if library is None else {"documents": library.documents, "chunks": library.chunks}

    def _freshness(self, name: str, setup_seconds: float) -> float | None:
        """How long a changed document takes to reach the answers: one document indexed, or training again."""
        if name in ("prompt", "api"):
            return None
        if "rag" in name:
            return self._library_seconds / max(self.library.documents, 1)
        return setup_seconds

    # --- the paths ------------------------------------------------------------------------------------------------

    def _path(self, name: str, **settings: Any) -> PathConfig:
        values = {"model": self.config.base, "instruction": self.brief.task.instruction} | settings
        return PathConfig(name=name, description=DESCRIPTIONS[name], max_new_tokens=self.brief.max_new_tokens, **values)

    def _fit_prompt(self, name: str, folder: Path, share: Share) -> tuple[PathConfig, list[Tried]]:
        candidates = prompt_candidates(self.brief, self.config.seed)
        prompt, tried = fit_prompt(self.brief, self.base, share, candidates, name)
        return self._path(name, instruction=prompt.instruction, examples=list(prompt.examples)), tried

    def _fit_api(self, name: str, folder: Path, share: Share) -> tuple[PathConfig, list[Tried]]:
        assert self.config.api and self.config.api_base_url
        remote = Remote(self.config.api, self.config.api_base_url, api_key_env=self.config.api_key_env)
        candidates = prompt_candidates(self.brief, self.config.seed)
        prompt, tried = fit_prompt(self.brief, remote, share, candidates, name)
        return self._path(
            name,
            model=self.config.api,
            api_base_url=self.config.api_base_url,
            api_key_env=self.config.api_key_env,
            instruction=prompt.instruction,
            examples=list(prompt.examples),
        ), tried

    def _fit_retrieval(self, name: str, folder: Path, share: Share) -> tuple[PathConfig, list[Tried]]:
        plain = Prompt(self.brief.task.instruction, (), "instruction, 0 examples")
        chosen, tried = fit_retrieval(self.brief, self.base, self.library, plain, self.prompt, share)
        return self._path(
            name,
            instruction=chosen.prompt.instruction,
            examples=list(chosen.prompt.examples),
            knowledge=self._knowledge(chosen.passages),
        ), [*self.library.tried, *tried]

    def _fit_finetune(self, name: str, folder: Path, share: Share) -> tuple[PathConfig, list[Tried]]:
        if name == "finetune":
            result = fit_finetune(self.brief, folder, self.config.base, share, self.config.seed)
            knowledge, tried = None, []
        else:
            result = fit_finetune_with_retrieval(
                self.brief, folder, self.config.base, self.library, share, self.config.seed
            )
            knowledge, tried = self._knowledge(enough_passages(self.library)), self.library.tried
        adapter = result.adapter.relative_to(folder).as_posix()
        return self._path(name, adapter=adapter, knowledge=knowledge), tried

    def _knowledge(self, passages: int) -> Knowledge:
        return Knowledge(
            file=f"../../{KNOWLEDGE_FILE}", passages=passages, dense_weight=self.library.retriever.dense_weight
        )


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
