"""Does alignment learn anything? The starter model on real pairs and prompts, three seeds each, held-out figures.

    python -m benchmarks.alignment_learning reward|dpo|ppo|grpo [--seeds 0 1 2] [--out runs/alignment]
    python -m benchmarks.alignment_learning wins [--seeds 0 1 2]      # after reward (seed 0) and dpo

reward, dpo: the pairs of HH harmless (SARTOR_DATA) of at most 256 tokens a side, a quarter held out. wins: how often
the reward model of seed 0 prefers the DPO model's answer to a held-out prompt to the starter's own, both greedy, ties
as half; and among answers whose lengths differ by at most a quarter, since reward models look at length. ppo: short
instructions of dolly, rewarded for answers of about 30 tokens that end by themselves. grpo: sums of two numbers,
rewarded for the right number and for writing nothing but the equation. Runs are kept in --out and not repeated; each
has its curves in report.html.
"""

import argparse
import gzip
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

DATA = Path(os.environ.get("SARTOR_DATA", "../shared/data")) / "raw"
SHORT = "--max-row-tokens 256 --micro-batch-tokens 2048 --evaluations 4"
PROMPTS = 120  # answered by both sides of a comparison
COMMANDS = {
    "reward": f"{SHORT} --patience 4",
    "dpo": f"{SHORT} --epochs 2",
    "ppo": "--reward length:30 0.5*finished --max-new-tokens 64 --batch-rows 32 --passes 2 --epochs 0.5 "
    "--evaluations 4 --evaluation-prompts 128 --unfinished-penalty 0 --learning-rate 3e-4",
    "grpo": r"--reward numeric regex:\d+\s\+\s\d+\s=\s\d+ --max-new-tokens 16 --temperature 0.6 --batch-rows 8 "
    "--answers 8 --epochs 0.5 --evaluations 4 --evaluation-prompts 128 --learning-rate 3e-4",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=[*COMMANDS, "wins"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs/alignment"))
    options = parser.parse_args()
    if options.what == "wins":
        wins(options.out, options.seeds)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    train, dev = rows_of(options.what, options.out)
    results = []
    for seed in options.seeds:
        run = options.out / f"{options.what}-{seed}"
        command = [str(Path(sys.executable).with_name("sartor")), options.what, str(train), "--dev", str(dev)]
        own = ["--base", "starter", "--out", str(run), "--seed", str(seed), *COMMANDS[options.what].split()]
        subprocess.run([*command, *own], check=True)
        results.append(json.loads((run / "result.json").read_text()) | {"seed": seed, "plan": plan_of(run)})
    for result in results:
        print(line(options.what, result))


def plan_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "plan.json").read_text())
    return found


def line(what: str, result: dict[str, Any]) -> str:
    start = f"{what} seed {result['seed']}: {result['steps']} steps, {result['seconds'] / 60:.1f} min; "
    before, quality = result["plan"]["before"], result["quality"]
    if what in ("ppo", "grpo"):
        gained, low, high = result["difference"]
        return start + (
            f"held-out reward {result['dev_reward_before']:.3f} -> {result['dev_reward']:.3f} "
            f"({gained:+.3f} [{low:+.3f}, {high:+.3f}])"
        )
    accuracy = quality["accuracy"]
    found = f"{accuracy:.3f}" if isinstance(accuracy, float) else json.dumps(accuracy)
    return start + (
        f"loss {before['dev_loss']:.3f} -> {result['dev_loss']:.3f}, accuracy {before['dev_accuracy']:.3f} -> {found}"
    )


def wins(folder: Path, seeds: list[int]) -> None:
    """Tell how often the reward model prefers each DPO run's answers to the starter's."""
    from sartor.data.bad_rows import BadRows
    from sartor.data.formats import read_records
    from sartor.data.records import Preference
    from sartor.evaluation.statistics import mean_interval

    rows = read_records(str(folder / "pairs-dev.jsonl"), Preference, None, BadRows("fail")).examples[:PROMPTS]
    prompts = [row.prompt for row in rows]
    base = answers("starter", prompts)
    scored = rewards(folder / "reward-0" / "adapter", prompts, base)
    for seed in seeds:
        own = answers(str(folder / f"dpo-{seed}"), prompts)
        won = [
            0.5 if ours == theirs else float(ours > theirs)
            for ours, theirs in zip(rewards(folder / "reward-0" / "adapter", prompts, own), scored, strict=True)
        ]
        lengths = [(len(ours), len(theirs)) for ours, theirs in zip(own, base, strict=True)]
        alike = [win for win, pair in zip(won, lengths, strict=True) if max(pair) <= 1.25 * min(pair)]
        told = [f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]" for found in map(mean_interval, (won, alike))]
        ours, theirs = (sum(side) / len(side) for side in zip(*lengths, strict=True))
        print(
            f"dpo seed {seed}: preferred for {told[0]} of {len(won)} prompts, {told[1]} of the {len(alike)} whose "
            f"answers are about as long; characters an answer {theirs:.0f} -> {ours:.0f}",
            flush=True,
        )


