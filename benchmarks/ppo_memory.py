"""How much memory PPO's four roles take: policy, value function, reward model and reference on one base, against
LoRA fine-tuning of the same base on the same rows.

    python -m benchmarks.ppo_memory [--batches 2] [--batch-rows 32] [--micro-batch-tokens 2048] [--base starter]

Three runs, each in a process of its own: a reward model learns from 8 short pairs of HH harmless for one step; `sartor
ppo` answers questions of GSM8K and learns from what that model says of the answers; `sartor finetune` learns the very
answers that PPO sampled, so rows of the same lengths, in as many steps of as many rows, as many tokens at once. An
answer that was cut off has one token more there, its end of turn. Everything else is as the commands have it, the
held-out measures and checkpoints included. Data: SARTOR_DATA.

Peak memory is the process's peak resident set from its start to its end, for PPO so with sampling and the reward
model's scoring in it. The bar is 1.5 times fine-tuning's.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.alignment_learning import pairs, write
from benchmarks.finetune_vs_trl import gsm8k_rows, last_line, turns

PAIRS, DEV_PAIRS, DEV_ROWS = 8, 2, 8
BAR = 1.5


def write_rows(folder: Path, prompts: int) -> None:
    """Pairs for the reward model, questions for PPO; held-out rows for all three runs."""
    found = pairs()[: PAIRS + DEV_PAIRS]
    write(folder / "pairs.jsonl", found[:PAIRS])
    write(folder / "pairs-dev.jsonl", found[PAIRS:])
    rows = gsm8k_rows()[: prompts + DEV_ROWS]
    write(folder / "prompts.jsonl", [{"prompt": row["question"]} for row in rows[:prompts]])
    write(folder / "prompts-dev.jsonl", [{"prompt": row["question"]} for row in rows[prompts:]])
    write(folder / "rows-dev.jsonl", [{"messages": turns(row["question"], row["answer"])} for row in rows[prompts:]])


def run_reward(options: argparse.Namespace) -> dict[str, Any]:
    from sartor.recipes.reward import RewardConfig, run

    folder = options.folder
    config = RewardConfig(
        data=str(folder / "pairs.jsonl"),
        dev=str(folder / "pairs-dev.jsonl"),
        out=str(folder / "reward"),
        base=options.base,
        batch_rows=PAIRS,
        evaluations=1,
    )
    return {"steps": run(config).steps}


def ppo_config(options: argparse.Namespace) -> Any:
    from sartor.recipes.ppo import PpoConfig

    folder = options.folder
    return PpoConfig(
        data=str(folder / "prompts.jsonl"),
        dev=str(folder / "prompts-dev.jsonl"),
        out=str(folder / "ppo"),
        base=options.base,
        reward=[str(folder / "reward")],
        batch_rows=options.batch_rows,
        micro_batch_tokens=options.micro_batch_tokens,
        evaluations=1,
        traced_answers=options.batch_rows,
    )


def run_ppo(options: argparse.Namespace) -> dict[str, Any]:
    from sartor.base.device import peak_rss_bytes
    from sartor.recipes.ppo import run

    result = run(ppo_config(options))
    peak_gb = peak_rss_bytes() / 1e9
    return {"steps": result.steps, "peak_gb": peak_gb, "answer_tokens": write_answers(options.folder)}


def write_answers(folder: Path) -> int:
    """Make rows of the answers that PPO sampled; returns how many tokens it learnt from."""
    from sartor.train.traces import TRACES_FILE, read_traces

    asked = [json.loads(line)["prompt"] for line in (folder / "prompts.jsonl").read_text().splitlines()]
    traces = read_traces(folder / "ppo" / TRACES_FILE)
    assert len(traces) == len(asked), "every answer is traced"
    questions = [asked[int(trace.where.rpartition(":")[2]) - 1] for trace in traces]
    answers = ["".join(trace.tokens) for trace in traces]
    write(folder / "rows.jsonl", [{"messages": turns(*row)} for row in zip(questions, answers, strict=True)])
    return sum(len(trace.tokens) for trace in traces)


def run_finetune(options: argparse.Namespace) -> dict[str, Any]:
    from sartor.base.device import peak_rss_bytes
    from sartor.recipes.finetune import FinetuneConfig, run

    folder, ppo = options.folder, ppo_config(options)
    config = FinetuneConfig(
        data=str(folder / "rows.jsonl"),
        dev=str(folder / "rows-dev.jsonl"),
        out=str(folder / "finetune"),
        base=options.base,
        on_bad_row="skip",  # an answer may be empty
        batch_rows=ppo.batch_rows,
        micro_batch_tokens=ppo.micro_batch_tokens,
        learning_rate=ppo.peak_learning_rate,
        epochs=ppo.passes,
        evaluations=1,
    )
    result = run(config)
    peak_gb = peak_rss_bytes() / 1e9
    certificate = json.loads((folder / "finetune" / "certificate.json").read_text())
    return {"steps": result.steps, "peak_gb": peak_gb, "answer_tokens": certificate["trained_tokens"]}


SIDES = {"reward": run_reward, "ppo": run_ppo, "finetune": run_finetune}


def measure(side: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run one side in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.ppo_memory", "--side", side, "--folder", str(folder)]
    command += ["--base", options.base, "--batch-rows", str(options.batch_rows)]
    return last_line([*command, "--micro-batch-tokens", str(options.micro_batch_tokens)])


def compare(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder, options.batches * options.batch_rows)
        found = {side: measure(side, options, folder) for side in SIDES}
    for side in ("ppo", "finetune"):
        figures = found[side]
        print(
            f"{side:<9} {figures['peak_gb']:5.2f} GB peak  {figures['steps']} steps of {options.batch_rows} rows, "
            f"{figures['answer_tokens']:,} tokens learnt an epoch"
        )
    ratio = found["ppo"]["peak_gb"] / found["finetune"]["peak_gb"]
    print(f"ratio     {ratio:.2f}x memory; the bar of {BAR}x is {'kept' if ratio <= BAR else 'missed'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=2, help="how often PPO samples answers and learns from them")
    parser.add_argument("--batch-rows", type=int, default=32, help="answers a batch, and rows of a fine-tuning step")
    parser.add_argument("--micro-batch-tokens", type=int, default=2048, help="tokens computed at once, by both")
    parser.add_argument("--base", default="starter")
    parser.add_argument("--side", choices=tuple(SIDES))
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(SIDES[options.side](options)))
        return
    compare(options)


if __name__ == "__main__":
    main()
