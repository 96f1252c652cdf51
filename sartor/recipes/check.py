"""The self-test on the user's own model and rows: training computes what it should, and what is served is what was
trained. Every comparison says what it compares, the largest difference it found and what is allowed, and why."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from sartor.recipes.supervised import SupervisedConfig


class CheckConfig(SupervisedConfig):
    """Settings of `sartor check`: those of the run whose computation is checked."""

    check_tokens: int = Field(768, ge=64, description="tokens of the rows that are compared: more take longer")


@dataclass(frozen=True)
class Finding:
    """One comparison. `difference` is None where there was nothing to compare; `why` says why, or why the tolerance
    is what it is."""

    check: str
    difference: float | None
    tolerance: float
    why: str

    @property
    def passed(self) -> bool:
        return self.difference is None or self.difference <= self.tolerance  # NaN fails


@dataclass(frozen=True)
class CheckReport:
    """All findings, the rows that were compared, and what was compared: a trained model or one as it begins."""

    findings: tuple[Finding, ...]
    rows: tuple[str, ...]
    tokens: int
    subject: str

    @property
    def failed(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if not finding.passed)

    def as_dict(self) -> dict[str, Any]:
        found = asdict(self)
        for raw, finding in zip(found["findings"], self.findings, strict=True):
            raw["passed"] = finding.passed
        return found | {"passed": not self.failed}


def run(config: CheckConfig, trained: Path | None = None) -> CheckReport:
    """Check the computation of a run with these settings; with `trained`, the folder of its adapter or model, of what
    that run has learnt."""
    from sartor.recipes.checking import check

    return check(config, trained)
