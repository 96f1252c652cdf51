"""DPO: Sartor against TRL + PEFT. Same model, pairs, order, tokens, first weights, batch, precision.

    python -m benchmarks.dpo_vs_trl [--steps 4] [--precompute] [--float32] [--base starter]

Pairs of HH harmless (SARTOR_DATA) whose longer side has at most 1,024 tokens (what TRL would otherwise cut off), 4 a
step. LoRA of rank 16 on all linear layers, bfloat16, no checkpointing, the sigmoid loss with beta 0.1, AdamW, constant
rate 1e-4; whatever else TRL can be told is left as it comes.

The reference is the model without the adapter. TRL computes it in every step, or before the first one with
`--precompute`; Sartor always before the first one. Its time is counted on every side: one pass for each pair that is
trained on, so one epoch is what is compared. A step of 4 pairs warms up and is not timed, nor are its pairs' reference
passes. Peak memory is the process's peak resident set; each side runs in a process of its own.

Both sides get the same tokens, rendered once: the prompt up to where the assistant begins to speak, and each answer up
to its end of turn. Left to itself, TRL renders prompt and whole conversation by the chat template, takes as the prompt
what their tokens have in common at the beginning, and trains all that follows, so also the line break that this
template writes behind the end of turn. What is left to differ is rounding: one side packs, the other pads, and Sartor's
reference passes have other rows beside a pair than its steps have. AdamW's first steps are little more than the
gradient's signs, which makes much of that: in bfloat16 margins soon differ, with `--float32` (both sides) they do not.
Losses are compared step by step, and the gradient's norm before the first step.
"""

import argparse
import gzip
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.finetune_vs_trl import (
    ALPHA,
    CLIP_NORM,
    MICRO_BATCH_TOKENS,
    RANK,
    data_folder,
    last_line,
    run_sides,
    write_adapter,
)

PAIRS_A_STEP, LONGEST_ROW_TOKENS, BETA, LEARNING_RATE = 4, 1024, 0.1, 1e-4


def write_pairs(base: Path, count: int, folder: Path) -> None:
    """The first `count` usable pairs as token ids; rows with an empty turn are none."""
    from sartor.data.bad_rows import BadRow
    from sartor.data.chat import ChatFormat
    from sartor.data.pairs import render_pair
    from sartor.data.preferences import read_preference
    from sartor.models.hub import load_tokenizer

    chat, rows = ChatFormat(load_tokenizer(base)), []
    with gzip.open(data_folder() / "raw" / "hh_rlhf_harmless" / "pairs.jsonl.gz", "rt") as lines:
        for number, line in enumerate(lines):
            try:
                preference = read_preference(json.loads(line), f"row {number + 1}")
            except BadRow:
                continue
            pair = render_pair(preference, chat)
            single_turns = len(preference.chosen) == len(preference.rejected) == 1
            if not single_turns or pair.longest > LONGEST_ROW_TOKENS:
                continue
            prompt = len(chat.prompt(preference.prompt))
            rows.append(
                {
                    "prompt_ids": pair.chosen.ids[:prompt],
                    "chosen_ids": pair.chosen.ids[prompt:],
                    "rejected_ids": pair.rejected.ids[prompt:],
                }
            )
            if len(rows) == count:
                break
    assert len(rows) == count, f"there are only {len(rows)} such pairs"
    (folder / "pairs.json").write_text(json.dumps(rows))


def pairs_of(folder: Path) -> list[Any]:
    """The pairs as Sartor trains on them."""
    from sartor.data.chat import Rendered
    from sartor.data.pairs import Pair

    def side(prompt: list[int], answer: list[int]) -> Rendered:
        return Rendered(prompt + answer, [False] * len(prompt) + [True] * len(answer))

    rows = json.loads((folder / "pairs.json").read_text())
    return [
        Pair(side(row["prompt_ids"], row["chosen_ids"]), side(row["prompt_ids"], row["rejected_ids"])) for row in rows
    ]


def run_sartor(options: argparse.Namespace) -> dict[str, Any]:
    from sartor.adapters.store import load_adapter
    from sartor.base.device import peak_rss_bytes
    from sartor.data.pairs import Pair, PairBatch, pair_batches
    from sartor.models.forward import load_packed
    from sartor.models.hub import resolve
    from sartor.recipes.reference import with_reference
    from sartor.train.loop import LoopSettings, evaluation_mode, fit
    from sartor.train.objectives.preference import PreferenceSettings, preference_loss
    from sartor.train.pair_log_probs import pair_log_probs, reference_log_probs

    model = load_packed(resolve(options.base), number_format(options))
    load_adapter(model, options.folder)
    pairs, steps = pairs_of(options.folder), options.steps + 1

    def referenced(some: list[Pair]) -> list[Pair]:
        with evaluation_mode(model):
            return with_reference(some, reference_log_probs(model, some, MICRO_BATCH_TOKENS))

    known = referenced(pairs[:PAIRS_A_STEP])
    began = time.perf_counter()
    known += referenced(pairs[PAIRS_A_STEP:])
    reference_seconds = time.perf_counter() - began
    marks: list[float] = []

    class Source:
        def step(self, step: int) -> list[PairBatch]:
            marks.append(time.perf_counter())
            return pair_batches(known[step * PAIRS_A_STEP : (step + 1) * PAIRS_A_STEP], MICRO_BATCH_TOKENS)

    def loss_of(model: Any, batch: PairBatch, num_pairs: int) -> Any:
        return preference_loss(pair_log_probs(model, batch), num_pairs, PreferenceSettings("sigmoid", BETA))

    settings = LoopSettings(steps, LEARNING_RATE, schedule="constant", clip_norm=CLIP_NORM, evaluate_every=10**6)
    history = fit(model, Source(), loss_of, settings).history
    training_seconds = time.perf_counter() - marks[1]
    return {
        **rates(options.steps, training_seconds, reference_seconds),
        "peak_gb": peak_rss_bytes() / 1e9,
        "losses": [record["loss"] for record in history],
        "margins": [record["margin"] for record in history],
        "norms": [record["gradient_norm"] for record in history],
    }


