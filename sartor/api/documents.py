"""`sartor index`, `search` and `ask` as functions."""

import os
from pathlib import Path
from typing import Literal

from sartor.api.configured import Place
from sartor.generation.protocol import Passage, Sampling
from sartor.recipes import asking
from sartor.recipes import index as indexing
from sartor.retrieval.grounded import Answer
from sartor.retrieval.protocol import Where


class Documents:
    """A knowledge file, or the address of a PostgreSQL database. Made by `sartor.index`, or from one that is there."""

    def __init__(self, place: Place):
        self.place = os.fspath(place)

    def search(self, query: str, k: int = 5, *, where: Where | None = None) -> list[Passage]:
        """The `k` best passages among the documents whose fields are as `where` says, such as `{"type": "pdf"}`."""
        return indexing.search(self.place, [query], k, where=where)[0]

    def ask(
        self,
        question: str,
        base: Place = "starter",
        *,
        k: int = 3,
        where: Where | None = None,
        abstain: Literal["never", "usual", "strict"] = "usual",
        max_new_tokens: int = 200,
    ) -> Answer:
        """An answer from the documents, with the passages that it cites; `.reply.text` is what was said.

        `abstain` says how readily it answers that the documents do not say.
        """
        sampling = Sampling(max_new_tokens=max_new_tokens)
        return asking.answer(self.place, question, os.fspath(base), k, sampling, where, abstain)

    def update(self, documents: Place) -> "indexing.Indexed":
        """Bring it up to date with a folder or file; only what changed is read into it."""
        return indexing.index(Path(documents), self.place)

    def delete(self, *document_ids: str) -> None:
        """Remove documents and every word of them. UsageError, and nothing is removed, for an id that is not there."""
        indexing.delete(self.place, document_ids)

    def __repr__(self) -> str:
        return f"<sartor.Documents {self.place}>"


def index(
    documents: Place,
    *,
    out: Place,
    on_bad_file: Literal["stop", "skip"] = "stop",
    embedder: str | None = None,
) -> Documents:
    """Put a folder of documents into a knowledge file, or bring it up to date.

    Raises:
        DataError: for a file that cannot be read; nothing is changed then. With `on_bad_file="skip"` it is named and
            left out.
    """
    indexing.index(Path(documents), os.fspath(out), on_bad_file, embedder)
    return Documents(out)
