"""Would more training rows help, and how many would it take: the fine-tuned path trained on parts of its rows.

The parts are nested and drawn with the seed, rows of a group together. Every size is trained for as many steps as the
path itself, with its learning rate and its way of choosing a checkpoint, so that nothing but the rows differs: with
equal epochs a part would be trained for fewer steps, and what is owed to shorter training would look like a want of
rows. So it says what rows are worth at this effort; more rows and a longer training may bring more. The smaller parts
are seen more often, and stop earlier where that does not help.
"""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.base.console import format_seconds, say, warn
from sartor.base.durable import replace_json
from sartor.base.run_folder import RunFolder
from sartor.choosing.brief import Brief
from sartor.choosing.fitting.workshop import Workshop
from sartor.choosing.measure import read_answers, scores_of
from sartor.choosing.touches import note_touch
from sartor.choosing.trained.retraining import FIRST_STAGE, PLAN_FILE, first_seconds, train_again
from sartor.choosing.trained.training import TRAIN_FILE, unseen_dev_rows
from sartor.data.records import Row
from sartor.data.writers import write_jsonl
from sartor.evaluation.runner import answer_rows
from sartor.evaluation.score_curves import FURTHEST, TRAINING_SPREAD, CurveRange, Meaningless, Reach, fit_curve
from sartor.evaluation.scoring import score_replies
from sartor.evaluation.statistics import mean_interval
from sartor.retrieval.path import PathConfig, open_path

PATHS_WITH_CURVE = ("finetune", "finetune+rag")  # the first of them that was measured
CURVE_FILE, CURVE_FOLDER = "curve.json", "curve"  # of a path
PARTS = (0.25, 0.5)
FEWEST_TRAIN_ROWS = 32  # fewer are too little to learn a quarter of them from
FEWEST_DEV_ROWS, MOST_DEV_ROWS = 60, 300  # that no training was chosen by
DEV, TEST = "dev rows that no training was chosen by", "test rows, by which nothing is chosen"


def draw_curve(shop: Workshop, names: Sequence[str]) -> bool:
    """Train the first path that has a curve on parts of its rows, ask them all the same rows, and keep what they said.
    Tells the time beforehand. Whether there was anything to do."""
    name = next((name for name in PATHS_WITH_CURVE if name in names), None)
    if not shop.config.curve or name is None:
        if shop.config.curve:
            warn(f"no learning curve: neither {' nor '.join(PATHS_WITH_CURVE)} is among the paths")
        return False
    path = shop.path_folder(name)
    if (path / CURVE_FILE).is_file():
        return False
    if len(shop.brief.train) < FEWEST_TRAIN_ROWS:
        warn(f"no learning curve: {len(shop.brief.train)} train rows are too few to learn from a quarter of them")
        return False
    _draw(shop, name, path)
    return True


def _draw(shop: Workshop, name: str, path: Path) -> None:
    rows, asked = shop.brief.train, unseen_dev_rows(shop)[:MOST_DEV_ROWS]
    scored_on = DEV if len(asked) >= FEWEST_DEV_ROWS else TEST
    asked = asked if scored_on == DEV else list(shop.brief.test)
    parts = nested_parts([row.group for row in rows], PARTS, shop.config.seed)
    say(
        f"--- learning curve of {name}: trained on {', '.join(f'{len(part):,}' for part in parts)} of {len(rows):,} "
        f"rows, about {format_seconds(len(parts) * first_seconds(path))} beside the budget; scored on {len(asked)} "
        f"{scored_on}"
    )
    first = PathConfig.load(path).model_copy(update={"adapter": f"{FIRST_STAGE}/adapter"})
    lines = (path / TRAIN_FILE).read_text(encoding="utf-8").split("\n")
    for part in parts:
        folder = path / CURVE_FOLDER / f"rows-{len(part)}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / TRAIN_FILE).write_text("".join(f"{lines[index]}\n" for index in part), encoding="utf-8")
        trained = train_again(path, folder, data=str(folder / TRAIN_FILE))
        config = first.model_copy(update={"adapter": trained.relative_to(path).as_posix()})
        _answer(shop, name, config, asked, len(part), scored_on)
    _answer(shop, name, first, asked, len(rows), scored_on)
    steps = RunFolder(path / FIRST_STAGE).read_json(PLAN_FILE)["num_steps"]
    sizes = [len(part) for part in parts] + [len(rows)]
    replace_json(path / CURVE_FILE, {"rows": sizes, "scored_on": scored_on, "steps": steps})


def nested_parts(groups: Sequence[str], parts: Sequence[float], seed: int) -> list[list[int]]:
    """Row numbers of each part, in the rows' order; a larger part holds the smaller ones, and a group is whole in it.
    `parts` rise; each has its share of the rows, to within a group. A part that is as large as another, or as all rows,
    since a group is large, is left out."""
    order = sorted(set(groups))
    random.Random(seed).shuffle(order)
    place = {group: number for number, group in enumerate(order)}
    drawn = sorted(range(len(groups)), key=lambda index: place[groups[index]])
    ends = {place[groups[drawn[max(round(part * len(groups)), 1) - 1]]] for part in parts} - {len(order) - 1}
    return [[index for index, group in enumerate(groups) if place[group] <= last] for last in sorted(ends)]


