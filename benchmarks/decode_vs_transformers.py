"""Sampling answers: Sartor's engine against transformers' `generate`. Same model, prompts, numbers of tokens, bfloat16.

    python -m benchmarks.decode_vs_transformers [--rows 64 16] [--new-tokens 64] [--base starter]

Prompts are questions of GSM8K's train split in the model's chat template (SARTOR_DATA; without it, questions of the
example task). Both sides sample at temperature 1 from the whole vocabulary and go on past end-of-turn tokens, so that
every row gets the same number of tokens. The peer pads on the left and has its default attention and cache.

The sides take turns, each time in a process of its own that warms up first; figures are medians. `decode` is tokens a
second after every row has its first one, `rollout` counts the prompts' time too; peak memory is the process's peak
resident set.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.finetune_vs_trl import data_folder, gsm8k_rows, last_line

REPEATS = 3
WARM_UP_TOKENS = 4
SIDES = ("sartor", "transformers")


def questions() -> list[str]:
    """What is asked: GSM8K where it is, else the example task."""
    if (data_folder() / "raw" / "gsm8k" / "train.jsonl.gz").exists():
        return [row["question"] for row in gsm8k_rows()]
    import sartor.data

    lines = Path(sartor.data.__file__).with_name("example").joinpath("train.jsonl").read_text().splitlines()
    return [json.loads(line)["question"] for line in lines]


def prompts_of(base: Path, count: int) -> list[list[int]]:
    from sartor.data.chat import ChatFormat
    from sartor.models.hub import load_tokenizer

    chat = ChatFormat(load_tokenizer(base))
    return [chat.prompt([{"role": "user", "content": question}]) for question in questions()[:count]]


def run_sartor(base: Path, prompts: list[list[int]], new_tokens: int) -> tuple[float, float]:
    """Seconds until every row has its first token, and until all are finished."""
    import torch

    from sartor.generation.engine import Engine
    from sartor.generation.protocol import Sampling
    from sartor.models.forward import load_packed

    engine = Engine(load_packed(base, torch.bfloat16), lambda ids: "", set(), 2**30, max_rows=len(prompts))

    def answer(count: int) -> tuple[float, float]:
        begun, first = time.perf_counter(), 0.0
        without_token = {engine.add(prompt, Sampling(count, 1.0, seed=seed)) for seed, prompt in enumerate(prompts)}
        while engine.has_work:
            without_token -= {event.request_id for event in engine.step()}
            first = first or (0.0 if without_token else time.perf_counter() - begun)
        engine.share(())
        return first, time.perf_counter() - begun

    answer(WARM_UP_TOKENS)
    return answer(new_tokens)


def run_transformers(base: Path, prompts: list[list[int]], new_tokens: int) -> tuple[float, float]:
    """As `run_sartor`, for the peer."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])

    def answer(count: int) -> tuple[float, float]:
        marks: list[float] = []

        def mark(_: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            marks.append(time.perf_counter())
            return scores

        begun = time.perf_counter()
        given = dict(input_ids=ids, attention_mask=mask, max_new_tokens=count, min_new_tokens=count, pad_token_id=0)
        model.generate(**given, do_sample=True, temperature=1.0, top_k=0, top_p=1.0, logits_processor=[mark])
        return marks[0] - begun, time.perf_counter() - begun

    torch.manual_seed(0)
    answer(WARM_UP_TOKENS)
    return answer(new_tokens)


def run(side: str, base: str, rows: int, new_tokens: int) -> dict[str, float]:
    from sartor.base.device import peak_rss_bytes
    from sartor.models.hub import resolve

    folder = resolve(base)
    answer = {"sartor": run_sartor, "transformers": run_transformers}[side]
    first, whole = answer(folder, prompts_of(folder, rows), new_tokens)
    return {
        "decode": rows * (new_tokens - 1) / (whole - first),
        "rollout": rows * new_tokens / whole,
        "peak_gb": peak_rss_bytes() / 1e9,
    }


def compare(base: str, rows: int, new_tokens: int) -> None:
    command = [sys.executable, "-m", "benchmarks.decode_vs_transformers", "--base", base]
    command += ["--rows", str(rows), "--new-tokens", str(new_tokens), "--side"]
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for _ in range(REPEATS):
        for side in SIDES:
            found[side].append(last_line([*command, side]))
    medians = {
        side: {name: statistics.median(each[name] for each in runs) for name in runs[0]} for side, runs in found.items()
    }
    for side, figures in medians.items():
        print(table_row(f"{rows} rows, {side}", figures))
    ours, theirs = medians["sartor"], medians["transformers"]
    print(table_row("ratio", {name: ours[name] / theirs[name] for name in ours}))


def table_row(name: str, figures: dict[str, float]) -> str:
    return f"{name:<24} {figures['decode']:10.2f} {figures['rollout']:11.2f} {figures['peak_gb']:8.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[64, 16], help="answers at once")
    parser.add_argument("--new-tokens", type=int, default=64, help="tokens an answer")
    parser.add_argument("--base", default="starter")
    parser.add_argument("--side", choices=SIDES)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(run(options.side, options.base, options.rows[0], options.new_tokens)))
        return
    print(f"{'':<24} {'decode t/s':>10} {'rollout t/s':>11} {'peak GB':>8}", flush=True)
    for rows in options.rows:
        compare(options.base, rows, options.new_tokens)


if __name__ == "__main__":
    main()
