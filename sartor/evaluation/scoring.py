"""What replies are worth, by any scorer: those that compare texts, and the judge, which asks a language model."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sartor.data.records import Conversation, Row
from sartor.data.scorers import Scorer
from sartor.data.thinking import scored_text
from sartor.evaluation.judge import WORTH, Judged, open_judge


@dataclass(frozen=True)
class Scored:
    """`score` is in [0, 1], or None where nothing could be said; then `error` says why. `judged` is what the judge said
    (None: no judge was asked)."""

    score: float | None
    error: str | None = None
    judged: dict[str, Any] | None = None


def score_replies(scorer: Scorer, rows: Sequence[Row], replies: Sequence[str], label: str) -> list[Scored]:
    """The worth of each reply to its row, of which thinking aloud is no part. `label` names the judge's progress."""
    texts = [scored_text(reply, row.answers) for row, reply in zip(rows, replies, strict=True)]
    if scorer.judge is None:
        return [Scored(scorer.score(text, row.answers)) for row, text in zip(rows, texts, strict=True)]
    if not texts:
        return []
    judge = open_judge(scorer.judge, scorer.judgements)
    cases = [(as_asked(row.messages), row.answers, text) for row, text in zip(rows, texts, strict=True)]
    return [_scored(each) for each in judge.check(cases, f"judging {label}")]


def as_asked(messages: Conversation) -> str:
    """What a judge reads of a question: the text of a single turn, all turns of a conversation with who spoke."""
    if len(messages) == 1:
        return messages[0]["content"]
    return "\n\n".join(f"{message['role']}: {message['content']}" for message in messages)


def _scored(judged: Judged) -> Scored:
    score = None if judged.verdict is None else WORTH[judged.verdict]
    return Scored(score, judged.error, {key: value for key, value in asdict(judged).items() if key != "error"})
