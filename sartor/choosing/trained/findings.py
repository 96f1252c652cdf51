"""What further trainings of a path came to, read from the run: its seeds and its learning curve, for choice.json."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sartor.choosing.brief import Brief
from sartor.choosing.labels import label
from sartor.choosing.measure import read_answers, scores_of
from sartor.choosing.trained.learning_curve import curve_as_json
from sartor.choosing.trained.seeds import answer_files, seeds_as_json
from sartor.choosing.verdict.race import Race


def scores_by_seed(run: Path, name: str) -> NDArray[np.float64] | None:
    """The scores of the path's trainings, [trainings, test rows]; None where it was not trained several times."""
    files = answer_files(run, name)
    return np.array([scores_of(read_answers(file)) for file in files]) if len(files) > 1 else None


def training_findings(
    run: Path, name: str, brief: Brief, race: Race | None, by_seed: NDArray[np.float64] | None
) -> dict[str, Any]:
    """`seeds` and `learning_curve` of the path, those that there are. `race` has the paths that it competes with."""
    found = seeds_as_json(run, name, by_seed)
    curve = curve_as_json(run / "paths" / name, brief, _target(name, brief, race), by_seed)
    return found | ({"learning_curve": curve} if curve else {})


def _target(name: str, brief: Brief, race: Race | None) -> tuple[float, str] | None:
    """The score that more rows would have to reach: the limit that is set, else the best rival's."""
    if brief.task.limits.min_score is not None:
        return brief.task.limits.min_score, "min_score, the limit"
    others = {other: race.scores[other].mean for other in race.paths if other != name} if race else {}
    if not others:
        return None
    best = max(others, key=lambda other: others[other])
    return others[best], f"the score of {label(best)}"
