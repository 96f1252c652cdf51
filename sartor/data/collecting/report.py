"""What a collection came to, counted from its journal."""

from collections import Counter
from dataclasses import dataclass, field

from sartor.data.collecting.journal import KEPT, NEW, Journal

MOST_PROBLEMS = 20


@dataclass
class CollectReport:
    """Candidates are documents that were read now, documents that were unchanged or kept, or rejected: the sums agree.

    `kept` documents are of items that could not be reached this time, `problems` says why (the first few). `removed`
    are documents of earlier runs that the sources do not have any more. `left_out` counts what is no candidate.
    """

    found: int = 0
    documents: int = 0
    unchanged: int = 0
    kept: int = 0
    rejected: int = 0
    removed: int = 0
    text_bytes: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Documents in the folder."""
        return self.documents + self.unchanged + self.kept


def count(journal: Journal, removed: int) -> CollectReport:
    """RuntimeError when something found is neither a document nor rejected."""
    report = CollectReport(removed=removed, reasons=dict(journal.reasons().most_common()))
    left_out: Counter[str] = Counter()
    for name, outcome, problem, found, documents, rejected, left in journal.outcomes():
        report.found += found
        report.rejected += rejected
        left_out.update(left)
        if outcome == NEW:
            report.documents += documents
        elif outcome == KEPT:
            report.kept += documents
            if len(report.problems) < MOST_PROBLEMS:
                report.problems.append(f"{name}: {problem}")
        else:
            report.unchanged += documents
    report.left_out = dict(left_out.most_common())
    if report.found != report.total + report.rejected or report.rejected != sum(report.reasons.values()):
        raise RuntimeError(f"the counts do not add up: {report}")
    return report
