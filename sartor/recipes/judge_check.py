"""A scorer, or a judge, against people: how far it agrees with hand labels, and what each path would score by them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sartor.base.console import warn
from sartor.base.durable import replace_json
from sartor.base.errors import DataError
from sartor.data.task import Task
from sartor.evaluation.agreement import (
    RIGHT_FROM,
    Confusion,
    Corrected,
    Sample,
    confusion,
    corrected_scores,
    weighted_rate,
    weights_of,
)
from sartor.evaluation.scoring import score_replies
from sartor.evaluation.statistics import Interval
from sartor.recipes.labels import Answered, Labels, read_answered, read_labels, stand_for

CHECK_FILE = "judge_check.json"  # in the folder of a `choose` run
JUDGEMENTS_FILE = "judge_answers.jsonl"  # what a remote judge has said, beside the answers
FEWEST_LABELS = 10
LEAST_AGREEMENT = 0.8  # about as often as people agree with each other (Zheng et al. 2023, arXiv 2306.05685: 81 %)
LITTLE_KAPPA = 0.4  # up to here the agreement above chance is called no more than fair (Landis and Koch 1977)


@dataclass(frozen=True)
class Disagreement:
    """An answer that people and scorer call differently."""

    path: str
    id: str
    question: str
    accepted: tuple[str, ...]
    answer: str
    score: float
    label: float
    where: str


@dataclass(frozen=True)
class Check:
    """The result. `verdict` is agrees, disagrees or unsure, by the interval of `agreement`; `table` counts labelled
    answers, while `agreement` and `kappa` stand for all answers."""

    verdict: str
    sentence: str
    agreement: Interval
    kappa: float | None
    table: Confusion
    labelled: int
    unscored: int
    labels: Labels
    paths: dict[str, Corrected]
    disagreements: list[Disagreement]

    def as_json(self) -> dict[str, Any]:
        rate = self.agreement
        return {
            "verdict": self.verdict,
            "sentence": self.sentence,
            "agreement": rate.mean,
            "ci": [rate.low, rate.high],
            "kappa": self.kappa,
            "confusion": asdict(self.table),
            "labelled": self.labelled,
            "blank_labels": self.labels.blank,
            "unknown_labels": self.labels.unknown,
            "unscored": self.unscored,
            "paths": {name: asdict(each) for name, each in self.paths.items()},
            "disagreements": [asdict(each) for each in self.disagreements],
        }


def check_run(source: Path, labels_file: Path, task: str | None = None) -> Check:
    """Compare the recorded scores of a run or a file of answers with labels; `task` names a task folder whose scorer
    scores the answers anew instead. What is found of a run's own scores is kept in its folder."""
    answers = read_answered(source)
    labels = read_labels(labels_file, answers)
    if not labels.by_key:
        given = "none of the labels is of an answer that is there" if labels.unknown else "there are no labels in it"
        hint = "labels are of answers: write a new sheet with --sheet" if labels.unknown else "fill in the column label"
        raise DataError(given, where=str(labels_file), hint=hint)
    if labels.unknown:
        warn(f"{labels.unknown:,} labels are of answers that are not there (measured again?) and are left out")
    weights = stand_for(answers, labels.by_key)  # by the scores that the sheet was drawn by
    if task is not None:
        folder = source if source.is_dir() else source.parent
        answers = scored_anew(answers, Task.load(task), folder / JUDGEMENTS_FILE)
    found = check(answers, labels, weights, str(labels_file))
    if task is None and source.is_dir():
        replace_json(source / CHECK_FILE, found.as_json())
    return found


def scored_anew(answers: Sequence[Answered], task: Task, judgements: Path) -> list[Answered]:
    """The answers with the scores that the task's scorer gives. DataError for an answer to no row of the task."""
    rows = {row.id: row for row in (*task.train, *task.dev, *task.test)}
    stranger = next((answer for answer in answers if answer.id not in rows), None)
    if stranger is not None:
        what = f"answers row '{stranger.id}', which the task does not have"
        raise DataError(what, where=f"{stranger.where}, id", hint=f"name the task of these answers, not {task.folder}")
    scorer = task.keeping_judgements(judgements).scorer
    worth = score_replies(scorer, [rows[each.id] for each in answers], [each.text for each in answers], "the answers")
    return [replace(answer, score=scored.score) for answer, scored in zip(answers, worth, strict=True)]


def check(answers: Sequence[Answered], labels: Labels, weights: Mapping[str, float], where: str) -> Check:
    """`weights` as `stand_for` gives them. DataError when too few answers have both a score and a label to say
    anything."""
    scored = [answer for answer in answers if answer.score is not None]
    sample = Sample(
        [answer.path for answer in scored],
        [answer.key for answer in scored],
        np.array([answer.score for answer in scored], dtype=np.float64),
        np.array([labels.by_key.get(answer.key, np.nan) for answer in scored], dtype=np.float64),
        np.array([weights.get(answer.key, 0.0) for answer in scored], dtype=np.float64),
    )
    known, scores, given = sample.labelled, sample.scores, sample.labels
    keys = [key for key, there in zip(sample.keys, known, strict=True) if there]
    if len(set(keys)) < FEWEST_LABELS:
        what = f"{len(set(keys))} labelled answers are too few to tell anything"
        raise DataError(what, where=where, hint=f"label {FEWEST_LABELS} at least; 50 tell something")
    standing = weights_of(sample)[known]
    same = ((scores >= RIGHT_FROM) == (given >= RIGHT_FROM))[known].astype(np.float64)
    agreement = weighted_rate(same, standing, keys)
    kappa = confusion(scores[known], given[known], standing).kappa
    verdict = _verdict(agreement)
    return Check(
        verdict=verdict,
        sentence=_sentence(verdict, agreement, kappa),
        agreement=agreement,
        kappa=kappa,
        table=confusion(scores[known], given[known], np.ones(int(known.sum()))),
        labelled=int(known.sum()),
        unscored=len(answers) - len(scored),
        labels=labels,
        paths=corrected_scores(sample),
        disagreements=_disagreements(scored, scores, given),
    )


def _verdict(agreement: Interval) -> str:
    if agreement.low >= LEAST_AGREEMENT:
        return "agrees"
    return "disagrees" if agreement.high < LEAST_AGREEMENT else "unsure"


def _sentence(verdict: str, agreement: Interval, kappa: float | None) -> str:
    rate = f"{100 * agreement.mean:.0f} of 100 answers ({100 * agreement.low:.0f} to {100 * agreement.high:.0f})"
    least = f"{100 * LEAST_AGREEMENT:.0f}"
    told = {
        "agrees": f"The scorer agrees with people on {rate}, about as people agree with each other.",
        "disagrees": f"The scorer disagrees with people: it agrees on {rate} only, and people agree with each other on "
        f"about {least}. Do not decide by it: choose another scorer, or read the corrected scores.",
        "unsure": f"The scorer agrees with people on {rate}: whether that reaches {least}, as people agree with each "
        "other, these labels do not tell. More labels would.",
    }[verdict]
    if kappa is not None and kappa < LITTLE_KAPPA:
        told += f" Little of that is more than chance gives (kappa {kappa:.2f})."
    return told


def _disagreements(answers: Sequence[Answered], scores: Any, labels: Any) -> list[Disagreement]:
    return [
        Disagreement(
            each.path, each.id, each.question, each.accepted, each.text, float(score), float(label), each.where
        )
        for each, score, label in zip(answers, scores, labels, strict=True)
        if not np.isnan(label) and (score >= RIGHT_FROM) != (label >= RIGHT_FROM)
    ]
