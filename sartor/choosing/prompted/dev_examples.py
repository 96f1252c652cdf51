"""Train rows that resemble a dev question, for prompts that show them as examples."""

import random
from functools import cached_property
from pathlib import Path

from sartor.base.console import say, warn
from sartor.base.errors import SartorError
from sartor.choosing.brief import Brief
from sartor.data.records import Row
from sartor.retrieval.embedder import Embedder
from sartor.retrieval.search import StoreRetriever
from sartor.retrieval.similar_examples import (
    DENSE_WEIGHT,
    SimilarExamples,
    build_examples,
    example_rows,
    rows_of_one_group,
)
from sartor.retrieval.store import KnowledgeStore

EXAMPLES_FILE = "examples.sqlite"  # of a run: the rows that prompts may show, searchable
MOST_ROWS = 20_000  # assumed to be enough: embedding so many short questions takes about 45 s on two cores


class DevExamples:
    """Called with a number it gives what finds so many examples; None, with a warning, where there is no embedding
    model to find them with. A dev question is never shown itself, nor a row of its group."""

    def __init__(self, brief: Brief, file: Path, seed: int):
        self.brief, self.file, self.seed = brief, file, seed

    def __call__(self, number: int) -> SimilarExamples | None:
        if self._retriever is None:
            return None
        return SimilarExamples(self._retriever, number, self._left_out)

    @cached_property
    def _retriever(self) -> StoreRetriever | None:
        rows = self._rows()
        if not rows:
            return None
        try:
            embedder = Embedder.open()
        except SartorError as error:
            warn(f"no prompt with similar examples is tried, since there is no model to find them with: {error.what}")
            return None
        build_examples(rows, self.file, embedder)
        return StoreRetriever(KnowledgeStore(self.file), embedder, DENSE_WEIGHT)

    @cached_property
    def _left_out(self) -> dict[str, frozenset[str]]:
        return rows_of_one_group(self.brief.dev, self.brief.train)

    def _rows(self) -> list[Row]:
        rows = example_rows(self.brief.train)
        if len(rows) <= MOST_ROWS:
            return rows
        say(f"similar examples are looked for among {MOST_ROWS:,} of {len(rows):,} train rows, drawn with the seed")
        return random.Random(self.seed).sample(rows, MOST_ROWS)
