"""What the paths of one choice share: the base model, the remote one, the documents, the prompt that won.

Each is opened when a path first asks for it.
"""

import math
import time
from functools import cached_property
from pathlib import Path
from typing import Any

from sartor.base.run_folder import RunFolder
from sartor.choosing.brief import Brief
from sartor.choosing.choose import ChooseConfig
from sartor.choosing.inputs import weights_hash
from sartor.choosing.labels import DESCRIPTIONS
from sartor.choosing.prompted.dev_examples import EXAMPLES_FILE, DevExamples
from sartor.choosing.prompted.prompting import Prompt
from sartor.choosing.retrieved.library import Library, Search
from sartor.choosing.retrieved.search_choice import build_library
from sartor.choosing.service import SERVICE_FILE, Service
from sartor.choosing.trained.task_pairs import TaskPairs
from sartor.generation.local import LocalModel
from sartor.generation.protocol import Generator
from sartor.models.hub import lasting_name, locate
from sartor.retrieval.path import FILE_NAME, Knowledge, PathConfig, Similar
from sartor.retrieval.search import StoreRetriever
from sartor.retrieval.similar_examples import DENSE_WEIGHT

LIBRARY_FILE = "library.json"  # how long the documents took to be indexed
INDEXING_PART = 0.25  # of a path's time, within which passages of another size are indexed too (assumed)


class Workshop:
    """The state that fitting and measuring share. `service` is the remote model (None: none is named), `pairs` the
    task's preferences (None: no path learns from them)."""

    def __init__(
        self,
        config: ChooseConfig,
        brief: Brief,
        folder: RunFolder,
        service: Service | None,
        pairs: TaskPairs | None,
    ):
        self.config, self.brief, self.folder, self.service, self.pairs = config, brief, folder, service, pairs
        self.share_seconds = math.inf  # of each path, as the budget says
        self._base: LocalModel | None = None
        self._library: Library | None = None
        self._remote: Generator | None = None

    @property
    def base(self) -> LocalModel:
        if self._base is None:
            self._base = LocalModel.open(locate(self.config.base))
        return self._base

    @cached_property
    def base_hash(self) -> str:
        """Of the base model's weights."""
        return weights_hash(locate(self.config.base))

    @property
    def remote(self) -> Generator:
        if self._remote is None:
            assert self.service is not None
            self._remote = self.service.open(self.folder)
        return self._remote

    def model(self, name: str) -> Generator:
        """What the path asks, before anything is trained."""
        return self.remote if is_remote(name) else self.base

    @property
    def library(self) -> Library:
        if self._library is None:
            started = time.monotonic()
            self._library = build_library(
                self.brief, self.folder.path, INDEXING_PART * self.share_seconds, self.config.rerank
            )
            self._keep_times(time.monotonic() - started, self._library)
        return self._library

    def _keep_times(self, seconds: float, library: Library) -> None:
        """Of the longest indexing: one that found most of them indexed does not tell what they take."""
        file = self.folder.path / LIBRARY_FILE
        if not file.is_file() or self.folder.read_json(LIBRARY_FILE)["index_seconds"] < library.index_seconds:
            took = {"seconds": seconds, "index_seconds": library.index_seconds, "documents": library.documents}
            self.folder.write_json(LIBRARY_FILE, took)

    @property
    def library_seconds(self) -> float:
        """What it took to index the documents and to choose how they are searched."""
        return float(self.folder.read_json(LIBRARY_FILE)["seconds"])

    @property
    def document_seconds(self) -> float:
        """What it takes to index one document."""
        took = self.folder.read_json(LIBRARY_FILE)
        return float(took["index_seconds"]) / max(took["documents"], 1)

    @property
    def knowledge(self) -> Knowledge:
        """The documents as retrieval chose to read them on dev rows, so that the two paths that retrieve differ in
        training only; without that path, the fewest passages that find nearly as much as the most do."""
        path = self.path_folder("rag")
        chosen = PathConfig.load(path).knowledge if (path / FILE_NAME).is_file() else None
        return chosen or self.library.search.knowledge(self.library.enough_passages)

    @property
    def retriever(self) -> StoreRetriever:
        """What finds passages as `knowledge` says."""
        return self.library.retriever_of(Search.of(self.knowledge))

    def prompt_of(self, name: str) -> Prompt:
        """What the path that only prompts chose; the plain instruction where that path is not measured."""
        path = self.path_folder(name)
        if not (path / FILE_NAME).is_file():
            return Prompt(self.brief.task.instruction, (), "instruction, 0 examples")
        chosen = PathConfig.load(path)
        similar = self.similar(chosen.similar.number) if chosen.similar else None
        return Prompt(chosen.instruction, tuple(chosen.examples), "as prompting chose", similar)

    def prompt_settings(self, prompt: Prompt) -> dict[str, Any]:
        """The prompt as a path's configuration names it."""
        similar = prompt.similar and Similar(
            file=f"../../{EXAMPLES_FILE}", number=prompt.num_similar, dense_weight=DENSE_WEIGHT
        )
        return {"instruction": prompt.instruction, "examples": list(prompt.examples), "similar": similar}

    @cached_property
    def similar(self) -> DevExamples:
        return DevExamples(self.brief, self.folder.path / EXAMPLES_FILE, self.config.seed)

    def path_folder(self, name: str) -> Path:
        return self.folder.path / "paths" / name

    def path_config(self, name: str, **settings: Any) -> PathConfig:
        """The path's configuration: what all share, and the `settings` that make it this one."""
        values: dict[str, Any] = {
            "model": lasting_name(self.config.base),
            "instruction": self.brief.task.instruction,
            "max_new_tokens": self.brief.max_new_tokens,
        }
        if self.service is not None and is_remote(name):
            values |= self.service.names
        return PathConfig(name=name, description=DESCRIPTIONS[name], **(values | settings))

    def findings_of_service(self, name: str) -> dict[str, Any]:
        """What the checks of the remote model found, as a fact of a path that asks it."""
        if self.service is None or not is_remote(name):
            return {}
        return {"service": self.folder.read_json(SERVICE_FILE)["findings"]}


def is_remote(name: str) -> bool:
    """Whether the path of this name asks the remote model."""
    return name.split("+")[0] == "api"
