"""Made-up histories of training: what a run folder holds of an overfitted, an underfitted, a good run."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sartor.base.run_folder import RunFolder

EVERY = 10
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"


def falling(step: float, start: float = 3.0, floor: float = 1.0, pace: float = 30.0) -> float:
    return floor + (start - floor) * math.exp(-step / pace)


def records(
    num_steps: int, train: Callable[[int], float], dev: Callable[[int], float], **more: Callable[[int], float]
) -> list[dict[str, Any]]:
    """One record a step, evaluated every EVERY steps."""
    made = []
    for step in range(1, num_steps + 1):
        record: dict[str, Any] = {
            "step": step, "loss": train(step), "learning_rate": 1e-3, "gradient_norm": 1.0, "trained_tokens": 100,
            "row_tokens": 400, **{name: measure(step) for name, measure in more.items()},
        }  # fmt: skip
        if step % EVERY == 0:
            record["dev_loss"] = dev(step)
        made.append(record)
    return made


OVERFITTED = records(100, lambda s: falling(s, floor=0.2), lambda s: falling(s) + max(0, s - 40) * 0.01)
LEVELLED = records(200, lambda s: falling(s, floor=0.9), lambda s: falling(s))
STILL_LEARNING = records(50, lambda s: falling(s, pace=60), lambda s: falling(s, pace=60))
UNSTABLE = records(100, lambda s: falling(s) + max(0, s - 50) * 0.05, lambda s: falling(s) + max(0, s - 50) * 0.05)
NOTHING_LEARNT = records(100, lambda s: 3.0, lambda s: 3.0)
FAR_APART = records(200, lambda s: falling(s, floor=0.01), lambda s: falling(s))
SHORT = records(20, falling, falling)

SETTINGS = {"data": "/data/ships.jsonl", "base": "org/small-model", "adapter": "lora", "learning_rate": 0.001}
CERTIFICATE = {"rows": 158, "trained_tokens": 1643, "shown": ["user: where?\nassistant: ⟦north⟧⟦<end>⟧ done", HOSTILE]}


def run_folder(
    folder: Path,
    metrics: list[dict[str, Any]],
    result: dict[str, Any] | None,
    settings: dict[str, Any] | None = None,
    plan: dict[str, Any] | None = None,
) -> RunFolder:
    """A run folder with these contents; `result` None: it has not ended."""
    run = RunFolder.create(folder)
    given = SETTINGS if settings is None else settings
    run.write_text("config.yaml", "".join(f"{key}: {json.dumps(value)}\n" for key, value in given.items()))
    run.write_json("environment.json", {"sartor": "0.1.0", "run": "finetune", "device": "cpu"})
    run.write_json("certificate.json", CERTIFICATE)
    run.write_json("plan.json", {"num_steps": len(metrics), "dev_loss": 3.0} if plan is None else plan)
    with run.metrics() as log:
        for record in metrics:
            log.append(record)
    if result is not None:
        run.write_json("result.json", result)
    run.close()
    return run


def result_of(metrics: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """result.json of a run that kept its lowest held-out loss."""
    dev_loss, best_step = min((each["dev_loss"], each["step"]) for each in metrics if "dev_loss" in each)
    told = {"steps": metrics[-1]["step"], "best_step": best_step, "dev_loss_before": 3.0, "dev_loss": dev_loss}
    return {**told, "train_loss": 1.0, "stopped_early": False, "seconds": 125.0, **more}
