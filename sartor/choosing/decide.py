"""From the answers on disk to choice.json and the report; needs no model."""

import json
import shlex
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from sartor.base.configuration import build, load_yaml
from sartor.base.console import warn
from sartor.base.durable import replace_json
from sartor.base.errors import DataError
from sartor.base.grid_intensity import grid_intensity
from sartor.choosing.brief import Brief
from sartor.choosing.choose import PATHS, REFERENCES, ChooseConfig
from sartor.choosing.faults.arms_lint import lint_of_run
from sartor.choosing.faults.measurements import warnings_of_run
from sartor.choosing.fitting.workshop import is_remote
from sartor.choosing.going_on import share_in_words
from sartor.choosing.measure import measured_path, read_answers, scores_of
from sartor.choosing.price_date import old_price, price_as_json, remote_price
from sartor.choosing.probes.findings import findings
from sartor.choosing.report.writing import write_report
from sartor.choosing.retrieved.diagnosis import diagnose
from sartor.choosing.running_costs import with_running_costs
from sartor.choosing.touches import most_touches, touches
from sartor.choosing.trained.findings import scores_by_seed, training_findings
from sartor.choosing.trained.learning_curve import score_curve_again
from sartor.choosing.trained.seeds import answer_files
from sartor.choosing.verdict.break_even import setup_cost
from sartor.choosing.verdict.consequences import consequences
from sartor.choosing.verdict.rule import decide
from sartor.data.writers import write_jsonl
from sartor.evaluation.judge import described
from sartor.evaluation.scoring import score_replies
from sartor.evaluation.statistics import Interval, mean_interval
from sartor.retrieval.path import FILE_NAME, PathConfig

ABOUT_THE_TASK = ("documents", "chunks", "pairs", "pair_leaks")  # facts of a path's fitting that are not of the path

NO_PATH = "a reference, not a path"


def write_choice(run: Path, brief: Brief, names: Sequence[str], budget: str, seconds: float | None) -> dict[str, Any]:
    """Decide, and write choice.json, report.html and report.md into the run folder. `seconds` is the whole run's time
    (None: as it was; a run that was finished before keeps its time)."""
    config = build(ChooseConfig, load_yaml(run / "config.yaml"))
    answers = {name: read_answers(run / "answers" / f"{name}.jsonl") for name in names}
    facts = {name: with_running_costs(_facts(run / "paths" / name), config, answers[name]) for name in names}
    limits = brief.task.limits.model_dump()
    paths = [name for name in names if name not in REFERENCES]
    seeds = {name: scores_by_seed(run, name) for name in paths}
    measured = [measured_path(name, answers[name], facts[name], seeds[name]) for name in paths]
    verdict = decide(measured, brief.groups, limits)
    choice = {
        "task": brief.task.name,
        "choice": verdict.choice,
        "verdict": verdict.verdict,
        "needed_rows": verdict.needed_rows,
        "why": verdict.why,
        "would_change": verdict.would_change,
        "paths": [
            _path(run, name, answers[name], facts[name], verdict.scores.get(name))
            | training_findings(run, name, brief, verdict.race, seeds[name])
            | _bounded(verdict.bounds.get(name))
            | {"setup_cost": setup_cost(facts[name], config.machine_price)}
            | {"dominated_by": verdict.dominated.get(name)}
            | {"excluded": verdict.excluded.get(name, [])}
            for name in paths
        ]
        + [
            _path(run, name, answers[name], facts[name], _score(answers[name], brief.groups))
            | {"reference": True, "endpoint": None, "excluded": [NO_PATH]}
            for name in names
            if name in REFERENCES
        ],
        "comparisons": verdict.comparisons,
        **consequences(verdict, measured, facts, limits, config.machine_price, brief.test),
        "diagnosis": diagnose(answers, brief),
        "warnings": warnings_of_run(run, brief, answers, facts)
        + lint_of_run(run, brief, answers, facts)
        + old_price(remote_price(config), date.today()),
        "test_touched": most_touches(run),
        "how": _how(run, config, brief, budget, seconds, facts) | {"model_hash": _base_hash(run, answers)},
    }
    replace_json(run / "choice.json", choice)
    write_report(choice, answers, run)
    return choice


def score_again(run: Path, brief: Brief) -> list[str]:
    """Score the kept answers with the task's present scorer; the names of the paths. DataError when a path is not
    measured yet, and when the test asks something else now."""
    names = [name for name in (*PATHS, *REFERENCES) if (run / "paths" / name / FILE_NAME).is_file()]
    files = {name: answer_files(run, name) for name in names}
    kept = {name: (*files[name], run / "paths" / name / "measured.json") for name in names}
    missing = [name for name in names if not all(file.is_file() for file in kept[name])]
    for name in [each for each in missing if is_remote(each) and len(missing) < len(names)]:
        warn(f"{name} is left out: it has not answered the test rows")  # its service may be gone for good
        missing.remove(name)
        names.remove(name)
    if missing or not names:
        what = f"not measured yet: {', '.join(missing)}" if missing else "there are no answers to score"
        raise DataError(what, where=str(run), hint="finish `sartor choose` first")
    scored = {file: _scored(file, brief) for name in names for file in files[name]}
    for file, answers in scored.items():
        write_jsonl(file, answers)
    for name in names:
        score_curve_again(run / "paths" / name, brief)
    return names


