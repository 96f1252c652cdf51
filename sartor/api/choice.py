"""`sartor choose` as a function."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from sartor.api.configured import Place, configured
from sartor.api.model import Model, open_model
from sartor.api.settings import ChooseSettings
from sartor.choosing import choose as choosing
from sartor.choosing.choose import ChooseConfig, Outcome


@dataclass(frozen=True)
class Choice:
    """A measured choice: what choice.json says, and the ways to look at it and to use it.

    out: the run folder. data: choice.json as a dictionary; the properties below are its main parts.
    """

    out: Path
    data: dict[str, Any]

    @property
    def verdict(self) -> str:
        """`decided`, `tie` or `undecided`."""
        return str(self.data["verdict"])

    @property
    def path(self) -> str | None:
        """The name of the chosen path; None where none is within the limits."""
        return self.data["choice"]

    @property
    def why(self) -> str:
        """The reason, with scores and intervals."""
        return str(self.data["why"])

    @property
    def would_change(self) -> list[str]:
        """What would give another choice."""
        return list(self.data["would_change"])

    @property
    def scores(self) -> dict[str, float | None]:
        """The score of each path, from 0 to 1; None where no row could be scored."""
        return {path["name"]: path["score"] for path in self.data["paths"]}

    @property
    def report(self) -> Path:
        """The report, one page that needs nothing else."""
        return self.out / "report.html"

    def open(self, path: str | None = None) -> Model:
        """The chosen path, or another one, ready to be asked. DataError where none was chosen and none is named."""
        return open_model(self.out, path)

    def __str__(self) -> str:
        chosen = f", {self.path}" if self.path else ""
        return f"{self.verdict}{chosen}: {self.why}"

    def _repr_markdown_(self) -> str:
        """What a notebook shows."""
        return (self.out / "report.md").read_text(encoding="utf-8")


def choose(task: Place, *, out: Place, **settings: Unpack[ChooseSettings]) -> Choice:
    """Measure the paths on a task, decide, and write the report into `out`; again, it goes on where it stopped.

    Args:
        task: a task folder (`sartor.write_task` makes one from rows).
        out: the run folder.
        settings: as `sartor choose --help` explains them.

    Raises:
        UsageError: for a setting that is wrong; DataError for rows that are.
    """
    return _choice(choosing.run(configured("choose", ChooseConfig, {"task": task, "out": out, **settings})))


def rescore(run: Place) -> Choice:
    """Decide again from the answers of a finished run, with the task's present scorer and limits."""
    return _choice(choosing.rescore(Path(run)))


def _choice(outcome: Outcome) -> Choice:
    return Choice(outcome.out, outcome.choice)
