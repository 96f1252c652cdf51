"""The benchmark of the verdict's error rates in a reduced form, and the populations that it draws from."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from benchmarks.verdict_calibration import (
    Population,
    _difference_coverage,
    _mean_coverage,
    cases_alike,
    dealt,
    false_decisions,
    measured_power,
    planted,
    recorded,
    simulated,
)

POPULATIONS = {each.name: each for each in simulated()}


@pytest.mark.parametrize(
    ("name", "repetitions"), [("simulated 0/1", 200), ("simulated groups", 60), ("simulated 0/1, 9 paths", 60)]
)
def test_paths_made_equal_are_seldom_decided(name: str, repetitions: int) -> None:
    for _, part, alike in cases_alike(POPULATIONS[name])[:2]:
        wrong = false_decisions(part, alike, 150, repetitions) * repetitions
        assert wrong <= stats.binom.ppf(0.999, repetitions, 0.05)


def test_a_planted_difference_is_found_as_often_as_planned() -> None:
    two = Population("two", ("cheap", "dear"), np.repeat([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [30, 5, 65], axis=0))
    mixed = planted(two, 0.4)
    assert mixed.scores.mean(0) @ [-1, 1] == pytest.approx(0.6 * 0.25)
    choice, rows, settled = measured_power(mixed, 400)
    assert choice == "dear" and rows is not None and 50 < rows < 300
    assert settled == pytest.approx(0.8, abs=0.06)


@pytest.mark.parametrize("size", [100, 400])
@pytest.mark.parametrize("name", ["simulated 0/1", "simulated fractions"])
def test_intervals_hold_the_truth_as_often_as_they_say(name: str, size: int) -> None:
    scores = POPULATIONS[name].scores
    generator = np.random.default_rng(0)
    for share in (
        _mean_coverage(generator, scores[:, 0], size, 600),
        _difference_coverage(generator, scores[:, [0, 2]], size, 600),
    ):
        assert 0.92 <= share <= 0.985


def test_dealing_out_keeps_the_scores_of_a_row_and_makes_paths_equal() -> None:
    generator = np.random.default_rng(1)
    scores = np.tile([0.0, 0.5, 1.0], (4000, 1))
    groups = np.arange(1000).repeat(4)
    mixed = dealt(generator, scores, groups, [0, 2], 1.0)
    assert (np.sort(mixed, 1) == scores).all() and (mixed[:, 1] == 0.5).all()
    assert mixed.mean(0) == pytest.approx([0.5, 0.5, 0.5], abs=0.05)
    assert (mixed.reshape(1000, 4, 3) == mixed.reshape(1000, 4, 3)[:, :1]).all()
    assert (dealt(generator, scores, None, [0, 2], 0.0) == scores).all()


def test_a_runs_answers_are_read_without_unscored_rows(tmp_path: Path) -> None:
    (tmp_path / "answers").mkdir()
    for name, scores in (("prompt", [1, 0, None]), ("rag", [0.5, 1, 1])):
        lines = [json.dumps({"id": f"t{row}", "score": score}) for row, score in enumerate(scores)]
        (tmp_path / "answers" / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    (tmp_path / "config.yaml").write_text("task: /nowhere\nout: there\n")
    found = recorded(tmp_path)
    assert found.paths == ("prompt", "rag") and found.groups is None
    assert found.scores.tolist() == [[1, 0.5], [0, 1]]


def test_a_case_of_two_paths_says_that_their_answers_are_exchanged() -> None:
    names = [name for name, _, _ in cases_alike(POPULATIONS["simulated 0/1"])]
    assert names[:2] == ["all alike", "two best alike"]
    assert len(names) == 6 and all(" and " in name and name.endswith(" exchanged") for name in names[2:])
