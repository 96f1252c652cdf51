"""A path as files: which model, which prompt, which documents. Opened, it is a `Generator`.

`choose` writes one `path.json` a path; `chat`, `serve` and `evaluate` open them.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from sartor.base.configuration import Config
from sartor.base.durable import replace_file
from sartor.base.errors import DataError, UsageError
from sartor.data.records import Conversation
from sartor.generation.local import LocalModel
from sartor.generation.prompted import Front, Prompted
from sartor.generation.protocol import Generator, Passage, Sampling
from sartor.generation.remote import Remote
from sartor.models.hub import locate
from sartor.retrieval.embedder import Embedder
from sartor.retrieval.grounded import Grounded, ground
from sartor.retrieval.opening import open_store, place
from sartor.retrieval.rewriting import SearchQuestion, with_key_terms
from sartor.retrieval.search import StoreRetriever
from sartor.retrieval.similar_examples import SimilarExamples
from sartor.retrieval.whole_documents import read_text, with_documents

FILE_NAME = "path.json"
OpenRetriever = Callable[[str | Path, float | None], StoreRetriever]
"""A knowledge file (or address) and the weight of meaning in its search, to what finds passages in it."""


class Knowledge(Config):
    """Which documents a path reads, and how: `file` is relative to the path's folder, or the address of a PostgreSQL
    database. Without a weight they are ranked as the store itself says; with one, `rerank` names the cross-encoder
    that reads the best again, if any. With `best_last` the best passage stands next to the question."""

    file: str
    passages: int
    dense_weight: float | None = None
    rerank: str | None = None
    best_last: bool = False


class Similar(Config):
    """Worked examples that are chosen for each question: the `number` rows of `file` (relative to the path's folder)
    that are most like it, searched with this weight on meaning."""

    file: str
    number: int
    dense_weight: float


class PathConfig(Config):
    """All it takes to answer as the path did when it was measured. `adapter` is relative to the path's folder;
    `api_base_url` makes `model` the name of a remote one. `examples` are the same for every question, `similar` are
    chosen for each. `documents` is a text file, relative to the folder, that stands in front of the instruction.
    A `reference` was measured to explain another path, and cannot be put to use."""

    name: str
    description: str
    model: str
    adapter: str | None = None
    api_base_url: str | None = None
    api_key_env: str | None = None
    instruction: str = ""
    examples: list[tuple[str, str]] = []
    similar: Similar | None = None
    documents: str | None = None
    knowledge: Knowledge | None = None
    max_new_tokens: int = 256
    reference: bool = False

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
    front: Front

    def prepare(
        self, conversation: Conversation, search_question: SearchQuestion = with_key_terms
    ) -> tuple[Conversation, list[Passage] | None]:
        """What the model is sent for a conversation, and the passages in it (None: the path does not retrieve).

        `search_question` makes of a conversation with a history what is searched for.
        """
        return prepared(conversation, self.front, self.retriever, self.config.knowledge, search_question)


def prepared(
    conversation: Conversation,
    front: Front,
    retriever: StoreRetriever | None,
    knowledge: Knowledge | None,
    search_question: SearchQuestion = with_key_terms,
) -> tuple[Conversation, list[Passage] | None]:
    """What a path sends for one conversation: the same as its generator does, for those who run the model themselves.
    Passages are None where there is no retriever."""
    if retriever is None or knowledge is None:
        return front.before(conversation), None
    grounded, found = ground(
        conversation, retriever, knowledge.passages, search_question=search_question, best_last=knowledge.best_last
    )
    return front.before(grounded, asked=conversation), found


def open_path(config: PathConfig, folder: Path, model: Generator | None = None) -> OpenPath:
    """Make the path's generator. `model` is one that is open already: it is used instead of opening it again."""
    inner = model or _open_model_of(config, folder)
    local = inner if isinstance(inner, LocalModel) else None
    front = open_front(config, folder)
    generator: Generator = Prompted(inner, front.instruction, front.examples, front.similar)
    retriever = None
    knowledge = config.knowledge
    if knowledge is not None:
        retriever = open_retriever(place(knowledge.file, folder), knowledge.dense_weight, knowledge.rerank)
        generator = Grounded(generator, retriever, knowledge.passages, best_last=knowledge.best_last)
    return OpenPath(config, generator, local, retriever, front)


def open_front(config: PathConfig, folder: Path, opened: OpenRetriever | None = None) -> Front:
    """What the path puts in front of a conversation; `opened` opens the file of examples to be searched."""
    similar = None
    if config.similar is not None:
        retriever = (opened or open_retriever)(place(config.similar.file, folder), config.similar.dense_weight)
        similar = SimilarExamples(retriever, config.similar.number)
    instruction = config.instruction
    if config.documents is not None:
        instruction = with_documents(read_text(folder / config.documents), instruction)
    return Front(instruction, tuple(config.examples), similar)


def _open_model_of(config: PathConfig, folder: Path) -> Generator:
    if config.api_base_url is not None:
        return Remote(config.model, config.api_base_url, api_key_env=config.api_key_env)
    return LocalModel.open(locate(folder / config.adapter if config.adapter else config.model))


def open_retriever(
    knowledge: str | Path, dense_weight: float | None = None, rerank: str | None = None
) -> StoreRetriever:
    """Hybrid search over a knowledge file or PostgreSQL database with the embedder it was made with; without a weight
    it ranks as the store says."""
    store = open_store(knowledge)
    return StoreRetriever(store, Embedder.of_store(store), dense_weight, rerank)


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
    config = PathConfig.load(paths / name)
    if config.reference:
        raise UsageError(f"{name} is a reference, not a path", where=str(run), hint="it was measured to explain others")
    return config, paths / name


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
