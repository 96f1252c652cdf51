"""References: what the model of the retrieval path scores without any passage, and with the right ones.

They tell where its errors come from, take no fitting, and are never chosen: the passages that hold the answers are
known for questions with evidence only.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from sartor.choosing.brief import Brief
from sartor.choosing.choose import BASIS, CLOSED_BOOK, ORACLE
from sartor.choosing.fitting.budget import Share
from sartor.choosing.fitting.workshop import Workshop
from sartor.choosing.labels import DESCRIPTIONS
from sartor.choosing.prompted.prompting import Tried
from sartor.choosing.retrieved.gold import gold_passages
from sartor.choosing.retrieved.library import Search
from sartor.data.records import Conversation, Row
from sartor.generation.protocol import Generator, Passage
from sartor.retrieval.grounded import Grounded
from sartor.retrieval.path import OpenPath, PathConfig
from sartor.retrieval.protocol import Retriever, Where
from sartor.retrieval.rewriting import with_key_terms

RANKED = 100  # gold passages beyond these stand in the order of their documents


def references_of(names: Sequence[str], brief: Brief) -> list[str]:
    """The references of a choice among these paths."""
    if BASIS not in names:
        return []
    return [CLOSED_BOOK, *([ORACLE] if any(row.evidence for row in brief.test) else [])]


def fit_closed_book(shop: Workshop, name: str, folder: Path, share: Share) -> tuple[PathConfig, list[Tried]]:
    """The retrieval path's model and prompt, without passages."""
    return _as_basis(shop, name).model_copy(update={"knowledge": None}), []


def fit_oracle(shop: Workshop, name: str, folder: Path, share: Share) -> tuple[PathConfig, list[Tried]]:
    """The retrieval path as it is; what it reads is decided when it is asked (`reading_gold`)."""
    return _as_basis(shop, name), []


def _as_basis(shop: Workshop, name: str) -> PathConfig:
    basis = PathConfig.load(shop.path_folder(BASIS))
    return basis.model_copy(update={"name": name, "description": DESCRIPTIONS[name], "reference": True})


def generator_of(shop: Workshop, name: str, opened: OpenPath) -> Generator:
    """What answers for a path: the oracle reads gold passages where its configuration says that it retrieves."""
    return reading_gold(shop, opened) if name == ORACLE else opened.generator


def reading_gold(shop: Workshop, opened: OpenPath) -> Grounded:
    """The path with the passages that hold the answer in place of the retrieved ones, at most as many; questions whose
    evidence is not known, or not among the documents, are answered from what is retrieved."""
    retrieving, knowledge = opened.generator, opened.config.knowledge
    assert isinstance(retrieving, Grounded) and knowledge is not None
    gold = gold_of_rows(shop, [*shop.brief.dev, *shop.brief.test], Search.of(knowledge), retrieving.k)
    return Grounded(
        retrieving.generator,
        GoldPassages(gold, retrieving.retriever),
        retrieving.k,
        search_question=_key,
        best_last=retrieving.best_last,
    )


def gold_of_rows(shop: Workshop, rows: Sequence[Row], search: Search, most: int) -> dict[str, list[Passage]]:
    """For each row whose evidence is among the documents its gold passages, at most so many. Of more, those that the
    search ranks first."""
    cuts: dict[str, list[Passage]] = {}

    def passages_of(document_id: str) -> list[Passage]:
        if document_id not in cuts:
            cuts[document_id] = shop.library.passages_of(document_id, search)
        return cuts[document_id]

    known = {_key(row.messages): gold_passages(row, passages_of) for row in rows if row.evidence}
    many = [key for key, gold in known.items() if len(gold) > most]
    questions = [with_key_terms(json.loads(key)) for key in many]
    ranked = shop.library.retriever_of(search).retrieve(questions, RANKED) if many else []
    for key, found in zip(many, ranked, strict=True):
        places = {passage.chunk_id: place for place, passage in enumerate(found)}
        known[key].sort(key=lambda passage: places.get(passage.chunk_id, RANKED))  # stable: else as in the document
    return {key: gold[:most] for key, gold in known.items() if gold}


class GoldPassages:
    """A retriever that is asked whole conversations (as `_key` writes them): `gold` has the passages of those whose
    evidence is known, the others are retrieved."""

    def __init__(self, gold: Mapping[str, list[Passage]], retriever: Retriever):
        self._gold, self._retriever = gold, retriever

    def retrieve(self, queries: Sequence[str], k: int, where: Where | None = None) -> list[list[Passage]]:
        unknown = [key for key in dict.fromkeys(queries) if key not in self._gold]
        questions = [with_key_terms(json.loads(key)) for key in unknown]
        found = dict(zip(unknown, self._retriever.retrieve(questions, k, where) if unknown else [], strict=True))
        return [self._gold[key] if key in self._gold else found[key] for key in queries]


def _key(conversation: Conversation) -> str:
    return json.dumps(conversation, ensure_ascii=False, sort_keys=True)
