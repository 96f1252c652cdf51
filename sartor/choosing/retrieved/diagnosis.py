"""Where wrong answers come from, told from what was recorded: the passage with the answer was not found, it was found
and not used, or there was nothing to read and the model does not know.

After Barnett et al., "Seven failure points when engineering a retrieval augmented generation system" (2401.05856),
brought to what can be counted: which passages were read, which hold the answer, and what the same model makes of the
right ones (the oracle).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sartor.choosing.brief import Brief
from sartor.choosing.choose import BASIS, CLOSED_BOOK, ORACLE
from sartor.choosing.labels import title
from sartor.choosing.prompted.long_context import NAME as LONG_CONTEXT
from sartor.choosing.retrieved.gold import found_gold, holds
from sartor.data.records import Row
from sartor.evaluation.statistics import Interval, mean_interval

Answers = Sequence[Mapping[str, Any]]
RIGHT_FROM = 0.5  # an answer with a part of the score (F1, ROUGE) counts as right from here on
CAUSES = ("right", "not_retrieved", "not_used", "not_known")
CLEAR_MAJORITY = 0.5  # a cause is the main one when the whole interval of its share of the errors lies above this


@dataclass(frozen=True)
class Diagnosis:
    """One of CAUSES a row, of `rows` (indices of test rows). `oracle` is whether the same model was right when it read
    the gold passages, None where that was not asked. Rows that could not be scored, and such of a path that retrieves
    whose evidence is not named, are counted apart."""

    name: str
    rows: tuple[int, ...]
    causes: tuple[str, ...]
    oracle: tuple[bool | None, ...]
    without_evidence: int
    unscored: int
    groups: tuple[str, ...]

    def count(self, cause: str) -> int:
        return self.causes.count(cause)

    def oracle_right(self, cause: str) -> int | None:
        """Of the rows with this cause those that the oracle had right; None where it was not asked."""
        asked = [right for each, right in zip(self.causes, self.oracle, strict=True) if each == cause]
        return None if None in asked else sum(map(bool, asked))

    def share(self, cause: str) -> Interval:
        """Of all rows."""
        return mean_interval([float(each == cause) for each in self.causes], self.groups)

    def share_of_errors(self, cause: str) -> Interval:
        wrong = [(each, group) for each, group in zip(self.causes, self.groups, strict=True) if each != "right"]
        return mean_interval([float(each == cause) for each, _ in wrong], [group for _, group in wrong])


def diagnose(answers: Mapping[str, Answers], brief: Brief) -> dict[str, dict[str, Any]]:
    """choice.json's `diagnosis`, of every path, where the task has documents: the four counts add up to `n`; `ci` has
    the intervals of their shares. Empty without documents: then there is nothing that could be found."""
    if brief.task.documents is None:
        return {}
    word_for_word = [_word_for_word(row, place, answers) for place, row in enumerate(brief.test)]
    found = {}
    for name, given in answers.items():
        oracle = answers.get(ORACLE) if name == BASIS else None
        diagnosis = diagnose_path(name, given, brief.test, word_for_word, oracle)
        if diagnosis.causes:
            found[name] = _as_json(diagnosis)
    return found


def diagnose_path(
    name: str, given: Answers, rows: Sequence[Row], word_for_word: Sequence[bool], oracle: Answers | None = None
) -> Diagnosis:
    """`word_for_word[i]` says that gold passages of row i hold its answer as it is written."""
    retrieves = name != LONG_CONTEXT and any(answer.get("passages") for answer in given)
    diagnosis = Diagnosis(name, (), (), (), 0, 0, ())
    for place, (row, answer) in enumerate(zip(rows, given, strict=True)):
        if answer["score"] is None:
            diagnosis = replace(diagnosis, unscored=diagnosis.unscored + 1)
            continue
        if retrieves and not row.evidence:
            diagnosis = replace(diagnosis, without_evidence=diagnosis.without_evidence + 1)
            continue
        if is_right(answer):
            cause = "right"
        elif retrieves:
            is_there = found_gold(answer["passages"], row.evidence, row.answers, word_for_word[place])
            cause = "not_used" if is_there else "not_retrieved"
        else:
            cause = "not_used" if name == LONG_CONTEXT else "not_known"
        by_oracle = None if oracle is None or oracle[place]["score"] is None else is_right(oracle[place])
        diagnosis = replace(
            diagnosis,
            rows=(*diagnosis.rows, place),
            causes=(*diagnosis.causes, cause),
            oracle=(*diagnosis.oracle, by_oracle),
            groups=(*diagnosis.groups, row.group),
        )
    return diagnosis


def is_right(answer: Mapping[str, Any]) -> bool:
    return answer["score"] is not None and answer["score"] >= RIGHT_FROM


def _word_for_word(row: Row, place: int, answers: Mapping[str, Answers]) -> bool:
    """Whether any path was shown a passage of the row's evidence that holds its answer."""
    return any(
        passage["document_id"] in row.evidence and holds(passage["text"], row.answers)
        for given in answers.values()
        for passage in given[place].get("passages") or ()
    )


