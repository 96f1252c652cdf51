"""Pre-training from scratch: Sartor against nanoGPT. Same texts, same tokens, same shape, same number of steps.

    python -m benchmarks.pretrain_vs_nanogpt --nanogpt CHECKOUT [--preset 3m] [--tokens 2m]

CHECKOUT is a copy of https://github.com/karpathy/nanoGPT; its own train.py is run on the processor, set as its small
Shakespeare configuration is (rate 1e-3, falling to a tenth, beta2 .99; no dropout, as each text is read once), with a
warm-up of 2 % of the steps. `--compile` lets it compile its model.

Both read the token shards that `sartor pretrain` makes of the texts (Standard Ebooks; SARTOR_DATA), with a vocabulary
of 8,192, and make as many steps of as many tokens. Sartor takes its own rate, optimizer and schedule. Tokens a second
are of the median step. The share of the matrix-product peak is what the model's products need by the time taken, over
the fastest bfloat16 product of this machine. The loss is of the same windows of held-out documents for both.
"""

import argparse
import gzip
import json
import math
import pickle
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.finetune_vs_trl import data_folder, matrix_product_peak

VOCABULARY, WINDOW_TOKENS, EVALUATED_WINDOWS, SETTLING_STEPS = 8192, 512, 96, 3
NANOGPT_RATE, NANOGPT_BETA2, WARMUP_SHARE = 1e-3, 0.99, 0.02
DATASET = "sartor"
TOLD = re.compile(r"iter \d+: loss [\d.]+, time ([\d.]+)ms")


def texts_file(folder: Path) -> Path:
    """All of the books in one file of rows."""
    out = folder / "books.jsonl"
    source = data_folder() / "raw" / "standardebooks"
    with out.open("wb") as file:
        for name in ("children.jsonl.gz", "novels_nonfiction.jsonl.gz"):
            file.write(gzip.decompress((source / name).read_bytes()))
    return out


