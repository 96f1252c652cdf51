"""Texts to token shards: Sartor against datatrove's DocumentTokenizer. Same texts, tokenizer and number of processes.

    python -m benchmarks.tokenize [--megabytes 28] [--tokenizer starter] [--processes 2]

Texts are public-domain books (SARTOR_DATA, raw/standardebooks) in pieces of 10,000 characters, as JSON Lines in as
many files as there are processes. Both sides write each document with an end of text, datatrove without shuffling;
that both wrote the same number of tokens is checked. The sides take turns, each time in a process of its own, timed
from the end of its imports (those of its workers count); figures are medians of megabytes of text a second.
"""

import argparse
import gzip
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.finetune_vs_trl import data_folder

REPEATS = 3
PIECE_CHARACTERS = 10_000
SIDES = ("sartor", "datatrove")
Run = Callable[[Path, Path, int], int]  # texts, where to, processes; gives the number of tokens


@dataclass(frozen=True)
class Measured:
    tokens: int
    seconds: float


def write_pieces(folder: Path, num_bytes: int, files: int) -> int:
    """JSONL files of pieces of books; the bytes of their texts."""
    folder.mkdir()
    outputs = [(folder / f"{number}.jsonl").open("w") for number in range(files)]
    written = number = 0
    for name in ("children", "novels_nonfiction"):
        with gzip.open(data_folder() / "raw" / "standardebooks" / f"{name}.jsonl.gz", "rt") as lines:
            for book in map(json.loads, lines):
                for first in range(0, len(book["text"]), PIECE_CHARACTERS):
                    if written >= num_bytes:
                        break
                    text = book["text"][first : first + PIECE_CHARACTERS]
                    outputs[number % files].write(json.dumps({"id": f"{book['id']}#{first}", "text": text}) + "\n")
                    written += len(text.encode())
                    number += 1
    for output in outputs:
        output.close()
    return written


def run_sartor(tokenizer: Path) -> Run:
    from sartor.data.token_shards.source import open_source
    from sartor.data.token_shards.tokenize import tokenize
    from sartor.models.hub import load_tokenizer

    def run(texts: Path, out: Path, processes: int) -> int:
        shards = tokenize(open_source(texts), load_tokenizer(tokenizer), out, 0.01, processes)
        splits = [shards.split(name) for name in ("train", "held_out")]
        return sum(split.num_tokens - split.num_documents for split in splits)  # datatrove writes no beginnings

    return run


def run_datatrove(tokenizer: Path) -> Run:
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.tokens import DocumentTokenizer

    end = json.loads((tokenizer / "tokenizer_config.json").read_text())["eos_token"]

    def run(texts: Path, out: Path, processes: int) -> int:
        file = str(tokenizer / "tokenizer.json")
        steps = [JsonlReader(str(texts)), DocumentTokenizer(str(out), file, eos_token=end, shuffle_documents=False)]
        LocalPipelineExecutor(steps, tasks=processes, workers=processes, logging_dir=str(out / "logs")).run()
        return sum(path.stat().st_size for path in out.glob("*.ds")) // 2

    return run


def measure(side: str, texts: Path, tokenizer: Path, processes: int) -> Measured:
    """One side in a process of its own."""
    with tempfile.TemporaryDirectory() as out:
        command = [
            sys.executable,
            "-m",
            "benchmarks.tokenize",
            "--side",
            side,
            str(texts),
            str(tokenizer),
            f"{out}/out",
        ]
        done = subprocess.run([*command, str(processes)], capture_output=True, text=True, timeout=1200)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return Measured(**json.loads(done.stdout.strip().splitlines()[-1]))


def run_side(side: str, texts: Path, tokenizer: Path, out: Path, processes: int) -> Measured:
    run = run_sartor(tokenizer) if side == "sartor" else run_datatrove(tokenizer)
    begun = time.perf_counter()
    tokens = run(texts, out, processes)
    return Measured(tokens, time.perf_counter() - begun)


def compare(megabytes: float, tokenizer: Path, processes: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        texts = Path(folder) / "texts"
        size = write_pieces(texts, int(megabytes * 1e6), processes) / 1e6
        found: dict[str, list[Measured]] = {side: [] for side in SIDES}
        for _ in range(REPEATS):
            for side in SIDES:
                found[side].append(measure(side, texts, tokenizer, processes))
    tokens = {measured.tokens for each in found.values() for measured in each}
    if len(tokens) != 1:
        raise RuntimeError(f"the sides wrote different numbers of tokens: {tokens}")
    print(f"{size:.1f} MB of text, {tokens.pop():,} tokens, {processes} processes")
    rates = {side: statistics.median(size / each.seconds for each in found[side]) for side in SIDES}
    for side in SIDES:
        every = ", ".join(f"{size / each.seconds:.2f}" for each in found[side])
        print(f"{side:<10} {rates[side]:6.2f} MB/s ({every})")
    print(f"ratio {rates['sartor'] / rates['datatrove']:.2f}")


def main() -> None:
    if sys.argv[1:2] == ["--side"]:
        side, texts, tokenizer, out, processes = sys.argv[2:]
        measured = run_side(side, Path(texts), Path(tokenizer), Path(out), int(processes))
        print(json.dumps(asdict(measured)))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=28.0)
    parser.add_argument("--tokenizer", default="starter", help="a folder, or starter")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    if args.tokenizer == "starter":
        from sartor.models.starter import fetch

        compare(args.megabytes, fetch("starter"), args.processes)
    else:
        compare(args.megabytes, Path(args.tokenizer), args.processes)


if __name__ == "__main__":
    main()
