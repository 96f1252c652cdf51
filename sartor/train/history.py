"""What a training run measured step by step, read from its folder; needs no torch.

A record of metrics.jsonl has `step` and whatever the method measured; nothing here knows all of the names. What
timing.jsonl says of the same step is put beside it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sartor.base.configuration import load_yaml
from sartor.base.errors import DataError
from sartor.base.metrics import read_metrics
from sartor.reporting.figures import number

Series = list[tuple[int, float]]
ALIGNMENT = ("reward", "dpo", "ppo", "grpo")
OUTCOMES = {"reward": "dev_accuracy", "dpo": "dev_accuracy", "ppo": "dev_reward", "grpo": "dev_reward"}


@dataclass(frozen=True)
class History:
    """`before` holds the held-out figures of the untrained model as far as they are known, and `dev_loss_before` is its
    loss; `best_step` is the step whose weights were kept (None: not known), `planned_steps` how many steps there were
    to be, `kind` the verb that made the run."""

    records: Sequence[Mapping[str, Any]]
    dev_loss_before: float | None = None
    best_step: int | None = None
    planned_steps: int | None = None
    stopped_early: bool = False
    finished: bool = True
    result: Mapping[str, Any] = field(default_factory=dict)
    kind: str = "finetune"
    before: Mapping[str, float] = field(default_factory=dict)

    @property
    def outcome_name(self) -> str:
        """The held-out figure that a run of this kind is judged by first."""
        return OUTCOMES.get(self.kind, "dev_loss")

    @property
    def outcome(self) -> float | None:
        """That figure for the weights that were kept."""
        return self.kept(self.outcome_name)

    def kept(self, name: str) -> float | None:
        """A held-out figure as the result tells it (of answers, on draws that chose nothing), else at `best_step`."""
        told = number(self.result.get(name))
        return dict(self.series(name)).get(self.best_step or 0) if told is None else told

    @property
    def aligns(self) -> bool:
        return self.kind in ALIGNMENT

    @property
    def samples(self) -> bool:
        """Whether it learns from answers that it samples itself, so that no loss tells how it goes."""
        return self.outcome_name == "dev_reward"

    @property
    def steps(self) -> int:
        return int(self.records[-1]["step"]) if self.records else 0

    def names(self) -> list[str]:
        """Every metric that was a number at least once, in the order of their first appearance."""
        return list(dict.fromkeys(name for record in self.records for name, value in record.items() if _is_real(value)))

    def series(self, name: str) -> Series:
        """(step, value) wherever the metric was measured and finite."""
        return [(int(record["step"]), float(record[name])) for record in self.records if _is_real(record.get(name))]

    @cached_property
    def train_loss(self) -> Series:
        """The loss of training rows, a mean over neighbouring steps weighted by their trained tokens."""
        return self.smoothed("loss", weight="trained_tokens")

    def smoothed(self, name: str, weight: str | None = None) -> Series:
        """The mean of a metric over neighbouring steps, weighted by another one where that was measured.

        The window reaches a twentieth of the run to either side, from 2 up to 25 steps.
        """
        points = self.series(name)
        found = {int(record["step"]): number(record.get(weight)) or 1.0 for record in self.records} if weight else {}
        weights = [found.get(step, 1.0) for step, _ in points]
        reach = min(25, max(2, len(points) // 20))
        smoothed = []
        for place, (step, _) in enumerate(points):
            near = range(max(0, place - reach), min(len(points), place + reach + 1))
            total = sum(weights[each] for each in near)
            smoothed.append((step, sum(weights[each] * points[each][1] for each in near) / total))
        return smoothed

    @cached_property
    def dev_loss(self) -> Series:
        return self.series("dev_loss")

    @property
    def best_value(self) -> float | None:
        """The held-out loss at `best_step`."""
        return dict(self.dev_loss).get(self.best_step or 0)


def read_history(run: Path) -> History:
    """The history in a run folder; what the run has not written yet is simply absent. DataError where a file is not
    what it should be."""
    path = run / "metrics.jsonl"
    try:
        records = read_metrics(path)
        timing = {record["step"]: record for record in read_metrics(run / "timing.jsonl")}
    except (KeyError, TypeError) as error:
        raise DataError(f"cannot be read: {error}", where=str(path), hint="restore it from a copy") from None
    if any(not isinstance(record, dict) or not isinstance(record.get("step"), int) for record in records):
        raise DataError("a record without a step", where=str(path), hint="restore it from a copy")
    records = [{**timing.get(record["step"], {}), **record} for record in records]
    plan, result = read_record(run / "plan.json"), read_record(run / "result.json")
    best = number(result.get("best_step"))
    before = _before(plan, result)
    planned = number(plan.get("num_steps"))
    kind = str(read_record(run / "environment.json").get("run") or "finetune")
    return History(
        records=records,
        dev_loss_before=before.get("dev_loss"),
        best_step=_best_step(run, records, kind) if best is None else int(best),
        planned_steps=None if planned is None else int(planned),
        stopped_early=bool(result.get("stopped_early")),
        finished=bool(result),
        result=result,
        kind=kind,
        before=before,
    )


def read_record(path: Path) -> dict[str, Any]:
    """A JSON object from a run folder; empty where there is no such file."""
    try:
        value = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise DataError(f"not readable as JSON: {error}", where=str(path), hint="restore it from a copy") from None
    if not isinstance(value, dict):
        raise DataError("is not a JSON object", where=str(path), hint="restore it from a copy")
    return value


def read_settings(run: Path) -> dict[str, Any]:
    """The settings of a run as they were written; UsageError when there are none."""
    return load_yaml(run / "config.yaml").values


def _before(plan: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, float]:
    """The held-out figures of the untrained model: plan.json has them under `before` (older runs: the loss alone), and
    result.json under `…_before`."""
    stored = plan.get("before")
    told = {name.removesuffix("_before"): value for name, value in result.items() if name.endswith("_before")}
    planned = stored if isinstance(stored, dict) else {"dev_loss": plan.get("dev_loss")}
    figures = ((name, number(value)) for name, value in (*told.items(), *planned.items()))
    return {name: value for name, value in figures if value is not None}


def _best_step(run: Path, records: Sequence[Mapping[str, Any]], kind: str) -> int | None:
    """The best so far of a run that has not ended, as the loop decides it: by its reward or score if it goes by that,
    of equal ones by the lower held-out loss; else by that loss. Of equals it is the earlier."""
    if not records:
        return None
    by_score = read_settings(run).get("best_by") == "score"
    by_reward = OUTCOMES.get(kind) == "dev_reward"
    name, sign = ("dev_reward", -1) if by_reward else ("dev_score", -1) if by_score else ("dev_loss", 1)
    found = [
        (sign * float(each[name]), number(each.get("dev_loss")) or 0.0, int(each["step"]))
        for each in records
        if _is_real(each.get(name))
    ]
    return min(found)[-1] if found else None


def _is_real(value: Any) -> bool:
    return not isinstance(value, bool) and number(value) is not None
