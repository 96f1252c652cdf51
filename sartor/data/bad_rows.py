"""What happens to a row that cannot be used: stop with an error, or skip it, count it and keep it."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from sartor.base.errors import DataError
from sartor.data.writers import write_jsonl

SKIP_HINT = "or leave such rows out with --on-bad-row skip"


class BadRow(DataError):
    """One row that cannot be used; `place` is `file:line`, `field` the column or key that is wrong."""

    def __init__(self, what: str, *, place: str, field: str | None = None, hint: str | None = None):
        super().__init__(what, where=f"{place}, {field}" if field else place, hint=hint)
        self.place = place
        self.field = field


@dataclass(frozen=True)
class Reject:
    """A skipped row: where it stood, the field and reason, and the row itself as it was read."""

    where: str
    field: str | None
    reason: str
    raw: Any


@dataclass
class BadRows:
    """The policy for bad rows: `stop` raises the BadRow, `skip` keeps it in `rejects`.

    `can_skip` says that the person may choose, so that the error offers it.
    """

    policy: Literal["stop", "skip"] = "stop"
    rejects: list[Reject] = field(default_factory=list)
    can_skip: bool = True

    def handle(self, error: BadRow, raw: Any) -> None:
        if self.policy == "stop":
            if self.can_skip:
                error.hint = f"{error.hint}; {SKIP_HINT}" if error.hint else SKIP_HINT
            raise error
        self.rejects.append(Reject(error.place, error.field, error.what, raw))

    def summary(self) -> str:
        """`3 rows left out: 2 empty answer, 1 …`, or an empty text."""
        if not self.rejects:
            return ""
        reasons = Counter(reject.reason for reject in self.rejects)
        shown = ", ".join(f"{count} × {reason}" for reason, count in reasons.most_common(5))
        more = f", and {len(reasons) - 5} other reasons" if len(reasons) > 5 else ""
        return f"{len(self.rejects)} rows left out: {shown}{more}"

    def write(self, path: Path) -> None:
        """Write the rejects to `path` (rejects.jsonl), whole or not at all."""
        write_jsonl(path, (asdict(reject) for reject in self.rejects))