def answers(model: str, prompts: list[Any]) -> list[str]:
    from sartor.generation.local import LocalModel
    from sartor.generation.protocol import Sampling
    from sartor.models.hub import locate

    replies = LocalModel.open(locate(model)).generate(prompts, Sampling(max_new_tokens=128))
    return [reply.text for reply in replies]


def rewards(folder: Path, prompts: list[Any], texts: list[str]) -> list[float]:
    """What the reward model in `folder` makes of the answers, in its own deviations."""
    from sartor.adapters.reward_store import read_reward_settings
    from sartor.base.device import compute_dtype, device
    from sartor.data.chat import ChatFormat
    from sartor.models.forward import load_packed
    from sartor.models.hub import load_tokenizer, resolve
    from sartor.recipes.rl_model import REWARD_HEAD, ModelReward, RewardRun, add_reward
    from sartor.train.actors import REWARD
    from sartor.train.rewards.protocol import Answered

    settings, scale, base = read_reward_settings(folder)
    model = load_packed(resolve(base), compute_dtype(device()))
    add_reward(model, REWARD, REWARD_HEAD, RewardRun(folder, 1.0, settings, scale))
    judge = ModelReward(model.to(device()).eval(), ChatFormat(load_tokenizer(resolve(base))), scale, 2048)
    answered = [
        Answered(prompt, text, (), 0, True, f"answer {place}")
        for place, (prompt, text) in enumerate(zip(prompts, texts, strict=True), 1)
    ]
    return judge.score(answered)


def rows_of(what: str, folder: Path) -> tuple[Path, Path]:
    """Files of rows to learn from and held out; the same every time."""
    kind = "pairs" if what in ("reward", "dpo") else what
    train, dev = folder / f"{kind}-train.jsonl", folder / f"{kind}-dev.jsonl"
    if not dev.is_file():
        rows = {"pairs": pairs, "ppo": instructions, "grpo": sums}[kind]()
        random.Random(0).shuffle(rows)
        held_out = max(1, min(250, len(rows) // 4))
        write(dev, rows[:held_out])
        write(train, rows[held_out:])
    return train, dev


def pairs() -> list[dict[str, Any]]:
    """Pairs whose sides differ, with no empty turn, short enough; one for each prompt."""
    found: dict[str, dict[str, Any]] = {}
    with gzip.open(DATA / "hh_rlhf_harmless" / "pairs.jsonl.gz", "rt") as lines:
        for text in lines:
            row = json.loads(text)
            sides = (row["chosen"], row["rejected"])
            if max(map(len, sides)) > 900 or sides[0] == sides[1]:  # about 256 tokens with the marks of the turns
                continue
            if any(not part.strip() for side in sides for part in side.split("\n\nAssistant:")[1:]):
                continue
            prompt = os.path.commonprefix(sides)
            found.setdefault(prompt, {"chosen": sides[0], "rejected": sides[1]})
    return list(found.values())


def instructions() -> list[dict[str, Any]]:
    with gzip.open(DATA / "dolly" / "dolly_open_qa.jsonl.gz", "rt") as lines:
        rows = [json.loads(text) for text in lines]
    short = [row["instruction"] for row in rows if not row.get("context") and len(row["instruction"]) < 120]
    return [{"prompt": text} for text in dict.fromkeys(short)][:1024]


def sums() -> list[dict[str, Any]]:
    numbers = [(a, b) for a in range(1, 25) for b in range(1, 25)]
    return [{"question": f"{a} + {b} = ?", "answer": str(a + b)} for a, b in numbers]


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
