"""Rows asked, answers scored, everything kept: the one place where a generator meets a task's rows."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sartor.base.console import progress
from sartor.data.records import Conversation, Row
from sartor.data.scorers import Scorer
from sartor.generation.protocol import Generator, Reply, Sampling


@dataclass(frozen=True)
class Answer:
    """One line of answers/PATH.jsonl: what was asked and said, and what it is worth.

    `score` is None when the row could not be scored; then `error` says why.
    """

    id: str
    question: str
    accepted: list[str]
    text: str
    score: float | None
    finish: str
    seconds: float
    prompt_tokens: int
    completion_tokens: int
    messages: Conversation
    passages: list[dict[str, Any]] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)
    bytes_sent: int = 0
    cost: float | None = 0.0
    seed: int = 0
    model: str = ""
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def answer_rows(
    generator: Generator, rows: Sequence[Row], scorer: Scorer, sampling: Sampling, label: str, model: str = ""
) -> list[Answer]:
    """Ask every row and score what comes back, in the rows' order, with progress under `label`."""
    with progress(label, len(rows)) as bar:
        replies = generator.generate([row.messages for row in rows], sampling, lambda index, reply: bar.advance())
    return [_answer(row, reply, scorer, sampling, model) for row, reply in zip(rows, replies, strict=True)]


def _answer(row: Row, reply: Reply, scorer: Scorer, sampling: Sampling, model: str) -> Answer:
    score = None if reply.finish == "error" else scorer.score(reply.text, row.answers)
    return Answer(
        id=row.id,
        question=row.question,
        accepted=list(row.answers),
        text=reply.text,
        score=score,
        finish=reply.finish,
        seconds=reply.seconds,
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
        messages=list(reply.messages),
        passages=[asdict(passage) for passage in reply.passages],
        hosts=list(reply.hosts),
        bytes_sent=reply.bytes_sent,
        cost=reply.cost,
        seed=sampling.seed,
        model=model,
        error=reply.error,
    )