def _scored(file: Path, brief: Brief) -> list[dict[str, Any]]:
    """The answers in `file` to the test rows as they are now, in their order."""
    answers = {answer["id"]: answer for answer in read_answers(file)}
    asked = {row.id: row.question for row in brief.test}
    for row_id in sorted(answers.keys() | asked.keys()):
        if row_id not in answers or asked.get(row_id) != answers[row_id]["question"]:
            what = f"the question of test row {row_id} is not the one that was answered"
            raise DataError(what, where=str(file), hint="measure again with another --out: the rows have changed")
    given = [row for row in brief.test if answers[row.id]["finish"] != "error"]
    texts = [answers[row.id]["text"] for row in given]
    for row, scored in zip(given, score_replies(brief.task.scorer, given, texts, file.stem), strict=True):
        judged = {} if scored.judged is None else {"judged": scored.judged}
        kept = {key: value for key, value in answers[row.id].items() if key != "judged"}
        answers[row.id] = kept | {"score": scored.score, "error": scored.error} | judged
    return [answers[row.id] | {"accepted": list(row.answers)} for row in brief.test]


def _facts(path: Path) -> dict[str, Any]:
    """What fitting and measuring a path took."""
    parts = [json.loads((path / name).read_text(encoding="utf-8")) for name in ("fitted.json", "measured.json")]
    return {key: value for part in parts for key, value in part.items()}


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
        "endpoint": _endpoint(run, config),
        **{key: value for key, value in facts.items() if key not in ABOUT_THE_TASK},
        **findings(run, name),
    }


def _score(answers: Sequence[dict[str, Any]], groups: Sequence[str]) -> Interval | None:
    """Of a reference, over the rows that could be scored."""
    scores = scores_of(answers)
    places = [place for place, score in enumerate(scores) if score == score]  # not a number where unscored
    return mean_interval(scores[places], [groups[place] for place in places]) if places else None


def _endpoint(run: Path, config: PathConfig) -> str:
    """The command that puts the path to use; what a remote model answers is not served from here."""
    verb = "serve" if config.api_base_url is None else "chat"
    return f"sartor {verb} {shlex.quote(str(run))} --path {config.name}"


def _base_hash(run: Path, answers: dict[str, list[dict[str, Any]]]) -> str | None:
    """The hash of the base model's weights, from a path that answers with them as they are."""
    for name, given in answers.items():
        config = PathConfig.load(run / "paths" / name)
        if config.adapter is None and config.api_base_url is None:
            return str(given[0]["model"])
    return None


def _bounded(bounds: tuple[float, float] | None) -> dict[str, Any]:
    """What the score may be, whatever the unscored rows are worth."""
    return {} if bounds is None else {"bounds": list(bounds)}


def _how(
    run: Path,
    config: ChooseConfig,
    brief: Brief,
    budget: str,
    seconds: float | None,
    facts: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    """How every number came about."""
    finished = (run / "choice.json").is_file()
    before = json.loads((run / "choice.json").read_text(encoding="utf-8"))["how"] if finished else {}
    library = next((each for each in facts.values() if "documents" in each), {})
    preferences = next((each for each in facts.values() if "pairs" in each), {})
    paths = [PathConfig.load(item.parent) for item in sorted((run / "paths").glob(f"*/{FILE_NAME}"))]
    environment = json.loads((run / "environment.json").read_text())
    packages = environment["packages"]
    local = [path.model for path in paths if path.api_base_url is None]
    return {
        "rows_train": len(brief.train),
        "rows_dev": len(brief.dev),
        "rows_test": len(brief.test),
        "scorer": brief.task.scorer.name,
        "scorer_description": brief.task.scorer.description,
        **({} if (judge := brief.task.scorer.judge) is None else {"judge": described(judge)}),
        "budget": budget,
        "margin": brief.task.limits.margin,
        "base_model": local[0] if local else None,
        "machine": f"{environment['processor']}, {environment['torch_threads']} threads, {environment['device']}",
        "versions": f"sartor {environment['sartor']}, torch {packages['torch']}, "
        f"transformers {packages['transformers']}",
        "machine_price": config.machine_price,
        "api_price": price_as_json(remote_price(config)),
        "seed": config.seed,
        "seconds_total": (before.get("seconds_total") or 0.0) + (seconds or 0.0) or None,
        "leaks": brief.leaks.text(),
        "documents": library.get("documents"),
        "chunks": library.get("chunks"),
        "pairs": preferences.get("pairs"),
        "pair_leaks": preferences.get("pair_leaks"),
        "test_touched": most_touches(run),
        "test_touches": touches(run),
        "grid": str(grid_intensity(config.grid)),
        "share": share_in_words(run, budget),
    }
