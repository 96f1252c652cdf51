"""What choice.json says of the probes, from the files alone."""

import json
from pathlib import Path
from typing import Any

from sartor.choosing.probes.findings import findings, result_file


def write(run: Path, probe: str, found: dict[str, Any]) -> None:
    file = result_file(run, "rag", probe)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"key": "k", "seconds": 1.0, "found": found}))


def fresh(**changes: Any) -> dict[str, Any]:
    edited = {"n": 20, "right_before": 15, "right_after": 12, "old_after": 3, "seconds": 0.84}
    deleted = {"n": 20, "still_said": 1, "abstained": 11, "seconds": 0.7}
    return {
        "edited": edited,
        "deleted": deleted,
        "follows": True,
        "trained": False,
        "rows": [1],
        "left_out": {},
    } | changes


UNANSWERABLE = {"n": 5, "abstained": 4, "phrase": "no", "answerable": {"n": 25, "abstained": 2}}


def test_a_path_that_was_not_probed(tmp_path: Path) -> None:
    assert findings(tmp_path, "rag") == {}


def test_rows_stay_in_their_file(tmp_path: Path) -> None:
    write(tmp_path, "freshness", fresh())
    assert findings(tmp_path, "rag")["freshness"].keys() == {"edited", "deleted", "follows", "trained", "sentence"}


def test_both_kinds_of_unanswerable_questions_are_counted(tmp_path: Path) -> None:
    write(tmp_path, "robustness", {"unanswerable": UNANSWERABLE, "rows": []})
    assert findings(tmp_path, "rag")["robustness"] == {"unanswerable": UNANSWERABLE}
    write(tmp_path, "freshness", fresh())
    assert findings(tmp_path, "rag")["robustness"]["unanswerable"] == UNANSWERABLE | {
        "n": 25,
        "abstained": 15,
        "own": {"n": 5, "abstained": 4},
        "removed": {"n": 20, "abstained": 11},
    }
    write(tmp_path, "freshness", fresh(follows=False))  # for a path that reads nothing, nothing was taken away
    assert findings(tmp_path, "rag")["robustness"]["unanswerable"] == UNANSWERABLE


def test_what_was_never_right_took_no_time_to_be(tmp_path: Path) -> None:
    found = fresh()
    write(tmp_path, "freshness", found | {"edited": found["edited"] | {"right_after": 0, "seconds": None}})
    assert findings(tmp_path, "rag")["freshness"]["sentence"] == (
        "Retrieval told 0 of 20 changed facts as they are now and 3 as they were."
    )


def test_sentences(tmp_path: Path) -> None:
    write(tmp_path, "freshness", fresh())
    assert findings(tmp_path, "rag")["freshness"]["sentence"] == (
        "Retrieval told 12 of 20 changed facts as they are now, 0.8 s after the change (median, answering included), "
        "and 3 as they were."
    )
    write(tmp_path, "freshness", fresh(follows=False))
    assert findings(tmp_path, "rag")["freshness"]["sentence"].endswith("only if someone rewrites its prompt.")
    (tmp_path / "paths" / "rag").mkdir(parents=True)
    (tmp_path / "paths" / "rag" / "fitted.json").write_text('{"setup_seconds": 90.0}')
    write(tmp_path, "freshness", fresh(follows=False, trained=True))
    assert findings(tmp_path, "rag")["freshness"]["sentence"].endswith("by training again, which took 1 min 30 s.")
