"""A path as files: which model, which prompt, which documents. Opened, it is a `Generator`.

`choose` writes one `path.json` a path; `chat`, `serve` and `evaluate` open them.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from sartor.base.configuration import Config
from sartor.base.durable import replace_file
from sartor.base.errors import DataError, UsageError
from sartor.data.records import Conversation
from sartor.generation.local import LocalModel
from sartor.generation.prompted import Prompted, prompted
from sartor.generation.protocol import Generator, Passage, Sampling
from sartor.generation.remote import Remote
from sartor.models.hub import locate
from sartor.retrieval.embedder import Embedder
from sartor.retrieval.grounded import Grounded, ground
from sartor.retrieval.opening import open_store, place
from sartor.retrieval.rewriting import SearchQuestion, with_key_terms
from sartor.retrieval.search import StoreRetriever

FILE_NAME = "path.json"


class Knowledge(Config):
    """Which documents a path reads, and how: `file` is relative to the path's folder, or the address of a PostgreSQL
    database. Without a weight they are ranked as the store itself says."""

    file: str
    passages: int
    dense_weight: float | None = None


class PathConfig(Config):
    """All it takes to answer as the path did when it was measured. `adapter` is relative to the path's folder;
    `api_base_url` makes `model` the name of a remote one."""

    name: str
    description: str
    model: str
    adapter: str | None = None
    api_base_url: str | None = None
    api_key_env: str | None = None
    instruction: str = ""
    examples: list[tuple[str, str]] = []
    knowledge: Knowledge | None = None
    max_new_tokens: int = 256

    @property
    def sampling(self) -> Sampling:
        return Sampling(max_new_tokens=self.max_new_tokens)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(folder / FILE_NAME, self.model_dump_json(indent=2) + "\n")

    @staticmethod
    def load(folder: Path) -> "PathConfig":
        try:
            return PathConfig.model_validate_json((folder / FILE_NAME).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            raise DataError(
                f"cannot be read as a path: {reason}",
                where=str(folder / FILE_NAME),
                hint="make it again with `sartor choose`",
            ) from None


@dataclass
class OpenPath:
    """A path ready to answer. `local` is its model on this machine, if it has one there."""

    config: PathConfig
    generator: Generator
    local: LocalModel | None
    retriever: StoreRetriever | None

    def prepare(
        self, conversation: Conversation, search_question: SearchQuestion = with_key_terms
    ) -> tuple[Conversation, list[Passage] | None]:
        """What the model is sent for a conversation, and the passages in it (None: the path does not retrieve).

        `search_question` makes of a conversation with a history what is searched for.
        """
        passages = None
        if self.retriever is not None and self.config.knowledge is not None:
            number = self.config.knowledge.passages
            conversation, passages = ground(conversation, self.retriever, number, search_question=search_question)
        return prompted(conversation, self.config.instruction or None, self.config.examples), passages


def open_path(config: PathConfig, folder: Path, model: Generator | None = None) -> OpenPath:
    """Make the path's generator. `model` is one that is open already: it is used instead of opening it again."""
    inner = model or _open_model_of(config, folder)
    local = inner if isinstance(inner, LocalModel) else None
    generator: Generator = Prompted(inner, config.instruction or None, config.examples)
    retriever = None
    if config.knowledge is not None:
        retriever = open_retriever(place(config.knowledge.file, folder), config.knowledge.dense_weight)
        generator = Grounded(generator, retriever, config.knowledge.passages)
    return OpenPath(config, generator, local, retriever)


def _open_model_of(config: PathConfig, folder: Path) -> Generator:
    if config.api_base_url is not None:
        return Remote(config.model, config.api_base_url, api_key_env=config.api_key_env)
    return LocalModel.open(locate(folder / config.adapter if config.adapter else config.model))


def open_retriever(knowledge: str | Path, dense_weight: float | None = None) -> StoreRetriever:
    """Hybrid search over a knowledge file or PostgreSQL database with the embedder it was made with; without a weight
    it ranks as the store says."""
    store = open_store(knowledge)
    return StoreRetriever(store, Embedder.of_store(store), dense_weight)


def open_model(name: str, path_name: str | None = None) -> OpenPath:
    """Whatever a person may call a model: a choice's run folder, a path's folder, or a name `locate` knows."""
    return open_path(*find_path(name, path_name))


def find_path(name: str, path_name: str | None = None) -> tuple[PathConfig, Path]:
    """The path that `open_model` opens, and the folder it lives in."""
    folder = Path(name).expanduser()
    if (folder / FILE_NAME).is_file():
        return PathConfig.load(folder), folder
    if (folder / "paths").is_dir():
        return chosen_path(folder, path_name)
    if path_name is not None:
        raise UsageError(f"{name} has no paths", where="--path", hint="paths are of `sartor choose` runs")
    return PathConfig(name=name, description="", model=name), Path()


def chosen_path(run: Path, name: str | None = None) -> tuple[PathConfig, Path]:
    """The path of a choice's run folder called `name` (default: the chosen one) and the folder it lives in."""
    paths = run / "paths"
    names = sorted(item.name for item in paths.iterdir() if (item / FILE_NAME).is_file()) if paths.is_dir() else []
    if name is None:
        name = _choice(run)
    if name not in names:
        raise DataError(
            f"this run has no path called {name}",
            where=str(run),
            hint=f"it has {', '.join(names)}" if names else "it is not a finished `sartor choose`",
        )
    return PathConfig.load(paths / name), paths / name


def _choice(run: Path) -> str:
    try:
        choice = json.loads((run / "choice.json").read_text(encoding="utf-8"))["choice"]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"no choice can be read: {error}", where=str(run / "choice.json"), hint="finish `sartor choose` first"
        ) from None
    if choice is None:
        raise DataError("this choice names no path", where=str(run / "choice.json"), hint="name one with --path")
    return str(choice)
