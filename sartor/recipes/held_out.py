"""What is measured of a model while it trains: the loss of held-out rows and, where a task is given, its own score."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedModel

from sartor.base.errors import DataError, SartorError
from sartor.data.answer_length import answer_tokens
from sartor.data.chat import ChatFormat
from sartor.data.records import Row
from sartor.data.task import Task
from sartor.evaluation.scoring import score_replies
from sartor.generation.local import LocalModel
from sartor.generation.prompted import prompted
from sartor.generation.protocol import Sampling

MOST_QUESTIONS = 64  # enough to see a score move, few enough to ask at every evaluation


@dataclass(frozen=True)
class HeldOutTask:
    """A task's dev questions, answered greedily and scored as the task asks; its test rows are not touched."""

    task: Task
    rows: tuple[Row, ...]
    chat: ChatFormat
    sampling: Sampling

    @staticmethod
    def of(task: Task, chat: ChatFormat, questions: Sequence[Row] | None = None) -> "HeldOutTask":
        """Asks `questions`, or else the first of the task's dev rows; DataError when there are none."""
        rows = task.dev[:MOST_QUESTIONS] if questions is None else tuple(questions)
        if not rows:
            where, hint = str(task.folder), "add dev.jsonl or train.jsonl"
            raise DataError("holds no dev rows to score by", where=where, hint=hint)
        length = answer_tokens([*task.train, *task.dev], chat)
        return HeldOutTask(task, rows, chat, Sampling(max_new_tokens=length))

    def score(self, model: PreTrainedModel) -> float:
        """Mean score of the answers, 0 to 1."""
        asked = [prompted(row.messages, self.task.instruction or None) for row in self.rows]
        replies = LocalModel(model, self.chat).generate(asked, self.sampling)
        failed = next((reply for reply in replies if reply.error is not None), None)
        if failed is not None:
            raise SartorError(f"a held-out question could not be asked: {failed.error}", where=str(self.task.folder))
        worth = score_replies(self.task.scorer, self.rows, [reply.text for reply in replies], "held-out answers")
        scores = [each.score for each in worth if each.score is not None]
        if not scores:
            raise SartorError(f"no held-out answer could be scored: {worth[0].error}", where=str(self.task.folder))
        return statistics.fmean(scores)
