"""Finding near-duplicates: Sartor, datatrove's MinHash blocks, and rensa. Same documents, 14 bands of 8 hashes.

    python -m benchmarks.duplicates [--documents 20000] [--sides sartor rensa datatrove]

Needs `pip install "datatrove[processing]" rensa spacy "xxhash<4"`.

Documents are passages of about 2,000 characters of books (SARTOR_DATA, raw/standardebooks), two in five of them a
copy of another with some of its words replaced, so that true similarities from 0.5 to 1 occur. Every side reads the
files and finds the clusters, in a process of its own that is held to one core where the system can (Linux). Nothing is
written but what a side needs to find them: of datatrove's four blocks the last, which writes the documents that stay,
is left out.

How words are cut is timed apart, because that is not of the same kind: Sartor's is compiled code, datatrove's is spaCy
(its default), and rensa, which takes n-grams as they are given, has none; it is given runs of `\\w`, cut and joined to
n-grams by Python in this file, and that time is not rensa's. "hashing and index" is all the rest: reading the files,
the hashes (of Sartor and datatrove those of the n-grams too), and finding the clusters. Imports are not timed.

Recall is over the planted pairs, beside what 1 - (1 - s^8)^14 expects for their true similarities; agreement is the
share of documents of which both sides say the same: that they have a near-duplicate, or that they have none.
"""

import argparse
import gzip
import importlib
import json
import os
import re
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.finetune_vs_trl import data_folder, last_line

IMPORTS = {
    "sartor": ("sartor.data.duplicates.removal",),
    "rensa": ("rensa",),
    "datatrove": ("datatrove.executor", "datatrove.pipeline.dedup", "datatrove.pipeline.readers"),
}
SIDES = tuple(IMPORTS)
PASSAGE_CHARACTERS = 2000
COPIED = 0.4
SHARDS = 4
GRAM_WORDS, BANDS, BAND_HASHES = 5, 14, 8


class Stopwatch:
    """Adds up the seconds of some of the calls."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timing(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            begun = time.perf_counter()
            try:
                return work(*arguments, **named)
            finally:
                self.seconds += time.perf_counter() - begun

        return timed


def passages() -> Iterator[str]:
    """Passages of all books, whole lines each."""
    for name in ("novels_nonfiction", "children"):
        with gzip.open(data_folder() / "raw" / "standardebooks" / f"{name}.jsonl.gz", "rt") as lines:
            for line in lines:
                passage: list[str] = []
                for paragraph in json.loads(line)["text"].split("\n"):
                    passage.append(paragraph)
                    if sum(map(len, passage)) >= PASSAGE_CHARACTERS:
                        yield "\n".join(passage)
                        passage = []


def words_of(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def grams_of(text: str) -> set[str]:
    words = words_of(text)
    return {" ".join(words[at : at + GRAM_WORDS]) for at in range(len(words) - GRAM_WORDS + 1)}


def make_documents(folder: Path, count: int) -> list[tuple[int, int, float]]:
    """Write the documents for all sides, and say which pairs are planted: (original, copy, true similarity)."""
    import pyarrow.parquet as pq

    from sartor.data.documents import documents_table

    draw = np.random.default_rng(0)
    originals = [text for text, _ in zip(passages(), range(round(count * (1 - COPIED))), strict=False)]
    texts, pairs = list(originals), []
    for source in draw.permutation(len(originals))[: count - len(originals)].tolist():
        words = re.split(r"(\s+)", originals[source])
        for place in draw.choice(len(words), int(draw.integers(0, 24)), replace=False).tolist():
            words[place] = words[place] if words[place].isspace() else f"word{draw.integers(10**9)}"
        left, right = grams_of(originals[source]), grams_of("".join(words))
        pairs.append((source, len(texts), len(left & right) / len(left | right)))
        texts.append("".join(words))
    for shard in range(SHARDS):
        rows = [{"id": str(at), "text": texts[at], "source": "books"} for at in range(shard, len(texts), SHARDS)]
        pq.write_table(documents_table(rows), folder / f"{shard}.parquet", row_group_size=2000)
    return pairs


def run_sartor(folder: Path, work: Path, words: Stopwatch) -> dict[str, str]:
    """The cluster of each document that has a near-duplicate, as for the other sides."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from sartor.data.duplicates import minhash
    from sartor.data.duplicates.removal import find_duplicates
    from sartor.data.duplicates.signatures import NearDuplicates, near_signatures, write_signatures

    minhash.word_hashes = words.timing(minhash.word_hashes)  # type: ignore[assignment]
    rule = NearDuplicates()
    for shard in range(SHARDS):
        tables, first = [], 0
        for batch in pq.ParquetFile(folder / f"{shard}.parquet").iter_batches(2000):
            tables.append(near_signatures(pa.Table.from_batches([batch]), rule, shard, first))
            first += batch.num_rows
        write_signatures(work / f"{shard}.signatures", tables)
    drops = [work / f"{shard}.drops" for shard in range(SHARDS)]
    find_duplicates([path.with_suffix(".signatures") for path in drops], drops)
    clusters: dict[str, str] = {}
    for shard, path in enumerate(drops):
        table = pq.read_table(path)
        for row, survivor in zip(table["row"].to_pylist(), table["duplicate_of"].to_pylist(), strict=True):
            clusters[str(row * SHARDS + shard)] = clusters[survivor] = survivor
    return clusters


