"""Scores of models on tasks, with intervals; two models are compared row by row."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sartor.base.console import warn
from sartor.base.errors import DataError, UsageError
from sartor.base.run_folder import require_folder_place
from sartor.data.records import Row
from sartor.data.task import Task
from sartor.data.thinking import scored_text
from sartor.data.writers import write_jsonl
from sartor.evaluation.judge import open_judge
from sartor.evaluation.pairwise import Preferred, judge_pairs, summarise
from sartor.evaluation.runner import Answer, answer_rows
from sartor.evaluation.scoring import as_asked
from sartor.evaluation.statistics import Comparison, mean_interval, paired_difference
from sartor.generation.prompted import Prompted
from sartor.generation.protocol import Generator, Sampling
from sartor.generation.remote import Remote
from sartor.retrieval.path import open_model


@dataclass(frozen=True)
class Evaluation:
    """One model on one task. The interval is of the scored rows; `unscored` rows are counted apart."""

    model: str
    task: str
    scorer: str
    score: float | None
    ci: tuple[float, float] | None
    n: int
    unscored: int
    truncated_replies: int


@dataclass(frozen=True)
class Contest:
    """Two models on one task, compared on the rows scored for both (None: there is no such row). `preferred` is what
    the task's judge says of the answers side by side, where the task names one."""

    a: str
    b: str
    task: str
    comparison: Comparison | None
    preferred: Preferred | None = None


def evaluate(
    models: Sequence[str],
    tasks: Sequence[str],
    split: str,
    max_new_tokens: int,
    remote_model: str | None,
    key_env: str | None,
    out: Path | None,
) -> tuple[list[Evaluation], list[Contest]]:
    """Ask every model every row of each task's `split` (test or dev). A name that begins with http is the base URL of
    a service, asked for `remote_model`. With `out`, answers are kept there, one file a model and task."""
    loaded = [Task.load(task) for task in tasks]
    _require_distinct("model", models)
    _require_distinct("task", [task.name for task in loaded])
    rows = {task.name: _rows(task, split) for task in loaded}
    if out is not None:
        require_folder_place(out)
    found: list[Evaluation] = []
    answers: dict[tuple[str, str], list[Answer]] = {}
    for name in models:
        generator, sampling, has_prompt = _open(name, max_new_tokens, remote_model, key_env)
        for task in loaded:
            asked = generator if has_prompt else Prompted(generator, task.instruction or None)
            given = answer_rows(asked, rows[task.name], task.scorer, sampling, f"{name} on {task.name}", name)
            answers[name, task.name] = given
            found.append(_evaluation(name, task, rows[task.name], given))
            if out is not None:
                out.mkdir(parents=True, exist_ok=True)
                file = out / (re.sub(r"[^\w.+-]+", "_", f"{name}-{task.name}").strip("_") + ".jsonl")
                write_jsonl(file, [answer.as_dict() for answer in given])
    pair = [(models[0], models[1], task.name) for task in loaded] if len(models) == 2 else []
    contests = [_contest(*each, rows[each[2]], answers) for each in pair]
    judged = [_judged(contest, task, rows[task.name], answers) for contest, task in zip(contests, loaded, strict=False)]
    return found, [contest for contest in judged if contest.comparison or contest.preferred]


def _open(
    name: str, max_new_tokens: int, remote_model: str | None, key_env: str | None
) -> tuple[Generator, Sampling, bool]:
    """The generator, how it samples, and whether it brings a prompt of its own."""
    if name.startswith(("http://", "https://")):
        if remote_model is None:
            raise UsageError(f"which model of {name}?", where="--remote-model", hint="name one that the service has")
        return Remote(remote_model, name, api_key_env=key_env), Sampling(max_new_tokens), False
    path = open_model(name)
    if path.config.description:
        return path.generator, path.config.sampling, True
    return path.generator, Sampling(max_new_tokens), False


def _rows(task: Task, split: str) -> Sequence[Row]:
    rows = task.test if split == "test" else task.dev
    if not rows:
        raise DataError(f"the task has no {split} rows", where=str(task.folder), hint="evaluate its test rows")
    return rows


def _require_distinct(kind: str, names: Sequence[str]) -> None:
    for name in names:
        if list(names).count(name) > 1:
            raise UsageError(f"two {kind}s are called {name}", hint="name each once")


def _scores(answers: Sequence[Answer]) -> np.ndarray:
    return np.array([np.nan if answer.score is None else answer.score for answer in answers])


def _evaluation(model: str, task: Task, rows: Sequence[Row], answers: Sequence[Answer]) -> Evaluation:
    scored = [
        (answer.score, row.group) for answer, row in zip(answers, rows, strict=True) if answer.score is not None
    ]
    interval = mean_interval([score for score, _ in scored], [group for _, group in scored]) if scored else None
    return Evaluation(
        model,
        task.name,
        task.scorer.name,
        interval.mean if interval else None,
        (interval.low, interval.high) if interval else None,
        len(answers),
        len(answers) - len(scored),
        sum(answer.finish == "length" for answer in answers),
    )


def _contest(
    a: str, b: str, task: str, rows: Sequence[Row], answers: dict[tuple[str, str], list[Answer]]
) -> Contest:
    ours, theirs = _scores(answers[a, task]), _scores(answers[b, task])
    both = ~np.isnan(ours) & ~np.isnan(theirs)
    if not both.any():
        warn(f"{a} and {b} cannot be compared on {task}: no row is scored for both")
        return Contest(a, b, task, None)
    groups = [row.group for row, kept in zip(rows, both, strict=True) if kept]
    return Contest(a, b, task, paired_difference(ours[both], theirs[both], groups))


def _judged(
    contest: Contest, task: Task, rows: Sequence[Row], answers: dict[tuple[str, str], list[Answer]]
) -> Contest:
    """The contest with what the task's judge prefers, over the rows that both have answered."""
    if task.judge is None:
        return contest
    given = zip(rows, answers[contest.a, task.name], answers[contest.b, task.name], strict=True)
    both = [each for each in given if "error" not in (each[1].finish, each[2].finish)]
    if not both:
        return contest
    cases = [
        (as_asked(row.messages), row.answers, scored_text(one.text, row.answers), scored_text(other.text, row.answers))
        for row, one, other in both
    ]
    judge = open_judge(task.judge, task.scorer.judgements)
    pairs = judge_pairs(judge, cases, f"judging {contest.a} against {contest.b}")
    return replace(contest, preferred=summarise(pairs, [row.group for row, _, _ in both]))


def as_json(found: Sequence[Evaluation], contests: Sequence[Contest]) -> dict[str, Any]:
    return {"evaluations": [asdict(each) for each in found], "comparisons": [asdict(each) for each in contests]}
