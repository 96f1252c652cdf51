"""Where every document went: for each step how many came, how many were kept, and why the others were dropped.

Counts of shards add up to counts of the whole; at every level what came in is what was kept, dropped or in error.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sartor.base.errors import SartorError


@dataclass
class StepCounts:
    """Of one step. `dropped` counts documents by reason, `dropped_bytes` is of their texts, `edits` is what the step
    says that it did."""

    documents: int = 0
    text_bytes: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    dropped_bytes: int = 0
    edits: Counter[str] = field(default_factory=Counter)

    @property
    def kept(self) -> int:
        return self.documents - self.dropped.total()

    def add(self, other: "StepCounts") -> None:
        self.documents += other.documents
        self.text_bytes += other.text_bytes
        self.dropped_bytes += other.dropped_bytes
        self.dropped.update(other.dropped)
        self.edits.update(other.edits)


@dataclass
class Ledger:
    """The account of one phase, of a shard or of all: `given` documents came in, `errors` of them could not be read,
    the others went through `steps` in order, and `kept` were written."""

    given: int = 0
    errors: int = 0
    kept: int = 0
    steps: dict[str, StepCounts] = field(default_factory=dict)

    @property
    def dropped(self) -> int:
        return sum(step.dropped.total() for step in self.steps.values())

    def add(self, other: "Ledger") -> None:
        self.given += other.given
        self.errors += other.errors
        self.kept += other.kept
        for name, counts in other.steps.items():
            self.steps.setdefault(name, StepCounts()).add(counts)

    def check(self, where: str) -> None:
        """SartorError, saying after which step, when documents went missing or became more."""
        arrived, place = self.given - self.errors, "reading"
        for name, counts in self.steps.items():
            if counts.documents != arrived:
                raise _missing(arrived - counts.documents, f"between {place} and {name}", where)
            arrived, place = counts.kept, name
        if self.kept != arrived:
            raise _missing(arrived - self.kept, f"between {place} and writing", where)

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "steps": {name: dict(vars(counts)) for name, counts in self.steps.items()}}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Ledger":
        steps = {
            name: StepCounts(**{**counts, "dropped": Counter(counts["dropped"]), "edits": Counter(counts["edits"])})
            for name, counts in values["steps"].items()
        }
        return cls(values["given"], values["errors"], values["kept"], steps)


def total(ledgers: Iterable[Ledger], steps: Sequence[str]) -> Ledger:
    """The sum, with `steps` in their order even where no shard had a document."""
    whole = Ledger(steps={name: StepCounts() for name in steps})
    for ledger in ledgers:
        whole.add(ledger)
    return whole


def _missing(difference: int, place: str, where: str) -> SartorError:
    what = f"{abs(difference)} documents {'went missing' if difference > 0 else 'too many'} {place}"
    return SartorError(what, where=where, hint="this is a bug in Sartor: please report it; nothing was published")
