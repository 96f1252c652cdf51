"""The documents and questions that retrieval is measured on (SARTOR_DATA).

`encyclopedia`: the questions and paragraphs of ../shared's task; train questions tune, test questions measure.

`fastapi_docs`: every section of FastAPI's documentation with at least 40 words is a document *without* its heading,
and the headings of page and section together are the question that it answers. So no word of a question is in the
index because the question was made of it. A page's sections are all dev or all test, by the hash of its path.
"""

import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.finetune_vs_trl import data_folder
from sartor.data.extract import Document, make_document, read_documents
from sartor.retrieval.chunking import sections_of

FEWEST_WORDS = 40


@dataclass(frozen=True)
class Question:
    """`group` names the text that it is about: questions of one group are not independent."""

    text: str
    evidence: frozenset[str]
    group: str


@dataclass(frozen=True)
class RetrievalSet:
    documents: list[Document]
    dev: list[Question]
    test: list[Question]


def rows_of(name: str) -> Iterator[dict[str, Any]]:
    """The rows of a collection of documents, `peps` or `fastapi_docs`."""
    (path,) = (data_folder() / "raw" / name).glob("*.jsonl.gz")
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        yield from map(json.loads, stream)


def collected_texts(name: str) -> dict[str, str]:
    """Text by id."""
    return {str(row.get("id", row.get("path", number))): row["text"] for number, row in enumerate(rows_of(name))}


def retrieval_set(name: str) -> RetrievalSet:
    """`encyclopedia` or `fastapi_docs`."""
    return {"encyclopedia": _encyclopedia, "fastapi_docs": _fastapi}[name]()


def _encyclopedia() -> RetrievalSet:
    folder = data_folder() / "tasks" / "encyclopedia"

    def questions(name: str) -> list[Question]:
        rows = [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]
        return [
            Question(row["question"], frozenset(row["evidence"]), row["group"]) for row in rows if row.get("evidence")
        ]

    return RetrievalSet(list(read_documents(folder / "documents")), questions("train.jsonl"), questions("test.jsonl"))


def _fastapi() -> RetrievalSet:
    documents: list[Document] = []
    dev: list[Question] = []
    test: list[Question] = []
    for path, text in collected_texts("fastapi_docs").items():
        held_out = hashlib.sha256(path.encode()).digest()[0] % 2
        for number, section in enumerate(sections_of(text)):
            body = text[section.body : section.end].strip()
            if len(body.split()) < FEWEST_WORDS:
                continue
            document = make_document(f"{path}#{number}", "", body)
            documents.append(document)
            if len(section.path) > 1:  # a page's own beginning has only the page's heading: too little of a question
                question = Question(f"{section.path[0]}: {section.path[-1]}", frozenset([document.id]), path)
                (test if held_out else dev).append(question)
    return RetrievalSet(documents, dev, test)
