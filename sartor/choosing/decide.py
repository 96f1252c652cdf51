"""From the answers on disk to choice.json and the report; needs no model."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sartor.base.durable import replace_json
from sartor.base.errors import DataError
from sartor.choosing.brief import Brief
from sartor.choosing.measure import measured_path, read_answers
from sartor.choosing.report import write_report
from sartor.choosing.verdict import decide
from sartor.data.writers import write_jsonl
from sartor.retrieval.path import FILE_NAME, PathConfig


def write_choice(run: Path, brief: Brief, names: Sequence[str], budget: str, seconds: float | None) -> dict[str, Any]:
    """Decide, and write choice.json, report.html and report.md into the run folder. `seconds` is the whole run's time
    (None: as it was)."""
    answers = {name: read_answers(run / "answers" / f"{name}.jsonl") for name in names}
    facts = {name: _facts(run / "paths" / name) for name in names}
    limits = brief.task.limits.model_dump()
    verdict = decide([measured_path(name, answers[name], facts[name]) for name in names], brief.groups, limits)
    choice = {
        "task": brief.task.name,
        "choice": verdict.choice,
        "verdict": verdict.verdict,
        "needed_rows": verdict.needed_rows,
        "why": verdict.why,
        "would_change": verdict.would_change,
        "paths": [
            _path(run, name, answers[name], facts[name], verdict.scores.get(name))
            | _bounded(verdict.bounds.get(name))
            | {"excluded": verdict.excluded.get(name, [])}
            for name in names
        ],
        "comparisons": verdict.comparisons,
        "how": _how(run, brief, budget, seconds, facts),
    }
    replace_json(run / "choice.json", choice)
    write_report(choice, answers, run)
    return choice


def score_again(run: Path, brief: Brief) -> list[str]:
    """Score the kept answers with the task's present scorer; the names of the paths that have answers."""
    files = sorted((run / "answers").glob("*.jsonl"))
    if not files:
        raise DataError("there are no answers to score", where=str(run), hint="finish `sartor choose` first")
    rows = {row.id: row for row in brief.test}
    for file in files:
        answers = read_answers(file)
        for answer in answers:
            if answer["id"] not in rows:
                raise DataError(
                    f"the test has no row {answer['id']} any more",
                    where=str(file),
                    hint="measure again: the rows have changed",
                )
            if answer["error"] is None:
                answer["score"] = brief.task.scorer.score(answer["text"], rows[answer["id"]].answers)
        write_jsonl(file, answers)
    return [file.stem for file in files]


def _facts(path: Path) -> dict[str, Any]:
    return {**json.loads((path / "fitted.json").read_text()), **json.loads((path / "measured.json").read_text())}


def _path(run: Path, name: str, answers: list[dict[str, Any]], facts: dict[str, Any], score: Any) -> dict[str, Any]:
    config = PathConfig.load(run / "paths" / name)
    return {
        "name": name,
        "description": config.description,
        "score": None if score is None else score.mean,
        "ci": None if score is None else [score.low, score.high],
        "n": len(answers),
        "unscored": sum(answer["score"] is None for answer in answers),
        "truncated_replies": sum(answer["finish"] == "length" for answer in answers) / len(answers),
        "endpoint": f"sartor serve {run} --path {name}",
        **{key: value for key, value in facts.items() if key not in ("documents", "chunks")},
    }


def _bounded(bounds: tuple[float, float] | None) -> dict[str, Any]:
    """What the score may be, whatever the unscored rows are worth."""
    return {} if bounds is None else {"bounds": list(bounds)}


def _how(
    run: Path, brief: Brief, budget: str, seconds: float | None, facts: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """How every number came about."""
    before = json.loads((run / "choice.json").read_text())["how"] if (run / "choice.json").is_file() else {}
    library = next((each for each in facts.values() if "documents" in each), {})
    paths = [PathConfig.load(item.parent) for item in sorted((run / "paths").glob(f"*/{FILE_NAME}"))]
    environment = json.loads((run / "environment.json").read_text())
    local = [path.model for path in paths if path.api_base_url is None]
    return {
        "rows_train": len(brief.train),
        "rows_dev": len(brief.dev),
        "rows_test": len(brief.test),
        "scorer": brief.task.scorer.name,
        "scorer_description": brief.task.scorer.description,
        "budget": budget,
        "margin": brief.task.limits.margin,
        "base_model": local[0] if local else None,
        "machine": f"{environment['processor']}, {environment['threads']} threads, {environment['device']}",
        "versions": f"sartor {environment['sartor']}, torch {environment['torch']}, transformers {environment['transformers']}",
        "seconds_total": before.get("seconds_total") if seconds is None else seconds,
        "leaks": brief.leaks.text(),
        "documents": library.get("documents"),
        "chunks": library.get("chunks"),
        "test_touched": 1,
    }
