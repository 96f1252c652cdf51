"""`sartor judge-check`: a sheet written, filled in and checked; exit code 4 where people disagree."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from sartor.cli.main import main
from sartor.recipes.labels import COLUMNS
from tests.tiny_folders import write_rows


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    file = tmp_path / "answers.jsonl"
    rows = [
        {"id": f"t{n}", "question": f"Where is {n}?", "accepted": [f"place {n}"], "finish": "stop"}
        | ({"text": f"place {n}", "score": 1.0} if n % 2 else {"text": "nowhere", "score": 0.0})
        for n in range(80)
    ]
    write_rows(file, rows)
    return file


def filled(sheet: Path, label_of: Any) -> None:
    with sheet.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    with sheet.open("w", newline="") as stream:
        table = csv.DictWriter(stream, COLUMNS)
        table.writeheader()
        table.writerows(row | {"label": label_of(row)} for row in rows)


def test_from_a_sheet_to_agreement(answers: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = answers.with_name("labels.csv")
    assert main(["judge-check", str(answers), "--sheet", str(sheet)]) == 0
    assert capsys.readouterr().out == f"50 answers to label in {sheet}\n"
    filled(sheet, lambda row: "right" if row["answer"].startswith("place") else "wrong")
    assert main(["judge-check", str(answers), "--labels", str(sheet)]) == 0
    shown = capsys.readouterr().out
    assert "agrees with people on 100 of 100 answers" in shown and "Cohen's kappa: 1.00" in shown
    assert "answers: 0.500 -> 0.500" in shown
    assert main(["judge-check", str(answers), "--labels", str(sheet), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "agrees"


def test_people_who_disagree_end_it_with_4_and_are_shown(answers: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = answers.with_name("labels.csv")
    main(["judge-check", str(answers), "--sheet", str(sheet), "--rows", "30", "--json"])
    assert json.loads(capsys.readouterr().out) == {"sheet": str(sheet), "rows": 30}
    filled(sheet, lambda row: int(not row["answer"].startswith("place")))
    assert main(["judge-check", str(answers), "--labels", str(sheet)]) == 4
    shown = capsys.readouterr().out
    assert "disagrees with people" in shown and "30 answers that people and scorer call differently" in shown
    assert "and 20 more; --json has them all" in shown and "(kappa -1.00)" in shown
