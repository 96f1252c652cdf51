"""When to say that the documents do not say: the weights and levels that Sartor has beside ones fitted anew.

Both are measured on test rows of the encyclopedia task; those fitted anew are chosen on its train rows.

Two kinds of questions have no answer here: `elsewhere` (every passage of the question's own article is taken away) and
`unsaid` (SQuAD 2.0's own: written to look answerable from their paragraph). Run: python -m benchmarks.abstention
"""

import json
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from sartor.data.extract import read_documents
from sartor.generation.protocol import Passage
from sartor.models.starter import fetch
from sartor.retrieval.abstention import COVERAGE_WEIGHT, LEVELS, NEARNESS_WEIGHT, OFFSET, features
from sartor.retrieval.embedder import Embedder
from sartor.retrieval.indexing import index_folder
from sartor.retrieval.search import search
from sartor.retrieval.sentences import sentences
from sartor.retrieval.store import KnowledgeStore

PASSAGES, DEEP, UNSAID = 3, 60, 600
SHIPPED = np.array([NEARNESS_WEIGHT, COVERAGE_WEIGHT, OFFSET])
REFUSED = {"usual": 0.05, "strict": 0.10}


class Remembering:
    """An embedder that embeds no text twice."""

    def __init__(self, embedder: Embedder):
        self.embedder, self.known = embedder, {}

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        new = [text for text in dict.fromkeys(texts) if text not in self.known]
        if new:
            self.known |= dict(zip(new, self.embedder.embed(new), strict=True))
        return np.array([self.known[text] for text in texts])

    embed_queries = embed


def article(group: str) -> str:
    return group.rsplit("-", 1)[0]


def measured(rows: Sequence[dict], found: Sequence[Sequence[Passage]], embedder: Remembering, elsewhere: bool):
    """float [rows, 2]: the features of every question, with or without the passages of its own article."""
    values = []
    for row, passages in zip(rows, found, strict=True):
        kept = [
            passage for passage in passages if not elsewhere or article(passage.document_id) != article(row["group"])
        ]
        values.append(features(row["question"], kept[:PASSAGES], embedder))
    return np.array(values)


def fitted(positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """Logistic regression, both classes of equal weight, with a little shrinkage: [weight, weight, offset]."""
    values = np.vstack([positive, negative])
    values = np.hstack([values, np.ones((len(values), 1))])
    signs = np.r_[np.ones(len(positive)), -np.ones(len(negative))]
    weights = np.r_[np.full(len(positive), 1 / len(positive)), np.full(len(negative), 1 / len(negative))]

    def loss(parameters: np.ndarray) -> float:
        shrinkage = 0.05 / len(values) * float(parameters[:2] @ parameters[:2])
        return float(weights @ np.logaddexp(0, -signs * (values @ parameters)) + shrinkage)

    return minimize(loss, np.zeros(3)).x


def area(positive: np.ndarray, negative: np.ndarray) -> float:
    """How often a question with an answer has more support than one without."""
    return float((positive[:, None] > negative[None]).mean() + (positive[:, None] == negative[None]).mean() / 2)


def main(data: Path) -> None:
    task = data / "tasks" / "encyclopedia"
    rows = {
        name: [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for name, path in {
            "train": task / "train.jsonl",
            "test": task / "test.jsonl",
            "unsaid": data / "raw" / "squad2_first_half_unanswerable.jsonl",
        }.items()
    }
    drawn = np.random.default_rng(0).permutation(len(rows["unsaid"]))[:UNSAID]
    halves = {index: zlib.crc32(rows["unsaid"][index]["group"].encode()) % 2 for index in drawn}
    rows["unsaid train"] = [rows["unsaid"][index] for index in drawn if halves[index] == 0]
    rows["unsaid test"] = [rows["unsaid"][index] for index in drawn if halves[index] == 1]
    embedder = Embedder(fetch("minilm"))
    with tempfile.TemporaryDirectory() as folder, KnowledgeStore(Path(folder) / "k.sqlite", create=True) as store:
        index_folder(store, read_documents(task / "documents"), embedder)
        of, remembering = {}, Remembering(embedder)
        for name in ("train", "test", "unsaid train", "unsaid test"):
            remembering.embed([row["question"] for row in rows[name]])
            found = search(store, embedder, [row["question"] for row in rows[name]], DEEP)
            near = [passage for passages in found for passage in passages]
            remembering.embed([p.text[start:end] for p in near for start, end in sentences(p.text)])
            of[name] = measured(rows[name], found, remembering, elsewhere=False)
            if name in ("train", "test"):
                of[f"elsewhere {name}"] = measured(rows[name], found, remembering, elsewhere=True)
    parameters = fitted(of["train"], np.vstack([of["elsewhere train"], of["unsaid train"]]))
    thresholds = np.quantile(supported(of["train"], parameters), list(REFUSED.values()))
    tell("as Sartor has it", of, SHIPPED, {level: LEVELS[level] for level in REFUSED})
    tell("fitted anew", of, parameters, dict(zip(REFUSED, thresholds.tolist(), strict=True)))


def supported(values: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    """The support [rows] of questions with these features [rows, 2], in log-odds."""
    return values @ parameters[:2] + parameters[2]


def tell(name: str, of: dict[str, np.ndarray], parameters: np.ndarray, thresholds: dict[str, float]) -> None:
    """How well these weights tell questions apart, and what share of each kind of question each level refuses."""
    support = {kind: supported(values, parameters) for kind, values in of.items()}
    print(f"{name}: weights", parameters.round(2).tolist())
    for kind in ("elsewhere", "unsaid"):
        print(f"  area under the curve, {kind}: {area(support['test'], support[f'{kind} test']):.3f}")
    for level, threshold in thresholds.items():
        kinds = ("test", "elsewhere test", "unsaid test")
        refused = ", ".join(f"{kind} {(support[kind] < threshold).mean():.1%}" for kind in kinds)
        print(f"  {level}: below {threshold:.2f}; {refused}")


if __name__ == "__main__":
    import os

    main(Path(os.environ.get("SARTOR_DATA", "../shared/data")))