def train_sartor(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    command = [
        sys.executable, "-m", "sartor", "pretrain", str(folder / "books.jsonl"), "--preset", options.preset,
        "--vocabulary", str(VOCABULARY), "--window-tokens", str(WINDOW_TOKENS), "--tokens", options.tokens,
        "--batch-tokens", str(options.batch_tokens), "--micro-batch-tokens", str(options.micro_batch_tokens),
        "--evaluations", "1", "--seed", str(options.seed), "--out", str(folder / "run"), "--json",
    ]  # fmt: skip
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    timing = [json.loads(line) for line in (folder / "run" / "timing.jsonl").read_text().splitlines()]
    speed = statistics.median(each["tokens_per_second"] for each in timing[SETTLING_STEPS:])
    return {**json.loads(done.stdout), "tokens_per_second": speed}


def shape_of(preset: str) -> Any:
    from sartor.models.presets import PRESETS

    return PRESETS[preset]


def write_data(options: argparse.Namespace, folder: Path) -> None:
    """The train tokens where nanoGPT looks for them, in the order of the documents."""
    from sartor.data.token_shards.reader import TokenShards

    shards = TokenShards.open(folder / "run" / "tokens" / "0")
    place = options.nanogpt / "data" / DATASET
    place.mkdir(parents=True, exist_ok=True)
    for name, split in (("train.bin", "train"), ("val.bin", "held_out")):
        found = shards.split(split)
        tokens = np.concatenate([found.document(number) for number in range(found.num_documents)])
        tokens.astype("<u2").tofile(place / name)
    (place / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": VOCABULARY}))


def train_nanogpt(options: argparse.Namespace, folder: Path, steps: int) -> dict[str, Any]:
    preset = shape_of(options.preset)
    windows = options.batch_tokens // WINDOW_TOKENS
    at_once = math.gcd(windows, max(1, options.micro_batch_tokens // WINDOW_TOKENS))
    settings = {
        "out_dir": str(folder / "nanogpt"), "dataset": DATASET, "device": "cpu", "compile": options.compile,
        "eval_interval": steps, "eval_iters": 1, "log_interval": 1, "batch_size": at_once,
        "gradient_accumulation_steps": windows // at_once, "block_size": WINDOW_TOKENS, "n_layer": preset.layers,
        "n_head": preset.heads, "n_embd": preset.width, "dropout": 0.0, "learning_rate": NANOGPT_RATE,
        "min_lr": NANOGPT_RATE / 10, "beta2": NANOGPT_BETA2, "max_iters": steps, "lr_decay_iters": steps,
        "warmup_iters": max(10, round(WARMUP_SHARE * steps)), "dtype": "float32",
    }  # fmt: skip
    command = [sys.executable, "train.py", *(f"--{name}={value}" for name, value in settings.items())]
    started = time.monotonic()
    done = subprocess.run(command, cwd=options.nanogpt, stdout=subprocess.PIPE, text=True, check=True)
    milliseconds = [float(each) for each in TOLD.findall(done.stdout)]
    # The first step and the last hold an evaluation; it lets the first few settle as well.
    seconds = statistics.median(milliseconds[SETTLING_STEPS:-1]) / 1000
    return {"tokens_per_second": options.batch_tokens / seconds, "seconds": time.monotonic() - started}


def held_out_windows(folder: Path) -> Any:
    """Windows of held-out documents, each within one: [windows, WINDOW_TOKENS + 1]."""
    from sartor.data.token_shards.reader import TokenShards

    split = TokenShards.open(folder / "run" / "tokens" / "0").split("held_out")
    size = WINDOW_TOKENS + 1
    found = [
        document[start : start + size]
        for document in (split.document(number) for number in range(split.num_documents))
        for start in range(0, len(document) - size, size)
    ]
    chosen = np.linspace(0, len(found) - 1, min(EVALUATED_WINDOWS, len(found))).round().astype(int)
    return np.stack([found[place] for place in chosen]).astype(np.int64)


def sartor_loss(folder: Path, windows: Any) -> float:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder / "run" / "model", dtype=torch.float32)
    with torch.inference_mode():
        losses = [float(model(row[None], labels=row[None]).loss) for row in torch.from_numpy(windows)]
    return statistics.fmean(losses)


def nanogpt_loss(options: argparse.Namespace, folder: Path, windows: Any) -> float:
    import torch

    sys.path.insert(0, str(options.nanogpt))
    from model import GPT, GPTConfig  # type: ignore[import-not-found]

    saved = torch.load(folder / "nanogpt" / "ckpt.pt", map_location="cpu", weights_only=True)
    model = GPT(GPTConfig(**saved["model_args"]))
    model.load_state_dict({name.removeprefix("_orig_mod."): value for name, value in saved["model"].items()})
    model.eval()
    with torch.inference_mode():
        losses = [float(model(row[None, :-1], row[None, 1:])[1]) for row in torch.from_numpy(windows)]
    return statistics.fmean(losses)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nanogpt", type=Path, required=True, help="a checkout of nanoGPT")
    parser.add_argument("--preset", default="3m")
    parser.add_argument("--tokens", default="2m")
    parser.add_argument("--batch-tokens", type=int, default=8192)
    parser.add_argument("--micro-batch-tokens", type=int, default=8192)
    parser.add_argument("--compile", action="store_true", help="let nanoGPT compile its model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="keep the runs here")
    options = parser.parse_args()
    options.nanogpt = options.nanogpt.resolve()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.out or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        texts_file(folder)
        sartor = train_sartor(options, folder)
        write_data(options, folder)
        nanogpt = train_nanogpt(options, folder, sartor["steps"])
        windows = held_out_windows(folder)
        losses = {"sartor": sartor_loss(folder, windows), "nanogpt": nanogpt_loss(options, folder, windows)}
    peak, needed = matrix_product_peak(), shape_of(options.preset).flops_per_token(VOCABULARY, WINDOW_TOKENS)
    for name, found in (("sartor", sartor), ("nanogpt", nanogpt)):
        speed = found["tokens_per_second"]
        print(
            f"{name:<8} {speed:8.0f} tokens/s  {speed * needed / peak:5.1%} of the peak  "
            f"{found['seconds']:6.0f} s  held-out loss {losses[name]:.4f} nats a token"
        )
    ratio = sartor["tokens_per_second"] / nanogpt["tokens_per_second"]
    print(f"ratio    {ratio:.2f}x tokens/s; {sartor['steps']} steps of {options.batch_tokens} tokens each")


if __name__ == "__main__":
    main()
