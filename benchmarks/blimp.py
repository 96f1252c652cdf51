"""How often a model finds the grammatical one of two sentences likelier (BLiMP, 1912.00582): tiny models, too.

    python -m benchmarks.blimp MODEL [MODEL ...] [--pairs 20]

A model is anything that `sartor` calls one. Of each of the 67 phenomena the first `--pairs` pairs are compared, by the
sum of the log-probabilities of the whole sentence behind the token that begins a text. Chance is one half. Two 95 %
intervals: over phenomena, for what the model would make of others like them (a liking for short or frequent words, too,
takes whole phenomena above or below a half), and over pairs, for these phenomena as they are. Data: SARTOR_DATA.
"""

import argparse
import gzip
import json
from collections import Counter
from typing import Any

from benchmarks.finetune_vs_trl import data_folder

MICRO_BATCH_TOKENS = 2048


def pairs(each: int) -> list[dict[str, Any]]:
    """The first so many of every phenomenon."""
    seen: Counter[str] = Counter()
    chosen = []
    with gzip.open(data_folder() / "raw" / "blimp" / "blimp.jsonl.gz", "rt") as file:
        for row in map(json.loads, file):
            seen[row["UID"]] += 1
            if seen[row["UID"]] <= each:
                chosen.append(row)
    return chosen


def sentences_rows(model: Any, rows: list[dict[str, Any]]) -> list[Any]:
    from sartor.data.chat import Rendered

    first = model.bos_token_id if model.bos_token_id is not None else model.eos_token_id
    rendered = []
    for row in rows:
        for side in ("good", "bad"):
            ids = [first, *model.encode(row[side], add_special_tokens=False)]
            rendered.append(Rendered(ids, [False] + [True] * (len(ids) - 1)))
    return rendered


def measure(name: str, rows: list[dict[str, Any]]) -> tuple[Any, Any]:
    from sartor.base.device import compute_dtype, device
    from sartor.evaluation.statistics import mean_interval
    from sartor.models.forward import load_packed
    from sartor.models.hub import load_tokenizer, resolve
    from sartor.train.likelihood import row_losses

    folder = resolve(name)
    model = load_packed(folder, compute_dtype(device())).to(device())
    losses = row_losses(model, sentences_rows(load_tokenizer(folder), rows), MICRO_BATCH_TOKENS)
    right = [float(good < bad) for good, bad in zip(losses[::2], losses[1::2], strict=True)]
    return mean_interval(right, groups=[row["UID"] for row in rows]), mean_interval(right)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--pairs", type=int, default=20, help="of each phenomenon")
    options = parser.parse_args()
    rows = pairs(options.pairs)
    for name in options.models:
        over_phenomena, over_pairs = measure(name, rows)
        print(
            f"{name}: {over_pairs.mean:.3f} of {len(rows):,} pairs; over phenomena [{over_phenomena.low:.3f}, "
            f"{over_phenomena.high:.3f}], over pairs [{over_pairs.low:.3f}, {over_pairs.high:.3f}]"
        )


if __name__ == "__main__":
    main()
