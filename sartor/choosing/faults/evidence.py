"""What a run has left that false measurements can be told from, and the form in which one is told."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sartor.choosing.brief import Brief
from sartor.data.records import Conversation

Answers = Sequence[dict[str, Any]]
CountTokens = Callable[[Conversation], int]


@dataclass(frozen=True)
class FalseMeasurement:
    """A reason why a figure is not what it seems. `kind` is its fixed name, `path` whose figure it is (None: of all),
    `what` says what was seen, `hint` what to do, `rows` are the ids of the test rows that show it."""

    kind: str
    path: str | None
    what: str
    hint: str
    rows: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Evidence:
    """`answers` and `facts` (as in measured.json and fitted.json) by path, and `models`: the name of the model behind
    each. `count_tokens` counts a conversation as the local model's own tokenizer and template write it (None: unknown).
    `documents` gives the texts that paths read, `judge_check` is what `sartor judge-check` found of this run."""

    brief: Brief
    answers: Mapping[str, Answers]
    facts: Mapping[str, Mapping[str, Any]]
    models: Mapping[str, str]
    count_tokens: CountTokens | None = None
    documents: Callable[[], Iterator[tuple[str, str]]] = lambda: iter(())
    judge_check: Mapping[str, Any] | None = None


Check = Callable[[Evidence], Iterator[FalseMeasurement]]


def ids(answers: Answers) -> list[str]:
    return [str(answer["id"]) for answer in answers]


def given(answers: Answers) -> list[dict[str, Any]]:
    """The answers that are one: not errors."""
    return [answer for answer in answers if answer["finish"] != "error"]


def of(part: int, whole: int) -> str:
    """`12 of 40 answers (30 %)`."""
    return f"{part:,} of {whole:,} answers ({100 * part / whole:.0f} %)"
