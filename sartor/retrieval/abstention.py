"""Whether the documents say anything about a question, told before a model is asked.

`support` looks at the passages that were found: how near in meaning their nearest sentence is to the question, and how
many of the question's words the best of them holds. Its weights and thresholds are a logistic regression on the train
rows of the encyclopedia task (benchmarks/abstention.py makes them again and measures them on its test rows). What it
can tell is whether the documents speak of the matter at all; it cannot tell a question that is about the matter, but
asks for something that is not said.
"""

from collections.abc import Sequence

import numpy as np

from sartor.generation.protocol import Passage
from sartor.retrieval.protocol import TextEmbedder
from sartor.retrieval.sentences import meaning, sentences

NEARNESS_WEIGHT, COVERAGE_WEIGHT, OFFSET = 8.95, 2.02, -6.10
LEVELS = {"never": float("-inf"), "usual": -0.67, "strict": -0.13}
"""Below which support no answer is given: `usual` refuses 1 in 20 of the questions that the documents do answer,
`strict` 1 in 10."""
NO_ANSWER = "The documents do not say."


def features(question: str, passages: Sequence[Passage], embedder: TextEmbedder) -> tuple[float, float]:
    """The highest cosine of a sentence to the question, and the highest share of its words in one passage."""
    texts = [passage.text[start:end] for passage in passages for start, end in sentences(passage.text)]
    if not texts:
        return -1.0, 0.0
    (asked,) = embedder.embed_queries([question])
    nearness = float((embedder.embed(texts) @ asked).max())
    words = meaning(question)
    coverage = max(len(words & meaning(f"{each.title} {each.text}")) / max(1, len(words)) for each in passages)
    return nearness, coverage


def support(question: str, passages: Sequence[Passage], embedder: TextEmbedder) -> float:
    """How far the passages speak of what is asked, in log-odds (about -6 to 4)."""
    nearness, coverage = features(question, passages, embedder)
    return float(np.dot((NEARNESS_WEIGHT, COVERAGE_WEIGHT), (nearness, coverage)) + OFFSET)
