"""The learning curve of a choice: nested parts, equal effort, rows that selection did not use, sentences that hold."""

import json
import shutil
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sartor.base.configuration import load_yaml
from sartor.choosing import choose
from sartor.choosing.choose import Outcome, rescore
from sartor.choosing.measure import read_answers
from sartor.choosing.trained import learning_curve
from sartor.choosing.trained.learning_curve import CURVE_FILE, PARTS, curve_as_json, nested_parts
from sartor.data.writers import write_jsonl
from tests import tiny_folders
from tests.choosing.trained_run import NUM_DEV, NUM_TRAIN, config


@pytest.fixture(scope="module")
def finished(task: Path, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return choose.run(config(task, base, tmp_path_factory.mktemp("runs") / "curve", curve=True))


def path_of(run: Path) -> Path:
    return run / "paths" / "finetune"


# --- parts ------------------------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from("abcdefghijklmnop"), min_size=4, max_size=60), st.integers(0, 9))
def test_parts_are_nested_whole_groups_of_about_the_asked_size(groups: list[str], seed: int) -> None:
    parts = nested_parts(groups, PARTS, seed)
    assert [len(part) for part in parts] == sorted({len(part) for part in parts} - {len(groups)})
    assert all(set(small) < set(large) for small, large in pairwise([*parts, list(range(len(groups)))]))
    largest = max(Counter(groups).values())
    for part in parts:
        assert part == sorted(part)
        inside = {groups[index] for index in part}
        assert all((groups[index] in inside) == (index in part) for index in range(len(groups)))
        sizes = [round(size * len(groups)) for size in PARTS]
        assert any(size <= len(part) < size + largest for size in sizes) or len(part) == largest
    if largest == 1:
        assert len(parts) == len(PARTS)
    assert nested_parts(groups, PARTS, seed) == parts


@pytest.mark.parametrize(
    ("groups", "sizes"), [("a" * 30 + "b" * 30, [30]), ("a" * 90 + "b" * 10, None), ("a" * 60, [])]
)
def test_parts_that_large_groups_make_equal_are_there_once_and_none_is_all_rows(
    groups: str, sizes: list[int] | None
) -> None:
    for seed in range(6):
        found = [len(part) for part in nested_parts(list(groups), PARTS, seed)]
        assert found == sizes or (sizes is None and found in ([90], [10], []))


# --- a whole run ------------------------------------------------------------------------------------------------------


def test_every_size_is_trained_with_equal_effort_on_its_part(finished: Outcome) -> None:
    path = path_of(finished.out)
    kept = json.loads((path / CURVE_FILE).read_text())
    assert kept["rows"] == [NUM_TRAIN // 4, NUM_TRAIN // 2, NUM_TRAIN]
    first = load_yaml(path / "run" / "config.yaml").values
    whole = (path / "train.jsonl").read_text().splitlines()
    before: set[str] = set()
    for size in kept["rows"][:2]:
        folder = path / "curve" / f"rows-{size}"
        settings = load_yaml(folder / "run" / "config.yaml").values
        assert settings | {"data": "", "out": ""} == first | {"data": "", "out": ""}
        assert (folder / "run" / "plan.json").read_text() == (path / "run" / "plan.json").read_text()
        learnt = (folder / "train.jsonl").read_text().splitlines()
        assert len(learnt) == size and before < set(learnt) < set(whole)
        before = set(learnt)
    assert kept["steps"] == json.loads((path / "run" / "plan.json").read_text())["num_steps"]


def test_few_dev_rows_leave_the_test_rows_which_are_counted(finished: Outcome) -> None:
    """30 dev rows are all used to choose the checkpoint."""
    (path,) = finished.choice["paths"]
    curve = path["learning_curve"]
    assert curve["scored_on"].startswith("test rows") and curve["rows_scored"] == 20
    assert [point["rows"] for point in curve["points"]] == [16, 32, 64]
    touched = finished.choice["how"]["test_touches"]
    assert [touched[f"finetune/curve/rows-{size}"] for size in (16, 32, 64)] == [1, 1, 1]
    asked = {answer["question"] for answer in read_answers(path_of(finished.out) / "curve" / "rows-16.jsonl")}
    assert asked == {answer["question"] for answer in read_answers(finished.out / "answers" / "finetune.jsonl")}


def test_dev_rows_that_selection_did_not_use_are_enough_where_there_are_many(
    task: Path, base: Path, tmp_path: Path
) -> None:
    own = Path(shutil.copytree(task, tmp_path / "task"))
    rows = [{"question": f"which harbour has berth {n}", "answer": "north", "group": f"d{n}"} for n in range(130)]
    tiny_folders.write_rows(own / "dev.jsonl", rows)
    outcome = choose.run(config(own, base, tmp_path / "run", curve=True))
    curve = outcome.choice["paths"][0]["learning_curve"]
    assert curve["scored_on"].startswith("dev rows") and curve["rows_scored"] == 130 - 64
    path = path_of(outcome.out)
    asked = {answer["question"] for answer in read_answers(path / "curve" / "rows-16.jsonl")}
    chosen_by = {json.loads(line)["messages"][1]["content"] for line in (path / "dev.jsonl").read_text().splitlines()}
    chosen_by |= {
        json.loads(line)["messages"][0]["content"] for line in (path / "questions.jsonl").read_text().splitlines()
    }
    assert not asked & chosen_by and len(asked) == 66
    assert set(outcome.choice["how"]["test_touches"]) == {"finetune"}


def test_a_killed_run_goes_on_and_a_finished_one_does_nothing(
    task: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(task, base, tmp_path / "run", curve=True)
    answer, calls = learning_curve._answer, []

    def killed(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        answer(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(learning_curve, "_answer", killed)
        with pytest.raises(KeyboardInterrupt):
            choose.run(settings)
    path = path_of(tmp_path / "run")
    assert not (path / CURVE_FILE).exists()
    done = {file: file.stat().st_mtime_ns for file in path.rglob("adapter_model.safetensors")}
    outcome = choose.run(settings)
    assert len(done) == 3 and all(file.stat().st_mtime_ns == time for file, time in done.items()), "trained again"
    monkeypatch.setattr(learning_curve, "_draw", lambda *arguments: pytest.fail("drawn again"))
    assert choose.run(settings).choice == outcome.choice


def test_a_curve_can_be_drawn_of_a_finished_run(task: Path, base: Path, tmp_path: Path) -> None:
    before = choose.run(config(task, base, tmp_path / "run")).choice["paths"][0]
    after = choose.run(config(task, base, tmp_path / "run", curve=True)).choice["paths"][0]
    assert {key: value for key, value in after.items() if key != "learning_curve"} == before
    assert rescore(tmp_path / "run").choice["paths"][0]["learning_curve"] == after["learning_curve"]


def test_it_is_scored_again_with_the_present_scorer(finished: Outcome, task: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(finished.out, tmp_path / "run"))
    own = Path(shutil.copytree(task, tmp_path / "task"))
    (copy / "config.yaml").write_text((copy / "config.yaml").read_text().replace(str(task), str(own)))
    (own / "task.yaml").write_text((own / "task.yaml").read_text().replace("regex", "exact"))
    curve = rescore(copy).choice["paths"][0]["learning_curve"]
    assert [point["score"] for point in curve["points"]] == [0.0] * 3
    assert curve["forecast"] == [] and "no answer was right" in curve["sentence"]


@pytest.mark.parametrize(("settings", "what"), [({"paths": ["prompt"]}, "neither finetune nor"), ({}, "too few")])
def test_where_there_is_no_curve_to_draw_it_is_said(
    task: Path, base: Path, tmp_path: Path, settings: Any, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    own = Path(shutil.copytree(task, tmp_path / "task"))
    rows = (own / "train.jsonl").read_text().splitlines()
    if not settings:
        (own / "train.jsonl").write_text("".join(f"{row}\n" for row in rows[:20]))
    outcome = choose.run(config(own, base, tmp_path / "run", curve=True, budget="1s", **settings))
    assert what in capsys.readouterr().err and "learning_curve" not in outcome.choice["paths"][0]
    assert NUM_DEV == 30


# --- sentences --------------------------------------------------------------------------------------------------------


def told(folder: Path, brief: Any, row: Any, shares: list[float], scored: int, target: Any = None) -> dict[str, Any]:
    """What choice.json would say of trainings on 500, 1,000 and 2,000 rows that answered these shares rightly."""
    rows = [row(n, f"q{n}", "a") for n in range(scored)]
    (folder / "curve").mkdir(parents=True)
    for size, share in zip((500, 1000, 2000), shares, strict=True):
        right = np.random.default_rng(size).permutation(scored) < share * scored
        answers = [{"id": each.id, "score": float(value)} for each, value in zip(rows, right, strict=True)]
        write_jsonl(folder / "curve" / f"rows-{size}.jsonl", answers)
    (folder / CURVE_FILE).write_text(json.dumps({"rows": [500, 1000, 2000], "scored_on": "dev rows", "steps": 9}))
    return curve_as_json(folder, brief(rows, rows), target, None)


def test_it_says_that_more_rows_would_help(tmp_path: Path, brief: Any, row: Any) -> None:
    curve = told(tmp_path, brief, row, [0.2, 0.35, 0.5], 3000, (0.6, "min_score, the limit"))
    assert curve["sentence"].startswith("More train rows would help: at this training effort twice as many (4,000)")
    assert "To reach 0.60 (min_score, the limit) would take about" in curve["sentence"]
    assert [each["rows"] for each in curve["forecast"]] == [4000, 8000]
    assert all(each["low"] <= each["score"] <= each["high"] for each in curve["forecast"])
    assert curve["forecast"][0]["score"] == pytest.approx(0.62, abs=0.06)
    assert 2000 < curve["reach"]["at_least"] <= curve["reach"]["rows"] < 8000


def test_it_says_that_more_rows_would_hardly_help(tmp_path: Path, brief: Any, row: Any) -> None:
    curve = told(tmp_path, brief, row, [0.948, 0.95, 0.951], 4000, (0.999, "the score of the remote API"))
    assert curve["sentence"].startswith("More train rows would hardly help")
    assert "more than 8,000 rows, if rows alone can do it" in curve["sentence"]
    assert curve["reach"]["rows"] is None


def test_it_says_when_it_cannot_tell(tmp_path: Path, brief: Any, row: Any) -> None:
    noisy = told(tmp_path / "noisy", brief, row, [0.4, 0.42, 0.45], 60, (0.3, "a rival that is behind"))
    assert noisy["sentence"].startswith("More train rows may help, but these points do not settle it")
    assert noisy["reach"] is None and "To reach" not in noisy["sentence"]
    falling = told(tmp_path / "falling", brief, row, [0.8, 0.6, 0.4], 300)
    assert falling["forecast"] == [] and "the score fell" in falling["sentence"]
    assert len(falling["points"]) == 3
