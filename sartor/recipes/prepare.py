"""`sartor prepare`: a folder of documents cleaned step by step, every document accounted for."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sartor.base.errors import UsageError
from sartor.base.machine import num_threads
from sartor.recipes.prepare_settings import PrepareConfig


@dataclass(frozen=True)
class PrepareResult:
    """`record` is what `report.json` holds. `seconds` are of this command; by step, of all its processes together."""

    out: Path
    record: dict[str, Any]
    seconds: float
    seconds_by_step: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        return {**self.record, "out": str(self.out), "seconds": self.seconds, "seconds_by_step": self.seconds_by_step}


def run(config: PrepareConfig) -> PrepareResult:
    """Clean, or go on cleaning. Errors as of `prepare_documents`."""
    from sartor.data.pipeline.engine import Engine
    from sartor.data.pipeline.run import finish, prepare_documents
    from sartor.recipes.prepare_report import record_of, write_report
    from sartor.recipes.prepare_steps import looked_for, plan_of

    source, out = folders(config)
    started = time.monotonic()
    plan = plan_of(config, source, out)
    engine = Engine(config.engine, num_processes(config))
    account = prepare_documents(plan, out, engine, config.on_bad_shard)
    record = record_of(account, plan.settings, looked_for(plan.before.steps()))
    write_report(record, out)
    finish(out)
    return PrepareResult(out, record, time.monotonic() - started, dict(account.seconds))


def folders(config: PrepareConfig) -> tuple[Path, Path]:
    """Where documents come from and go to; UsageError when the one lies in the other."""
    source, out = Path(config.documents), Path(config.out)
    inner, outer = source.resolve(), out.resolve()
    if inner.is_relative_to(outer) or outer.is_relative_to(inner / "documents"):
        hint = "choose a folder of its own for --out"
        raise UsageError("the prepared documents would lie among those they are made of", where=str(out), hint=hint)
    return source, out


def num_processes(config: PrepareConfig) -> int:
    """Processes that work at once, one a core that this one may use unless told otherwise."""
    return config.processes or num_threads()
