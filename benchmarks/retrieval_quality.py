"""Retrieval quality: full text, vectors, their fusion and the ranking chosen on dev questions; bm25s beside them.

    python -m benchmarks.retrieval_quality [--set encyclopedia fastapi_docs] [--embedder minilm] [--reranker MODEL]

What the sets are: `benchmarks/retrieval_sets.py`. Figures are of test questions, with 95 % intervals that know that
questions about one text are not independent; the ranking is chosen on dev questions alone. `chosen - best` is the
chosen ranking minus the better single one on test, paired. bm25s ranks the same chunks (titles included, k1 1.2, b .75,
Lucene's formula), once with its own words for English (its pattern and stop words, a Snowball stemmer) and once with
the words that Sartor's full text sees, which leaves the formula as the only difference.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.retrieval_sets import Question, retrieval_set
from sartor.evaluation.retrieval_metrics import RetrievalScores, retrieval_scores
from sartor.retrieval.embedder import Embedder
from sartor.retrieval.fusion import DEFAULT_DENSE_WEIGHT, Ranking
from sartor.retrieval.indexing import index_folder
from sartor.retrieval.query import search_words
from sartor.retrieval.ranking_choice import RankingChoice, choose_ranking
from sartor.retrieval.rerank import DEPTH, Reranker
from sartor.retrieval.search import search
from sartor.retrieval.store import KnowledgeStore

FTS5_WORD = r"[^\W_]+"  # how SQLite's full text cuts words: `status_code` is two
PASSAGES = 50  # so many are looked at, for several of them may be of one document
RECALL_AT = 5


class Searches:
    """One store and everything that ranks it."""

    def __init__(self, store: KnowledgeStore, embedder: Embedder, reranker: Reranker | None):
        self.store, self.embedder, self.reranker = store, embedder, reranker

    def choose(self, questions: Sequence[Question]) -> RankingChoice:
        texts, evidence = [one.text for one in questions], [one.evidence for one in questions]
        return choose_ranking(self.store, self.embedder, texts, evidence, RECALL_AT, self.reranker)

    def rankings(self, questions: Sequence[Question], ranking: Ranking) -> list[list[str]]:
        texts = [one.text for one in questions]
        found = search(self.store, self.embedder, texts, PASSAGES, ranking.dense_weight)
        if ranking.rerank and self.reranker is not None:
            found = [
                self.reranker.rerank(text, passages[:DEPTH], DEPTH) + passages[DEPTH:]
                for text, passages in zip(texts, found, strict=True)
            ]
        return [[passage.document_id for passage in passages] for passages in found]

    def bm25s_rankings(self, questions: Sequence[Question], same_words: bool) -> list[list[str]]:
        """The peer's rankings of the same chunks, by its own words or by ours."""
        import bm25s
        import Stemmer

        ids, _ = self.store.matrix()
        chunks = [chunk for _, chunk in sorted(self.store.chunks(ids.tolist()).items())]
        texts, asked = [f"{chunk.title}\n{chunk.text}" for chunk in chunks], [one.text for one in questions]
        words: dict[str, Any] = {"stopwords": "en", "stemmer": Stemmer.Stemmer("english"), "show_progress": False}
        if same_words:
            words |= {"stopwords": [], "stemmer": Stemmer.Stemmer("porter"), "token_pattern": FTS5_WORD}
            asked = [" ".join(search_words(question)) for question in asked]
        index = bm25s.BM25(k1=1.2, b=0.75)
        index.index(bm25s.tokenize(texts, **words), show_progress=False)
        found, _ = index.retrieve(bm25s.tokenize(asked, **words), k=min(PASSAGES, len(chunks)), show_progress=False)
        return [[chunks[number].document_id for number in row] for row in found]


def measure(name: str, embedder: Embedder, reranker: Reranker | None) -> None:
    questions = retrieval_set(name)
    with tempfile.TemporaryDirectory() as folder, KnowledgeStore(Path(folder) / "store.sqlite", create=True) as store:
        report = index_folder(store, questions.documents, embedder)
        searches = Searches(store, embedder, reranker)
        choice = searches.choose(questions.dev)
        weight = choice.ranking.dense_weight
        fused = Ranking.of_weight(weight if 0 < weight < 1 else DEFAULT_DENSE_WEIGHT)
        ways = {
            "bm25": Ranking.of_weight(0.0),
            "dense": Ranking.of_weight(1.0),
            "fused": fused,
            "chosen": choice.ranking,
        }
        rankings = {way: searches.rankings(questions.test, ranking) for way, ranking in ways.items()}
        rankings["bm25s"] = searches.bm25s_rankings(questions.test, same_words=False)
        rankings["bm25s, same words"] = searches.bm25s_rankings(questions.test, same_words=True)
    facts = {"set": name, "documents": len(questions.documents), "chunks": report.chunks, "embedder": embedder.name}
    print(
        json.dumps(
            facts | {"dev": len(questions.dev), "test": len(questions.test), "ranking": choice.ranking.to_json()}
        )
    )
    evidence, groups = [one.evidence for one in questions.test], [one.group for one in questions.test]
    scores = {way: retrieval_scores(found, evidence, RECALL_AT) for way, found in rankings.items()}
    for way, found in scores.items():
        shown = {
            measure: f"{100 * each.mean:.1f} [{100 * each.low:.1f}, {100 * each.high:.1f}]"
            for measure, each in found.intervals(groups).items()
        }
        print(json.dumps({"ranking": way, **shown}))
    best = max(("bm25", "dense"), key=lambda way: float(scores[way].gain.mean()))
    for one, two in (("chosen", best), ("fused", best), ("bm25", "bm25s"), ("bm25", "bm25s, same words")):
        print(json.dumps({"minus": f"{one} - {two}", **differences(scores[one], scores[two], groups)}), flush=True)


def differences(one: RetrievalScores, two: RetrievalScores, groups: list[str]) -> dict[str, str]:
    return {
        measure: f"{100 * each.difference:+.1f} [{100 * each.low:+.1f}, {100 * each.high:+.1f}]"
        for measure, each in one.compared_with(two, groups).items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", nargs="+", default=["encyclopedia", "fastapi_docs"])
    parser.add_argument("--embedder", default="minilm")
    parser.add_argument("--reranker", help="a cross-encoder's folder or Hub id; without one nothing is read again")
    args = parser.parse_args()
    embedder = Embedder.open(args.embedder)
    reranker = Reranker.open(args.reranker) if args.reranker else None
    for name in args.set:
        measure(name, embedder, reranker)


if __name__ == "__main__":
    main()
