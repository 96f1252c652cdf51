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


@dataclass(frozen=True)
class History:
    """`dev_loss_before` is the held-out loss of the untrained model, `best_step` the step whose weights were kept
    (None: not known), `planned_steps` how many steps there were to be."""

    records: Sequence[Mapping[str, Any]]
    dev_loss_before: float | None = None
    best_step: int | None = None
    planned_steps: int | None = None
    stopped_early: bool = False
    finished: bool = True
    result: Mapping[str, Any] = field(default_factory=dict)

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
        """The loss of training rows, a mean over neighbouring steps weighted by their trained tokens.

        The window reaches a twentieth of the run to either side, from 2 up to 25 steps.
        """
        points = self.series("loss")
        tokens = {int(record["step"]): number(record.get("trained_tokens")) or 1.0 for record in self.records}
        reach = min(25, max(2, len(points) // 20))
        smoothed = []
        for place, (step, _) in enumerate(points):
            near = points[max(0, place - reach) : place + reach + 1]
            total = sum(tokens[each] for each, _ in near)
            smoothed.append((step, sum(tokens[each] * value for each, value in near) / total))
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
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"cannot be read: {error}", where=str(path), hint="restore it from a copy") from None
    if any(not isinstance(record, dict) or not isinstance(record.get("step"), int) for record in records):
        raise DataError("a record without a step", where=str(path), hint="restore it from a copy")
    records = [{**timing.get(record["step"], {}), **record} for record in records]
    plan, result = read_record(run / "plan.json"), read_record(run / "result.json")
    best = number(result.get("best_step"))
    before = number(plan.get("dev_loss"))
    planned = number(plan.get("num_steps"))
    return History(
        records=records,
        dev_loss_before=number(result.get("dev_loss_before")) if before is None else before,
        best_step=_best_step(run, records) if best is None else int(best),
        planned_steps=None if planned is None else int(planned),
        stopped_early=bool(result.get("stopped_early")),
        finished=bool(result),
        result=result,
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


def _best_step(run: Path, records: Sequence[Mapping[str, Any]]) -> int | None:
    """The best so far of a run that has not ended: by its score if it goes by that, else by its held-out loss."""
    if not records:
        return None
    by_score = read_settings(run).get("best_by") == "score"
    name, sign = ("dev_score", -1) if by_score else ("dev_loss", 1)
    found = [(sign * float(each[name]), int(each["step"])) for each in records if _is_real(each.get(name))]
    return min(found)[1] if found else None


def _is_real(value: Any) -> bool:
    return not isinstance(value, bool) and number(value) is not None
