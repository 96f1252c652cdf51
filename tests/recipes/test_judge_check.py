"""`judge-check` as functions: sheets that hide who answered, labels that find their answers, what comes of both."""

import csv
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sartor.base.errors import DataError, UsageError
from sartor.evaluation import scoring
from sartor.evaluation.judge import Judge
from sartor.recipes.judge_check import CHECK_FILE, check, check_run
from sartor.recipes.labels import (
    COLUMNS,
    Answered,
    Labels,
    draw,
    homes,
    read_answered,
    read_labels,
    stand_for,
    write_sheet,
)
from tests import tiny_folders
from tests.evaluation.judges import ScriptedModel
from tests.tiny_folders import write_rows


def answer(number: int, text: str, score: float | None, **others: Any) -> dict[str, Any]:
    asked = {"id": f"t{number}", "question": f"Where is {number}?", "accepted": [f"place {number}"]}
    return asked | {"text": text, "score": score, "finish": "stop"} | others


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two paths that answer 100 rows: `prompt` is right in half of them, `rag` in nine of ten; they agree on some."""
    folder = tmp_path / "run"
    (folder / "answers").mkdir(parents=True)
    for name, right in (("prompt", 2), ("rag", 10)):
        rows = [answer(n, "nowhere", 0.0) if n % right == 0 else answer(n, f"place {n}", 1.0) for n in range(100)]
        write_rows(folder / "answers" / f"{name}.jsonl", rows)
    return folder


def fill(sheet: Path, label_of: Any) -> None:
    """Write what `label_of(row)` says into a .csv sheet."""
    with sheet.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    with sheet.open("w", newline="") as stream:
        table = csv.DictWriter(stream, COLUMNS)
        table.writeheader()
        table.writerows(row | {"label": label_of(row)} for row in rows)


def test_a_sheet_is_drawn_evenly_and_tells_neither_path_nor_score(run: Path, tmp_path: Path) -> None:
    answers = read_answered(run)
    drawn = draw(answers, 40)
    assert len({each.key for each in drawn}) == 40
    called = Counter(each.score for each in drawn)
    assert called[0.0] >= 10 and called[1.0] >= 10
    write_sheet(tmp_path / "labels.jsonl", drawn)
    rows = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text().splitlines()]
    assert all(tuple(row) == COLUMNS and row["label"] is None for row in rows)
    assert draw(answers, 40) == drawn
    scores = [each.score for each in drawn]
    assert scores != sorted(scores) and scores != sorted(scores, reverse=True)
    assert len(draw(answers, 10_000)) == len({each.key for each in answers})


def test_an_answer_that_two_paths_gave_is_labelled_once(run: Path) -> None:
    answers = read_answered(run)
    keys = {(each.id, each.text): each.key for each in answers}
    assert len(keys) == len(set(keys.values())) < len(answers)


def test_a_spreadsheet_takes_no_answer_for_a_formula(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.jsonl", [answer(1, '=HYPERLINK("http://x")', 0.0), answer(2, "-1", 0.0)])
    answers = read_answered(tmp_path / "a.jsonl")
    write_sheet(tmp_path / "labels.csv", draw(answers, 5))
    with (tmp_path / "labels.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["answer"] for row in rows} == {' =HYPERLINK("http://x")', " -1"}
    assert {row["key"] for row in rows} == {each.key for each in answers}


def test_labels_are_found_by_key_or_by_id_and_path(run: Path, tmp_path: Path) -> None:
    answers = read_answered(run)
    rows = [
        {"key": answers[0].key, "label": "Right"},
        {"id": answers[3].id, "path": "prompt", "label": 0},
        {"key": answers[5].key, "label": ""},
        {"key": "kgone", "label": 1},
        {"key": answers[0].key, "label": True},
    ]
    write_rows(tmp_path / "labels.jsonl", rows)
    labels = read_labels(tmp_path / "labels.jsonl", answers)
    assert labels.by_key == {answers[0].key: 1.0, answers[3].key: 0.0}
    assert (labels.blank, labels.unknown) == (1, 1)


@pytest.mark.parametrize(
    ("row", "field", "error"),
    [
        ({"key": "k1"}, "label", "'label' is missing"),
        ({"key": "k1", "label": "good"}, "label", "'good' is no label"),
        ({"key": "k1", "label": 5}, "label", "'5' is no label"),
        ({"key": "k1", "label": "nan"}, "label", "'nan' is no label"),
        ({"label": 1}, "key", "'key' is missing"),
        ({"id": "t1", "label": 1}, "path", "'path' is missing"),
        ({"id": "t1", "path": "rga", "label": 1}, "path", "there is no path 'rga'"),
        ({"id": "t999", "path": "rag", "label": 1}, "id", "path rag has no answer to row 't999'"),
    ],
)
def test_a_label_that_cannot_be_read_is_named_with_its_place(
    run: Path, tmp_path: Path, row: dict[str, Any], field: str, error: str
) -> None:
    file = tmp_path / "labels.jsonl"
    write_rows(file, [{"key": "kx", "label": 1}, row])
    with pytest.raises(DataError, match=error) as caught:
        read_labels(file, read_answered(run))
    assert caught.value.where == f"{file}:2, {field}" and caught.value.hint


def test_two_labels_of_one_answer_that_differ(run: Path, tmp_path: Path) -> None:
    key = read_answered(run)[0].key
    write_rows(tmp_path / "labels.jsonl", [{"key": key, "label": 1}, {"key": key, "label": 0}])
    with pytest.raises(DataError, match=r"another label in .*labels.jsonl:1"):
        read_labels(tmp_path / "labels.jsonl", read_answered(run))


@pytest.mark.parametrize(
    ("change", "field"),
    [({"text": None}, "text"), ({"accepted": "x"}, "accepted"), ({"score": 2}, "score"), ({"score": True}, "score")],
)
def test_answers_that_are_none(tmp_path: Path, change: dict[str, Any], field: str) -> None:
    file = tmp_path / "answers.jsonl"
    write_rows(file, [answer(1, "a", 1.0), answer(2, "a", 1.0) | change])
    with pytest.raises(DataError) as caught:
        read_answered(file)
    assert caught.value.where == f"{file}:2, {field}"


def test_a_scorer_that_people_agree_with(run: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "labels.csv"
    write_sheet(sheet, draw(read_answered(run), 60))
    fill(sheet, lambda row: int(row["answer"].startswith("place")))
    found = check_run(run, sheet)
    assert found.verdict == "agrees" and found.kappa == pytest.approx(1.0) and not found.disagreements
    assert found.paths["prompt"].estimate == pytest.approx(0.5) and found.paths["rag"].estimate == pytest.approx(0.9)
    kept = json.loads((run / CHECK_FILE).read_text())
    assert kept == found.as_json() and kept["paths"]["rag"]["scorer"] == pytest.approx(0.9)


def test_a_scorer_that_people_disagree_with_is_said_and_corrected(run: Path, tmp_path: Path) -> None:
    """People find every fourth answer right that it calls right, and all that it calls wrong wrong."""
    sheet = tmp_path / "labels.csv"
    write_sheet(sheet, draw(read_answered(run), 60))
    fill(sheet, lambda row: int(row["answer"].startswith("place") and int(row["answer"].split()[-1]) % 4 == 1))
    found = check_run(run, sheet)
    assert found.verdict == "disagrees" and "disagrees with people" in found.sentence
    assert found.agreement.high < 0.8
    assert len(found.disagreements) == found.table.wrong_right and found.table.right_wrong == 0
    assert found.disagreements[0].where.startswith(str(run / "answers"))
    rag = found.paths["rag"]
    assert rag.low is not None and rag.high is not None and rag.low < 0.25 < rag.high < 0.6 and rag.scorer == 0.9


def two_paths(seed: int) -> tuple[list[Answered], dict[str, float]]:
    """300 rows, and what is true of each answer. Both paths give 20 answers alike, which are right and called so; of
    `b` 180 others are called right, and people agree with half of them."""
    chance = random.Random(seed)
    answers, truth = [], {}
    for row in range(300):
        of_a, of_b = ("alike", "alike") if row < 20 else ("from a", "from b")
        called = {"a": row < 20, "b": row < 200}
        for path, text, is_right in (("a", of_a, row < 20), ("b", of_b, row < 20 or chance.random() < 0.5)):
            each = Answered(path, f"{seed}-{row}", "?", ("x",), text, float(called[path]), "a.jsonl:1")
            answers.append(each)
            truth[each.key] = float(is_right and called[path])
    return answers, truth


@pytest.mark.parametrize("filled_in", [100, 60])
def test_what_paths_agree_on_does_not_count_too_much(filled_in: int) -> None:
    """A label of an answer that two paths gave is in a small stratum of one and in a large one of the other. 60 drawn
    sheets, filled in in whole or in part: the corrected score is without bias and its interval holds."""
    off, inside, agreement_off = [], 0, []
    for seed in range(60):
        answers, truth = two_paths(seed)
        sheet = draw(answers, 100)[:filled_in]
        labels = Labels({each.key: truth[each.key] for each in sheet}, 0, 0)
        found = check(answers, labels, stand_for(answers, labels.by_key), "labels.csv")
        true = float(np.mean([truth[each.key] for each in answers if each.path == "b"]))
        by_b = found.paths["b"]
        assert by_b.estimate is not None and by_b.low is not None and by_b.high is not None
        off.append(by_b.estimate - true)
        inside += by_b.low <= true <= by_b.high
        agreement_off.append(found.agreement.mean - np.mean([truth[each.key] == each.score for each in answers]))
    assert abs(np.mean(off)) < 0.02 and abs(np.mean(agreement_off)) < 0.02
    assert inside >= 54


def test_an_answer_is_at_home_in_the_smallest_stratum_that_holds_it() -> None:
    answers, _ = two_paths(0)
    home_of = homes(answers)
    assert {home_of[each.key] for each in answers if each.text == "alike"} == {("a", True)}
    assert Counter(home_of.values()) == {("a", True): 20, ("a", False): 280, ("b", True): 180, ("b", False): 100}
    labelled = [each.key for each in draw(answers, 40)]
    assert sum(stand_for(answers, labelled).values()) == pytest.approx(580)


def test_unscored_answers_are_left_out_and_counted(run: Path, tmp_path: Path) -> None:
    rows = [answer(n, f"place {n}", None if n % 2 else 1.0, error="no verdict") for n in range(40)]
    write_rows(tmp_path / "a.jsonl", rows)
    write_rows(tmp_path / "labels.jsonl", [{"id": f"t{n}", "label": 1} for n in range(40)])
    found = check_run(tmp_path / "a.jsonl", tmp_path / "labels.jsonl")
    assert (found.labelled, found.unscored) == (20, 20) and found.paths["a"].n == 20
    assert not (tmp_path / CHECK_FILE).exists()


def test_too_few_labels_and_none(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    answers = read_answered(run)
    for rows, error in (
        ([{"key": answers[0].key, "label": 1}], "1 labelled answers are too few"),
        ([{"key": answers[0].key, "label": None}], "there are no labels"),
        ([{"key": "kgone", "label": 1}], "none of the labels"),
    ):
        write_rows(file, rows)
        with pytest.raises(DataError, match=error):
            check_run(run, file)


def test_a_judge_is_tried_before_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answers were scored exactly; a judge that accepts other words agrees with people, which exact does not."""
    task = tiny_folders.task(tmp_path / "task", "exact")
    rows = [json.loads(line) for line in (task / "test.jsonl").read_text().splitlines()]
    answers = [
        answer(n, f"in the {row['answer']} one" if n % 2 else "no", 0.0) | {"accepted": [row["answer"]]}
        for n, row in enumerate(rows)
    ]
    write_rows(tmp_path / "a.jsonl", answers)
    write_rows(tmp_path / "labels.jsonl", [{"id": f"t{n}", "label": n % 2} for n in range(20)])
    assert check_run(tmp_path / "a.jsonl", tmp_path / "labels.jsonl").verdict == "disagrees"

    def say(shown: str) -> str:
        return f"VERDICT: {'RIGHT' if 'in the' in shown else 'WRONG'}"

    monkeypatch.setattr(scoring, "open_judge", lambda settings, kept: Judge(ScriptedModel(say), settings.model))
    (task / "task.yaml").write_text("scorer: judge\njudge: {model: big}\n")
    found = check_run(tmp_path / "a.jsonl", tmp_path / "labels.jsonl", str(task))
    assert found.verdict == "agrees" and found.kappa == pytest.approx(1.0)
    assert found.paths["a"].scorer == 0.5
    write_rows(tmp_path / "a.jsonl", [*answers, answer(999, "x", 0.0)])
    with pytest.raises(DataError, match="row 't999', which the task does not have"):
        check_run(tmp_path / "a.jsonl", tmp_path / "labels.jsonl", str(task))


def test_a_sheet_never_replaces_a_file(run: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        write_sheet(tmp_path / "labels.csv", draw(read_answered(run), 5))
    with pytest.raises(UsageError, match=r"no \.csv or \.jsonl"):
        write_sheet(tmp_path / "labels.xlsx", draw(read_answered(run), 5))