def run_rensa(folder: Path, work: Path, words: Stopwatch) -> dict[str, str]:
    import pyarrow.parquet as pq
    from rensa import RMinHash, RMinHashLSH

    cut = words.timing(lambda texts: [list(grams_of(text)) for text in texts])
    ids: list[str] = []
    sketches = []
    for shard in range(SHARDS):
        for batch in pq.ParquetFile(folder / f"{shard}.parquet").iter_batches(2000, columns=["id", "text"]):
            ids += batch["id"].to_pylist()
            sketches += RMinHash.from_token_sets(cut(batch["text"].to_pylist()), num_perm=BANDS * BAND_HASHES, seed=1)
    index = RMinHashLSH(threshold=0.0, num_perm=BANDS * BAND_HASHES, num_bands=BANDS)
    index.insert_many(sketches)
    parents = list(range(len(ids)))

    def root(record: int) -> int:
        while parents[record] != record:
            parents[record] = record = parents[parents[record]]
        return record

    for record, sketch in enumerate(sketches):
        for other in index.query(sketch):
            parents[max(root(record), root(other))] = min(root(record), root(other))
    roots = [root(record) for record in range(len(ids))]
    sizes = np.bincount(roots, minlength=len(ids))
    return {ids[record]: ids[at] for record, at in enumerate(roots) if sizes[at] > 1}


def run_datatrove(folder: Path, work: Path, words: Stopwatch) -> dict[str, str]:
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import (
        MinhashConfig,
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.readers import ParquetReader

    config = MinhashConfig(n_grams=GRAM_WORDS, num_buckets=BANDS, hashes_per_bucket=BAND_HASHES)
    reader = ParquetReader(str(folder), glob_pattern="*.parquet")
    names = [str(work / name) for name in ("signatures", "buckets", "removed")]
    signature = MinhashDedupSignature(names[0], config)
    tokenizer = type(signature.word_tokenizer)  # the class: each task has a copy of the pipeline
    tokenizer.word_tokenize = words.timing(tokenizer.word_tokenize)
    steps = [
        ([reader, signature], SHARDS),
        ([MinhashDedupBuckets(names[0], names[1], config=config)], BANDS),
        ([MinhashDedupCluster(names[1], names[2], config, save_cluster_id=True)], 1),
    ]
    for number, (pipeline, tasks) in enumerate(steps):
        LocalPipelineExecutor(pipeline, tasks=tasks, workers=1, logging_dir=str(work / f"log{number}")).run()
    clusters: dict[str, str] = {}
    for shard in range(SHARDS):
        content = (work / "removed" / f"{shard:06d}.clusters").read_bytes()
        clusters |= {str(row * SHARDS + shard): str(number) for row, number in struct.iter_unpack("<II", content)}
    return clusters


def run_side(side: str, folder: Path) -> dict[str, Any]:
    from sartor.base.device import peak_rss_bytes

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    find: Callable[[Path, Path, Stopwatch], dict[str, str]] = {
        "sartor": run_sartor, "rensa": run_rensa, "datatrove": run_datatrove,
    }[side]  # fmt: skip
    for name in ("pyarrow.parquet", *IMPORTS[side]):  # not timed
        importlib.import_module(name)
    words = Stopwatch()
    with tempfile.TemporaryDirectory() as work:
        begun = time.perf_counter()
        clusters = find(folder, Path(work), words)
        seconds = time.perf_counter() - begun
    peak_gb = peak_rss_bytes() / 1e9
    return {"seconds": seconds, "word_seconds": words.seconds, "peak_gb": peak_gb, "clusters": clusters}


def compare(count: int, sides: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        pairs = make_documents(Path(name), count)
        command = [sys.executable, "-m", "benchmarks.duplicates", "--folder", name, "--side"]
        found = {side: last_line([*command, side]) for side in sides}
    similarities = np.array([similarity for _, _, similarity in pairs])
    expected = 1 - (1 - similarities**BAND_HASHES) ** BANDS
    error = np.sqrt((expected * (1 - expected)).sum()) / len(pairs)
    print(f"{count:,} documents, {len(pairs):,} planted pairs; recall expected {expected.mean():.4f} +- {error:.4f}")
    differ = 4 * (expected * (1 - expected)).sum() / count  # both documents of a pair that one side finds only
    print(f"two draws of hash functions are expected to decide alike on {1 - differ:.2%} of documents\n")
    parts = "words | hashing and index | whole"
    print(f"| side | seconds: {parts} | Sartor is faster by: {parts} ", end="")
    print("| peak memory | dropped | recall of pairs | same decision |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    ours = found["sartor"]
    for side, result in found.items():
        times = [
            (each["word_seconds"], each["seconds"] - each["word_seconds"], each["seconds"]) for each in (result, ours)
        ]
        seconds = " | ".join(f"{each:.2f}" for each in times[0])
        ratios = " | ".join(f"{theirs / own:.1f}x" for theirs, own in zip(*times, strict=True))
        clusters = result["clusters"]
        together = [str(a) in clusters and clusters[str(a)] == clusters.get(str(b)) for a, b, _ in pairs]
        same = count - len(clusters.keys() ^ ours["clusters"].keys())
        print(
            f"| {side} | {seconds} | {ratios} "
            f"| {result['peak_gb']:.2f} GB | {len(clusters) - len(set(clusters.values())):,} "
            f"| {np.mean(together):.4f} | {same / count:.2%} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES), help="sartor is always one of them")
    parser.add_argument("--side", choices=SIDES)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    if arguments.side:
        print(json.dumps(run_side(arguments.side, arguments.folder)))
    else:
        compare(arguments.documents, [side for side in SIDES if side == "sartor" or side in arguments.sides])


if __name__ == "__main__":
    main()
