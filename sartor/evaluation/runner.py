"""Rows asked, answers scored, everything kept: the one place where a generator meets a task's rows."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sartor.base.console import progress
from sartor.data.records import Conversation, Row
from sartor.data.scorers import Scorer
from sartor.evaluation.scoring import Scored, score_replies
from sartor.generation.protocol import Generator, Reply, Sampling


@dataclass(frozen=True)
class Answer:
    """One line of answers/PATH.jsonl: what was asked and said, and what it is worth.

    `score` is None when the row could not be scored; then `error` says why. `judged` is there where a judge scored.
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
    judged: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if key != "judged" or value is not None}


def answer_rows(
    generator: Generator, rows: Sequence[Row], scorer: Scorer, sampling: Sampling, label: str, model: str = ""
) -> list[Answer]:
    """Ask every row and score what comes back, in the rows' order, with progress under `label`."""
    return score_answers(rows, ask_rows(generator, rows, sampling, label), scorer, sampling, label, model)


def ask_rows(generator: Generator, rows: Sequence[Row], sampling: Sampling, label: str) -> list[Reply]:
    with progress(label, len(rows)) as bar:
        return generator.generate([row.messages for row in rows], sampling, lambda index, reply: bar.advance())


def score_answers(
    rows: Sequence[Row], replies: Sequence[Reply], scorer: Scorer, sampling: Sampling, label: str, model: str = ""
) -> list[Answer]:
    """The replies with what they are worth; one that is an error is unscored."""
    answered = [index for index, reply in enumerate(replies) if reply.finish != "error"]
    texts = [replies[index].text for index in answered]
    scored = dict(zip(answered, score_replies(scorer, [rows[index] for index in answered], texts, label), strict=True))
    return [
        _answer(row, reply, scored.get(index, Scored(None, reply.error)), sampling, model)
        for index, (row, reply) in enumerate(zip(rows, replies, strict=True))
    ]


def _answer(row: Row, reply: Reply, scored: Scored, sampling: Sampling, model: str) -> Answer:
    return Answer(
        id=row.id,
        question=row.question,
        accepted=list(row.answers),
        text=reply.text,
        score=scored.score,
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
        error=scored.error,
        judged=scored.judged,
    )
