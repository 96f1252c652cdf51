"""All documents in the prompt: how they are written there, the same when a path is measured and when it is served."""

from collections.abc import Iterable
from pathlib import Path

from sartor.base.errors import DataError
from sartor.data.extract import Document
from sartor.retrieval.inert import inert


def documents_text(documents: Iterable[Document]) -> str:
    """The documents in the order of their ids, numbered from 1, each under its id and title; made inert, as passages
    are."""
    ordered = sorted(documents, key=lambda document: document.id)
    return "\n\n".join(_written(number, document) for number, document in enumerate(ordered, start=1))


def _written(number: int, document: Document) -> str:
    name, title = (" ".join(inert(text).split()) for text in (document.id, document.title))
    heading = f"{name}: {title}" if title and title != name else name
    return f"[{number}] {heading}\n{inert(document.text).strip()}"


def with_documents(documents: str, instruction: str) -> str:
    """The system prompt: documents first, since they are the same for every question and are read once; the
    instruction behind them, next to the question."""
    return f"Documents:\n\n{documents}\n\n{instruction}".strip()


def read_text(file: Path) -> str:
    """DataError when the file of a path's documents is gone or damaged."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise DataError(
            f"the documents of this path cannot be read: {error}",
            where=str(file),
            hint="make the path again with `sartor choose`",
        ) from None