def _answer(shop: Workshop, name: str, config: PathConfig, asked: Sequence[Row], size: int, scored_on: str) -> None:
    """Answer the rows with the training on `size` rows, unless that was done."""
    path = shop.path_folder(name)
    file = _answers(path, size)
    if file.is_file():
        return
    if scored_on == TEST:
        note_touch(shop.folder.path, f"{name}/{CURVE_FOLDER}/{file.stem}")
    generator = open_path(config, path).generator
    label = f"{name}, trained on {size:,} rows"
    answers = answer_rows(generator, asked, shop.brief.task.scorer, config.sampling, label)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_jsonl(file, [answer.as_dict() for answer in answers])


def _answers(path: Path, size: int) -> Path:
    return path / CURVE_FOLDER / f"rows-{size}.jsonl"


def score_curve_again(path: Path, brief: Brief) -> None:
    """Score what the trainings of the curve said with the task's present scorer."""
    kept = _kept(path)
    known = {row.id: row for row in _scored_rows(kept, brief)}
    for size in kept.get("rows", []):
        answers = read_answers(_answers(path, size))
        given = [answer for answer in answers if answer["finish"] != "error" and answer["id"] in known]
        rows, texts = [known[answer["id"]] for answer in given], [answer["text"] for answer in given]
        for answer, scored in zip(given, score_replies(brief.task.scorer, rows, texts, "the curve"), strict=True):
            answer |= {"score": scored.score, "error": scored.error}
        write_jsonl(_answers(path, size), answers)


def _scored_rows(kept: dict[str, Any], brief: Brief) -> Sequence[Row]:
    """The rows that the trainings of a kept curve were asked: a dev row and a test row may have the same id."""
    return brief.test if kept.get("scored_on") == TEST else brief.dev


def _kept(path: Path) -> dict[str, Any]:
    file = path / CURVE_FILE
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return found


def curve_as_json(
    path: Path, brief: Brief, target: tuple[float, str] | None, by_seed: NDArray[np.float64] | None
) -> dict[str, Any]:
    """`learning_curve` of the path in the folder `path` for choice.json; {} where none was drawn.

    `target` is a score with what it is; `by_seed` are the path's scores [trainings, test rows], from which it is seen
    how far trainings lie apart (None: only one was made, and TRAINING_SPREAD is assumed).
    """
    kept = _kept(path)
    if not kept:
        return {}
    answers = [read_answers(_answers(path, size)) for size in kept["rows"]]
    group_of = {row.id: row.group for row in _scored_rows(kept, brief)}
    scores = np.array([scores_of(each) for each in answers])
    whole = ~np.isnan(scores).any(0)
    scores = scores[:, whole]
    groups = [
        group_of.get(each["id"], each["id"]) for each, is_whole in zip(answers[0], whole, strict=True) if is_whole
    ]
    if not groups:
        return {}
    spread = TRAINING_SPREAD
    if by_seed is not None and len(by_seed) > 2:
        spread = max(spread, float(np.nanmean(by_seed, axis=1).std(ddof=1)))
    intervals = [mean_interval(line, groups) for line in scores]
    points = [
        {"rows": size, "score": each.mean, "ci": [each.low, each.high]}
        for size, each in zip(kept["rows"], intervals, strict=True)
    ]
    fitted = fit_curve(kept["rows"], scores, groups, spread)
    told = {"points": points, "scored_on": kept["scored_on"], "rows_scored": len(groups), "steps": kept["steps"]}
    if isinstance(fitted, Meaningless):
        return told | {"forecast": [], "sentence": f"What more train rows would bring cannot be told: {fitted.why}."}
    forecast = [vars(fitted.forecast(times * fitted.most_rows)) for times in (2, FURTHEST)]
    reach = None if target is None or target[0] <= intervals[-1].mean else fitted.reach(target[0])
    return told | {
        "forecast": forecast,
        "reach": None if reach is None else vars(reach),
        "sentence": _sentence(fitted, intervals[-1].mean, brief.task.limits.margin, reach, target),
    }


def _sentence(
    fitted: CurveRange, score: float, margin: float, reach: Reach | None, target: tuple[float, str] | None
) -> str:
    twice = fitted.forecast(2 * fitted.most_rows)
    low, middle, high = fitted.gain()
    verdict = "More train rows may help, but these points do not settle it"
    if low >= margin:
        verdict = "More train rows would help"
    elif high < margin:
        verdict = "More train rows would hardly help"
    told = (
        f"{verdict}: at this training effort twice as many ({twice.rows:,}) would bring the score from {score:.2f} to "
        f"about {twice.score:.2f} ({twice.low:.2f} to {twice.high:.2f})."
    )
    return told if reach is None or target is None else f"{told} {_reaching(fitted, reach, target[1])}"


def _reaching(fitted: CurveRange, reach: Reach, what: str) -> str:
    """How many rows reach a target that is called `what`."""
    most = f"more than {FURTHEST * fitted.most_rows:,} rows"
    if reach.rows is None:
        least = "" if reach.at_least is None else f", though {_rounded(reach.at_least):,} might do"
        return f"To reach {reach.target:.2f} ({what}) would take {most}, if rows alone can do it{least}."
    assert reach.at_least is not None
    end = f"and perhaps {most}" if reach.at_most is None else f"{_rounded(reach.at_most):,} at most"
    return (
        f"To reach {reach.target:.2f} ({what}) would take about {_rounded(reach.rows):,} rows, "
        f"{_rounded(reach.at_least):,} at least {end}."
    )


def _rounded(number: int) -> int:
    """To two digits: nothing finer is known."""
    return round(number, 2 - len(str(number)))