def number_format(options: argparse.Namespace) -> Any:
    import torch

    return torch.float32 if options.float32 else torch.bfloat16


def run_trl(options: argparse.Namespace) -> dict[str, Any]:
    from transformers import AutoModelForCausalLM

    from benchmarks.trl_peer import adapter_config, preference_trainer, start_from, step_marks
    from sartor.adapters.store import WEIGHTS_FILE
    from sartor.base.device import peak_rss_bytes
    from sartor.base.tensor_file import read_tensors
    from sartor.models.hub import load_tokenizer, resolve

    base, folder, steps = resolve(options.base), options.folder, options.steps + 1
    marks: list[float] = []
    settings = {
        "per_device_train_batch_size": PAIRS_A_STEP,
        "max_steps": steps,
        "learning_rate": LEARNING_RATE,
        "logging_steps": 1,
        "loss_type": ["sigmoid"],
        "beta": BETA,
        "max_length": LONGEST_ROW_TOKENS,
        "precompute_ref_log_probs": options.precompute,
        "bf16": not options.float32,
        "callbacks": [step_marks(marks)],
    }
    model = AutoModelForCausalLM.from_pretrained(base, dtype=number_format(options))
    rows = json.loads((folder / "pairs.json").read_text())
    adapter = adapter_config(RANK, ALPHA)
    made, reference_seconds = preference_trainer(model, rows, load_tokenizer(base), adapter, folder / "trl", settings)
    start_from(made.model, read_tensors(folder / WEIGHTS_FILE))
    made.train()
    training_seconds = time.perf_counter() - marks[1]
    history = [record for record in made.state.log_history if "loss" in record]
    return {
        **rates(options.steps, training_seconds, sum(reference_seconds[1:])),
        "peak_gb": peak_rss_bytes() / 1e9,
        "losses": [record["loss"] for record in history],
        "margins": [record["rewards/margins"] for record in history],
        "norms": [float(record["grad_norm"]) for record in history],
    }


def rates(steps: int, training_seconds: float, reference_seconds: float) -> dict[str, float]:
    """`reference_seconds` are those outside the steps."""
    seconds = training_seconds + reference_seconds
    return {"pairs_per_second": steps * PAIRS_A_STEP / seconds, "reference_share": reference_seconds / seconds}


def measure(side: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run one side in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.dpo_vs_trl", "--side", side, "--folder", str(folder)]
    command += ["--steps", str(options.steps), "--base", options.base]
    return last_line(command + ["--precompute"] * options.precompute + ["--float32"] * options.float32)


def compare(options: argparse.Namespace) -> None:
    from sartor.models.hub import resolve

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_pairs(resolve(options.base), PAIRS_A_STEP * (options.steps + 1), folder)
        write_adapter(resolve(options.base), folder)
        found = {side: measure(side, options, folder) for side in ("sartor", "trl")}
    for side, figures in found.items():
        print(
            f"{side:<7} {figures['pairs_per_second']:6.3f} pairs/s  {figures['peak_gb']:6.2f} GB peak  "
            f"reference beforehand {figures['reference_share']:.0%} of the time  "
            f"losses {listed(figures['losses'])}  margins {listed(figures['margins'])}  "
            f"gradient norms {listed(figures['norms'])}"
        )
    ours, theirs = found["sartor"], found["trl"]
    losses = max(abs(a - b) / b for a, b in zip(ours["losses"], theirs["losses"], strict=True))
    norm = abs(ours["norms"][0] / theirs["norms"][0] - 1)
    print(
        f"ratio   {ours['pairs_per_second'] / theirs['pairs_per_second']:.2f}x pairs/s, "
        f"{ours['peak_gb'] / theirs['peak_gb']:.2f}x memory, losses differ by at most {losses:.2%}, "
        f"the first gradient's norm by {norm:.2%}"
    )


def listed(figures: list[float]) -> str:
    return ", ".join(f"{figure:.4f}" for figure in figures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4, help="optimizer steps that are timed, after one that is not")
    parser.add_argument("--precompute", action="store_true", help="let TRL, too, compute its reference beforehand")
    parser.add_argument("--float32", action="store_true", help="compute in float32: slower, with little rounding")
    parser.add_argument("--base", default="starter")
    run_sides(parser, {"sartor": run_sartor, "trl": run_trl}, compare)


if __name__ == "__main__":
    main()
