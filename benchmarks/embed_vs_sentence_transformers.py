"""Embedding: Sartor's embedder against sentence-transformers' default. Same model, same texts, same threads.

    python -m benchmarks.embed_vs_sentence_transformers [--model minilm] [--passages 96] [--questions 384] [--repeats 5]

Passages are 150 words each from the Python enhancement proposals and FastAPI's documentation, questions are headings
of the same documents (SARTOR_DATA). The peer is `SentenceTransformer(folder).encode(texts)` with nothing else set:
float32, batches of 32, sorted by length. Sartor computes as `sartor index` does. The sides take turns in one process;
figures are medians, `ratio` is the median of the turns' own ratios. CPU seconds are counted beside the clock, because
they hardly depend on what else the machine does. The cosine is the lowest of all texts to the peer's float32 vectors.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.retrieval_sets import collected_texts
from sartor.retrieval.chunking import sections_of

WORDS = 150


def texts_of(passages: int, questions: int) -> dict[str, list[str]]:
    """Passages from the middle of documents, and headings as questions, taken evenly from both collections."""
    found: dict[str, list[str]] = {"passages": [], "questions": []}
    for name in ("peps", "fastapi_docs"):
        texts = list(collected_texts(name).values())
        long = [words for words in (text.split() for text in texts) if len(words) >= 2 * WORDS]
        found["passages"] += [" ".join(words[WORDS : 2 * WORDS]) for words in long][: passages // 2]
        headings = [section.path[-1] for text in texts for section in sections_of(text) if section.path]
        found["questions"] += [heading for heading in headings if len(heading.split()) > 2][: questions // 2]
    return found


@dataclass
class Turn:
    seconds: float
    cpu_seconds: float
    vectors: np.ndarray


def timed(embed: Callable[[list[str]], np.ndarray], texts: list[str]) -> Turn:
    clock, cpu = time.perf_counter(), time.process_time()
    vectors = embed(texts)
    return Turn(time.perf_counter() - clock, time.process_time() - cpu, vectors)


def compare(kind: str, texts: list[str], ours: Callable, peer: Callable, repeats: int) -> dict[str, object]:
    ours(texts[:16]), peer(texts[:16])
    turns = [(timed(ours, texts), timed(peer, texts)) for _ in range(repeats)]
    cosine = float((turns[0][0].vectors * turns[0][1].vectors).sum(axis=1).min())
    return {
        "texts": kind,
        "number": len(texts),
        "sartor_per_second": round(len(texts) / statistics.median(one.seconds for one, _ in turns), 1),
        "peer_per_second": round(len(texts) / statistics.median(two.seconds for _, two in turns), 1),
        "ratio": round(statistics.median(two.seconds / one.seconds for one, two in turns), 2),
        "cpu_ratio": round(statistics.median(two.cpu_seconds / one.cpu_seconds for one, two in turns), 2),
        "lowest_cosine": round(cosine, 5),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--passages", type=int, default=96)
    parser.add_argument("--questions", type=int, default=384)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    from sentence_transformers import SentenceTransformer

    from sartor.models.hub import resolve
    from sartor.retrieval.embedder import Embedder

    folder = resolve(args.model)
    peer, ours = SentenceTransformer(str(folder), device="cpu"), Embedder(folder)
    for kind, texts in texts_of(args.passages, args.questions).items():
        print(json.dumps(compare(kind, texts, ours.embed, peer.encode, args.repeats)), flush=True)


if __name__ == "__main__":
    main()
