"""The scorer of a task as a reward: how an answer compares with the accepted answers of its row."""

from collections.abc import Sequence

from sartor.data.scorers import check_answers, scorer
from sartor.data.thinking import scored_text
from sartor.train.rewards.protocol import Answered


class AcceptedAnswers:
    """The score in [0, 1] that `evaluate` and `choose` would give: of what follows any thinking aloud. UsageError for
    an unknown scorer."""

    def __init__(self, scorer_name: str):
        self.name = scorer_name
        self._scorer = scorer(scorer_name)

    def check(self, answers: Sequence[str], where: str) -> None:
        """DataError at `where` when the row has no accepted answer, or one that no reply could match."""
        check_answers(self._scorer, answers, where)

    def score(self, answered: Sequence[Answered]) -> list[float]:
        """DataError as `check`."""
        for each in answered:
            self.check(each.answers, each.where)
        return [self._scorer.score(scored_text(each.text, each.answers), each.answers) for each in answered]