def _as_json(diagnosis: Diagnosis) -> dict[str, Any]:
    shares = {cause: diagnosis.share(cause) for cause in CAUSES}
    asked = diagnosis.oracle and None not in diagnosis.oracle
    return {
        "n": len(diagnosis.causes),
        "right_from": RIGHT_FROM,
        **{cause: diagnosis.count(cause) for cause in CAUSES},
        "ci": {cause: [share.low, share.high] for cause, share in shares.items()},
        "without_evidence": diagnosis.without_evidence,
        "unscored": diagnosis.unscored,
        **(
            {f"{cause}_oracle_right": diagnosis.oracle_right(cause) for cause in ("not_retrieved", "not_used")}
            if asked
            else {}
        ),
        "sentence": sentence(diagnosis),
    }


def sentence(diagnosis: Diagnosis) -> str:
    """What is wrong, and what to do about it."""
    wrong = len(diagnosis.causes) - diagnosis.count("right")
    of = f"{title(diagnosis.name)}: {wrong:,} of {len(diagnosis.causes):,} answers are wrong"
    if wrong == 0:
        return f"{title(diagnosis.name)}: none of {len(diagnosis.causes):,} answers is wrong."
    if diagnosis.count("not_known"):
        hint = "The documents are not read: retrieval can add what the model does not know."
        if diagnosis.name == CLOSED_BOOK:
            hint = "That is what the model does not know by itself: what retrieval is worth begins there."
        return f"{of}, with no passage to read. {hint}"
    missed, unused = diagnosis.count("not_retrieved"), diagnosis.count("not_used")
    if not missed:
        return f"{of}, all with the passage that holds the answer in front of the model. {_reading_hint(diagnosis)}"
    if not unused:
        return f"{of}, all since no passage that holds the answer was found. {_search_hint(diagnosis)}"
    share = diagnosis.share_of_errors("not_retrieved")
    counted = (
        f"{of}. Without the passage that holds the answer: {missed:,} ({share.mean:.0%} of the errors; "
        f"{share.low:.0%} to {share.high:.0%} are possible). With it: {unused:,}."
    )
    if share.low > CLEAR_MAJORITY:
        return f"{counted} {_search_hint(diagnosis)}"
    if share.high < CLEAR_MAJORITY:
        return f"{counted} {_reading_hint(diagnosis)}"
    return f"{counted} Which is the main cause cannot be told. {_search_hint(diagnosis)} {_reading_hint(diagnosis)}"


def _search_hint(diagnosis: Diagnosis) -> str:
    missed, recovered = diagnosis.count("not_retrieved"), diagnosis.oracle_right("not_retrieved")
    better = "more passages, another size of them, another embedding model or a reranker"
    if recovered is None:
        return f"A better search may help: {better}."
    if 2 * recovered >= missed:
        return f"Given the passage, the model answers {recovered:,} of those {missed:,}: search better, by {better}."
    return (
        f"Given the passage, the model answers only {recovered:,} of those {missed:,}: a better search alone helps "
        "little before the model reads better (fine-tune it on passages, or take a larger one)."
    )


def _reading_hint(diagnosis: Diagnosis) -> str:
    if diagnosis.name == ORACLE:
        return "No search can be better: fine-tune the model on passages, or take a larger one."
    unused, alone = diagnosis.count("not_used"), diagnosis.oracle_right("not_used")
    if alone is None:
        more = "train it on more rows" if diagnosis.name.startswith("finetune") else "fine-tune it on passages"
        return f"The model does not use what it reads: {more}, or take a larger one."
    if 2 * alone >= unused:
        return (
            f"With nothing but that passage the model answers {alone:,} of those {unused:,}: the others distract it. "
            "Read fewer passages, or rank them better."
        )
    return (
        f"Even with nothing but that passage the model answers only {alone:,} of those {unused:,}: fine-tune it on "
        "passages, or take a larger one."
    )
