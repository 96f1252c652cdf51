"""Made-up curves, results and traces of alignment: reward model, DPO, PPO, GRPO; healthy ones, and each ill."""

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sartor.base.run_folder import RunFolder
from sartor.train.traces import Trace, TraceLog

Curve = Callable[[int], float]
EVERY = 20


def settling(step: int, start: float, end: float, pace: float = 60.0) -> float:
    return end + (start - end) * math.exp(-step / pace)


POLICY: dict[str, tuple[Curve, float]] = {  # metric: its course, and the deviation of its noise
    "loss": (lambda s: 0.0, 0.02),
    "reward": (lambda s: settling(s, 0.2, 0.7), 0.05),
    "reward_deviation": (lambda s: settling(s, 0.4, 0.3), 0.03),
    "kl": (lambda s: settling(s, 0.0, 9.0), 0.8),
    "entropy": (lambda s: settling(s, 1.6, 0.9), 0.05),
    "clip_share": (lambda s: 0.08, 0.02),
    "ratio": (lambda s: 1.0, 0.0004),
    "policy_loss": (lambda s: 0.0, 0.01),
    "answer_tokens": (lambda s: settling(s, 70, 80), 6.0),
    "finished_share": (lambda s: settling(s, 0.8, 0.95), 0.05),
    "log_prob_gap": (lambda s: 0.12, 0.03),
    "log_prob_gap_mean": (lambda s: 0.004, 0.0005),
}
VALUE: dict[str, tuple[Curve, float]] = {
    "value_loss": (lambda s: settling(s, 0.5, 0.1), 0.02),
    "explained_variance": (lambda s: settling(s, -0.3, 0.6, 20), 0.1),
    "value_clip_share": (lambda s: 0.03, 0.01),
    "kl_coefficient": (lambda s: 0.05, 0.0),
}
REWARD_MODEL: dict[str, tuple[Curve, float]] = {
    "loss": (lambda s: settling(s, 0.69, 0.5), 0.05),
    "accuracy": (lambda s: settling(s, 0.5, 0.75), 0.1),
    "margin": (lambda s: settling(s, 0.0, 1.2), 0.2),
    "chosen_reward": (lambda s: settling(s, 0.0, 0.7), 0.2),
    "rejected_reward": (lambda s: settling(s, 0.0, -0.5), 0.2),
}
DPO: dict[str, tuple[Curve, float]] = {
    "loss": (lambda s: settling(s, 0.69, 0.5), 0.05),
    "accuracy": (lambda s: settling(s, 0.5, 0.75), 0.1),
    "margin": (lambda s: settling(s, 0.0, 0.8), 0.1),
    "chosen_change": (lambda s: settling(s, 0.0, -1.0), 1.0),
    "rejected_change": (lambda s: settling(s, 0.0, -9.0), 2.0),
}
SHARES = ("accuracy", "finished_share", "clip_share", "value_clip_share")
METRICS = {"reward": REWARD_MODEL, "dpo": DPO, "grpo": POLICY, "ppo": POLICY | VALUE}


def records(kind: str, num_steps: int = 200, seed: int = 0, **changed: Curve) -> list[dict[str, Any]]:
    """One record a step of a healthy run with noise, except for the metrics that are `changed`."""
    chance = random.Random(f"{kind} {seed}")
    made = []
    for step in range(1, num_steps + 1):
        record: dict[str, Any] = {"step": step}
        for name, (course, noise) in METRICS[kind].items():
            value = changed.get(name, course)(step) + chance.gauss(0, noise)
            record[name] = min(1.0, max(0.0, value)) if name in SHARES else value
        record |= {"learning_rate": 1e-4, "gradient_norm": 1.0, "trained_tokens": 100, "row_tokens": 400}
        if step % EVERY == 0:
            record |= held_out(kind, step, chance)
        made.append(record)
    return made


def held_out(kind: str, step: int, chance: random.Random) -> dict[str, float]:
    if kind in ("ppo", "grpo"):
        return {"dev_reward": settling(step, 0.2, 0.68) + chance.gauss(0, 0.005)}
    told = {"dev_loss": settling(step, 0.69, 0.55), "dev_accuracy": settling(step, 0.5, 0.71)}
    changes = {"dev_chosen_change": settling(step, 0, -1), "dev_rejected_change": settling(step, 0, -8)}
    return told | (changes if kind == "dpo" else {})


SETTINGS: dict[str, dict[str, Any]] = {
    "reward": {"prefs": "/data/pairs.jsonl", "base": "org/small-model", "adapter": "lora"},
    "dpo": {"prefs": "/data/pairs.jsonl", "base": "org/small-model", "adapter": "lora", "beta": 0.1},
    "ppo": {"prompts": "/data/prompts.jsonl", "base": "org/small-model", "adapter": "lora", "reward": ["runs/judge"]},
    "grpo": {"task": "/data/sums", "base": "org/small-model", "adapter": "lora", "group_size": 8},
}


def result_of(kind: str, metrics: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """result.json of a run that kept its best held-out weights."""
    measured = [each for each in metrics if "dev_loss" in each or "dev_reward" in each]
    best = min(measured, key=lambda each: each.get("dev_loss", 0) - each.get("dev_reward", 0))
    told: dict[str, Any] = {"steps": metrics[-1]["step"], "best_step": best["step"], "seconds": 125.0}
    for name in ("dev_loss", "dev_accuracy", "dev_reward"):
        if name in best:
            before = {"dev_loss": 0.6931, "dev_accuracy": 0.512, "dev_reward": 0.2}[name]
            told |= {f"{name}_before": before, name: best[name]}
    return {**told, "stopped_early": False, **more}


def trace(step: int, row: int, tokens: list[str], finished: bool = True, values: bool = True) -> Trace:
    """An answer whose figures grow along with it."""
    places = range(len(tokens))
    return Trace(
        step=step, prompt=f"What is {row} + {row}?", tokens=tokens, log_probs=[-0.1 * place for place in places],
        reference_log_probs=[-0.2 * place for place in places],
        advantages=[(place - len(tokens) / 2) / 4 for place in places], rewards=[-0.01 * place for place in places],
        values=[0.1] * len(tokens) if values else None, score=step / 100, finished=finished,
        kl=0.1 * sum(places), where=f"prompts.jsonl:{row}",
    )  # fmt: skip


def alignment_run(
    folder: Path,
    kind: str,
    metrics: list[dict[str, Any]],
    result: dict[str, Any] | None,
    traces: list[Trace] | None = None,
) -> RunFolder:
    """A run folder of `kind` with these contents; `result` None: it has not ended."""
    run = RunFolder.create(folder)
    run.write_text("config.yaml", "".join(f"{key}: {json.dumps(value)}\n" for key, value in SETTINGS[kind].items()))
    run.write_json("environment.json", {"sartor": "0.1.0", "run": kind, "device": "cpu"})
    run.write_json("certificate.json", {"rows": 158})
    run.write_json("plan.json", {"num_steps": len(metrics)})
    with run.metrics() as log:
        for record in metrics:
            log.append(record)
    if traces is not None:
        with TraceLog(run.path) as written:
            written.append(traces)
    if result is not None:
        run.write_json("result.json", result)
    run.close()
    return run
