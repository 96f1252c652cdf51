"""Whether answers hold when the question has typing mistakes or other words, and whether a path admits that it does not
know."""

import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from sartor.choosing.probes.abstaining import abstains, asks_for_unknown
from sartor.choosing.probes.paraphrases import paraphrase
from sartor.choosing.probes.probed_path import Finding, ProbedPath, asking, while_time_lasts
from sartor.choosing.probes.typos import RATE, with_typos
from sartor.data.records import Row
from sartor.evaluation.runner import Answer, score_answers
from sartor.evaluation.statistics import paired_difference

MOST_ROWS = 60
ROWS_AT_ONCE = 12
PLAIN, TYPOS, PARAPHRASES = "plain", "typos", "paraphrases"


def probe_robustness(path: ProbedPath, paraphrases: Mapping[str, str] | None, phrase: str | None) -> Finding:
    """The findings `typos`, `paraphrases` and `unanswerable`, on the first dev rows, each asked plainly too.

    `paraphrases` are the task's own, by row id (None: rules make them); `phrase` is what the task answers where its
    documents do not. Dev rows have chosen the path's settings, so plain scores are a little better than on test rows;
    what is measured is the difference. A row that was not scored in both forms is left out and counted.
    """
    chosen = path.brief.dev[:MOST_ROWS]
    known = {word for row in (*path.brief.train, *path.brief.dev) for word in re.findall(r"[a-z']+", row.question)}
    variants = {row.id: _variants(row, paraphrases, known, path.seed) for row in chosen}
    given: dict[str, dict[str, Answer]] = {}
    chunks = [chosen[first : first + ROWS_AT_ONCE] for first in range(0, len(chosen), ROWS_AT_ONCE)]
    for chunk in while_time_lasts(chunks, path.seconds):
        given |= _ask(path, chunk, variants)
    rows = [row for row in chosen if row.id in given]
    rules = Counter(name for row_id in given for form, (_, name) in variants[row_id].items() if form == PARAPHRASES)
    return {
        "typos": _compared(rows, given, TYPOS) | {"rate": RATE},
        "paraphrases": _compared(rows, given, PARAPHRASES) | {"rules": dict(rules)},
        "unanswerable": _unanswerable(rows, given, phrase),
        "left_out": {"no time for": len(chosen) - len(rows)} if len(rows) < len(chosen) else {},
        "rows": [_row(row, variants[row.id], given[row.id]) for row in rows],
    }


def _variants(
    row: Row, paraphrases: Mapping[str, str] | None, known: set[str], seed: int
) -> dict[str, tuple[str, str]]:
    """The row's question in other forms, each with how it came about; a form that is not possible is missing."""
    found: dict[str, tuple[str, str]] = {}
    mistaken = with_typos(row.question, row.answers, random.Random(f"{seed} typos {row.id}"), known)
    if mistaken is not None:
        found[TYPOS] = mistaken, "typos"
    if paraphrases is None:
        made = paraphrase(row.question, row.answers, random.Random(f"{seed} paraphrases {row.id}"))
        if made is not None:
            found[PARAPHRASES] = made
    elif row.id in paraphrases:
        found[PARAPHRASES] = paraphrases[row.id], "the task's own"
    return found


def _ask(
    path: ProbedPath, rows: Sequence[Row], variants: Mapping[str, Mapping[str, tuple[str, str]]]
) -> dict[str, dict[str, Answer]]:
    """The answers to every form of the rows' questions, by row id and form."""
    asked = [(row.id, PLAIN, row) for row in rows]
    asked += [(row.id, form, asking(row, text)) for row in rows for form, (text, _) in variants[row.id].items()]
    forms = [row for _, _, row in asked]
    label = f"{path.name}: typos and paraphrases"
    answers = score_answers(forms, path.ask(forms), path.brief.task.scorer, path.config.sampling, label)
    given: dict[str, dict[str, Answer]] = {row.id: {} for row in rows}
    for (row_id, form, _), answer in zip(asked, answers, strict=True):
        given[row_id][form] = answer
    return given


def _compared(rows: Sequence[Row], given: Mapping[str, Mapping[str, Answer]], form: str) -> Finding:
    """The scores with the form and without, over the same rows; the difference is with minus without."""
    asked = [row for row in rows if form in given[row.id]]
    scored = [
        (row.group, changed, plain)
        for row in asked
        if (changed := given[row.id][form].score) is not None and (plain := given[row.id][PLAIN].score) is not None
    ]
    counts: Finding = {
        "n": len(scored),
        "unscored": len(asked) - len(scored),
        "impossible": len(rows) - len(asked),  # rows whose question has no such form
    }
    if not scored:
        return counts | {"score": None, "plain_score": None, "difference": None, "ci": None}
    with_form, without = [changed for _, changed, _ in scored], [plain for _, _, plain in scored]
    compared = paired_difference(with_form, without, [group for group, _, _ in scored])
    return counts | {
        "score": sum(with_form) / len(scored),
        "plain_score": sum(without) / len(scored),
        "difference": compared.difference,
        "ci": [compared.low, compared.high],
    }


def _unanswerable(rows: Sequence[Row], given: Mapping[str, Mapping[str, Answer]], phrase: str | None) -> Finding:
    """Of the rows whose accepted answer is that the documents do not say, those where the path says so; and of the
    others, those where it says so wrongly."""
    unknown = [row for row in rows if asks_for_unknown(row, phrase)]
    known = [row for row in rows if not asks_for_unknown(row, phrase)]

    def count(among: Sequence[Row]) -> int:
        return sum(abstains(given[row.id][PLAIN].text, phrase) for row in among)

    return {
        "n": len(unknown),
        "abstained": count(unknown),
        "phrase": phrase,
        "answerable": {"n": len(known), "abstained": count(known)},
    }


def _row(row: Row, variants: Mapping[str, tuple[str, str]], given: Mapping[str, Answer]) -> Finding:
    forms = {PLAIN: (row.question, "as it is"), **variants}
    return {
        "id": row.id,
        "accepted": list(row.answers),
        **{
            form: {"question": text, "made_by": how, "text": given[form].text, "score": given[form].score}
            for form, (text, how) in forms.items()
        },
    }
