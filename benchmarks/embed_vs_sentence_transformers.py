"""Embedding: Sartor's embedder against sentence-transformers, in both number formats. Same model, texts and threads.

    python -m benchmarks.embed_vs_sentence_transformers [--model minilm] [--passages 96] [--questions 384] [--repeats 5]

Passages are 150 words each from the Python enhancement proposals and FastAPI's documentation, questions are headings
of the same documents (SARTOR_DATA). The peer is `SentenceTransformer(folder).encode(texts)`, in batches of 32, sorted
by length. Both sides compute in float32 and in bfloat16. As they come, the peer takes float32, and Sartor (as `sartor
index` does) bfloat16 where the machine multiplies it, so the ratio "as each comes" is partly one of number formats; at
the same format it is one of code.

The four take turns in one process; figures are medians, ratios the medians of the turns' own ratios, Sartor's rate over
the peer's. CPU seconds are counted beside the clock, because they hardly depend on what else the machine does. The
cosine is the lowest of all texts to the peer's float32 vectors.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.retrieval_sets import collected_texts
from sartor.base.device import compute_dtype, device
from sartor.retrieval.chunking import sections_of

WORDS = 150
FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
Side = tuple[str, str]  # sartor or peer; the number format
PEER = ("peer", "float32")  # as it comes


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


def compare(
    kind: str, texts: list[str], sides: Mapping[Side, Callable[[list[str]], np.ndarray]], repeats: int, as_it_comes: str
) -> list[dict[str, object]]:
    """A line for each side, and one for each ratio; `as_it_comes` is Sartor's number format on this machine."""
    for embed in sides.values():
        embed(texts[:16])
    turns = [{side: timed(embed, texts) for side, embed in sides.items()} for _ in range(repeats)]
    exact = turns[0][PEER].vectors
    found: list[dict[str, object]] = [
        {
            "texts": kind,
            "number": len(texts),
            "side": f"{name} {number_format}",
            "per_second": round(len(texts) / statistics.median(turn[name, number_format].seconds for turn in turns), 1),
            "lowest_cosine": round(float((turns[0][name, number_format].vectors * exact).sum(axis=1).min()), 5),
        }
        for name, number_format in sides
    ]
    pairs = {"as each comes": (("sartor", as_it_comes), PEER)}
    pairs |= {f"both in {each}": (("sartor", each), ("peer", each)) for each in FORMATS}
    return found + [{"texts": kind, "ratio": name, **ratios(turns, *pair)} for name, pair in pairs.items()]


def ratios(turns: Sequence[Mapping[Side, Turn]], ours: Side, theirs: Side) -> dict[str, object]:
    return {
        "sides": f"{' '.join(ours)} : {' '.join(theirs)}",
        "by_the_clock": round(statistics.median(turn[theirs].seconds / turn[ours].seconds for turn in turns), 2),
        "by_cpu_seconds": round(
            statistics.median(turn[theirs].cpu_seconds / turn[ours].cpu_seconds for turn in turns), 2
        ),
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
    sides: dict[Side, Callable[[list[str]], np.ndarray]] = {}
    for name, dtype in FORMATS.items():
        sides["sartor", name] = Embedder(folder, dtype, torch.device("cpu")).embed
        sides["peer", name] = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": dtype}).encode
    as_it_comes = str(compute_dtype(device())).removeprefix("torch.")
    for kind, texts in texts_of(args.passages, args.questions).items():
        for line in compare(kind, texts, sides, args.repeats, as_it_comes):
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
