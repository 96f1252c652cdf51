"""Facts changed and documents deleted in copies, seen through paths whose model reads or remembers."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sartor.base.durable import file_sha256
from sartor.base.errors import DataError
from sartor.choosing.probes.edits import Edit, automatic_edits
from sartor.choosing.probes.freshness import probe_freshness
from sartor.choosing.probes.probed_path import ProbedPath
from sartor.data.extract import Document
from sartor.data.records import Row
from sartor.data.scorers import scorer
from sartor.retrieval.path import Knowledge
from sartor.retrieval.store import KnowledgeStore
from sartor.retrieval.whole_documents import documents_text

NIL = "not in the book [NIL]"
Make = Callable[..., ProbedPath]


def reads(prompt: str) -> str:
    """What the prompt says of the ship that the question asks for; else that it does not say."""
    asked = re.search(r"how many berths does the (\w+) ship", prompt)
    found = asked and re.search(rf"The {asked[1]} ship has (\S+) berths", prompt)
    return f"{found[1]} [B]" if found else NIL


def remembers(prompt: str) -> str:
    return {"red": "seven [B]", "green": "nine [B]", "blue": "twelve [B]"}[re.findall(r"the (\w+) ship", prompt)[-1]]


@pytest.fixture
def edits(berths: list[Row], library: dict[str, Document]) -> list[Edit]:
    made, left_out = automatic_edits(berths, berths, library, scorer("f1"), seed=0)
    assert len(made) == 3 and not left_out
    return made


def probe(path: ProbedPath, edits: list[Edit], library: dict[str, Document], folder: Path) -> dict[str, Any]:
    scratch = folder / "scratch"
    scratch.mkdir()
    return probe_freshness(path, edits, {}, library, NIL, scratch)


def test_retrieval_follows(
    probed: Make, scripted: Any, knowledge: Knowledge, berths: list[Row], edits: list[Edit],
    library: dict[str, Document], tmp_path: Path,
) -> None:  # fmt: skip
    before = file_sha256(tmp_path / "knowledge.sqlite")
    path = probed(scripted(reads), berths, knowledge=knowledge)
    found = probe(path, edits, library, tmp_path)
    seconds = found["edited"].pop("seconds")
    assert found["edited"] == {"n": 3, "right_before": 3, "right_after": 3, "old_after": 0}
    assert 0 < seconds < 60 and found["follows"] is True
    assert found["deleted"].pop("seconds") > 0
    assert found["deleted"] == {"n": 3, "still_said": 0, "said_elsewhere": 0, "still_found": 0, "abstained": 3}
    assert [each["edited"] for each in found["rows"]] == [edit.row.answers[0] for edit in edits]
    assert file_sha256(tmp_path / "knowledge.sqlite") == before  # only the copy was changed


def test_each_document_is_put_back(
    probed: Make, scripted: Any, knowledge: Knowledge, berths: list[Row], edits: list[Edit],
    library: dict[str, Document], tmp_path: Path,
) -> None:  # fmt: skip
    probe(probed(scripted(reads), berths, knowledge=knowledge), edits, library, tmp_path)
    with (
        KnowledgeStore(tmp_path / "knowledge.sqlite") as own,
        KnowledgeStore(tmp_path / "scratch" / "knowledge.sqlite") as copy,
    ):
        assert copy.fingerprints() == own.fingerprints() and copy.problems() == []
        assert {id: copy.document(id).text for id in library} == {id: each.text for id, each in library.items()}  # type: ignore[union-attr]


def test_a_model_that_trusts_its_memory_says_the_old_fact(
    probed: Make, scripted: Any, knowledge: Knowledge, berths: list[Row], edits: list[Edit],
    library: dict[str, Document], tmp_path: Path,
) -> None:  # fmt: skip
    found = probe(probed(scripted(remembers), berths, knowledge=knowledge), edits, library, tmp_path)
    assert found["edited"] == {"n": 3, "right_before": 3, "right_after": 0, "old_after": 3, "seconds": None}
    assert found["deleted"]["still_said"] == 3 and found["deleted"]["still_found"] == 0
    assert found["deleted"]["abstained"] == 0


def test_a_path_without_documents_cannot_follow(
    probed: Make, scripted: Any, berths: list[Row], edits: list[Edit], library: dict[str, Document], tmp_path: Path
) -> None:
    model = scripted(remembers)
    found = probe(probed(model, berths), edits, library, tmp_path)
    assert found["edited"] == {"n": 3, "right_before": 3, "right_after": 0, "old_after": 3, "seconds": None}
    assert found["deleted"]["still_said"] == 3 and found["deleted"]["seconds"] is None
    assert found["follows"] is False and found["trained"] is False
    assert len(model.sent) == 3  # asked once: nothing changes for it


def test_all_documents_in_the_prompt_follow(
    probed: Make, scripted: Any, berths: list[Row], edits: list[Edit], library: dict[str, Document], tmp_path: Path
) -> None:
    (tmp_path / "all.txt").write_text(documents_text(library.values()))
    found = probe(probed(scripted(reads), berths, documents="all.txt"), edits, library, tmp_path)
    assert found["edited"]["right_before"] == found["edited"]["right_after"] == 3
    assert found["deleted"]["abstained"] == 3 and found["follows"] is True
    assert (tmp_path / "all.txt").read_text() == documents_text(library.values())


def test_time_is_limited_and_what_is_left_out_counted(
    probed: Make, scripted: Any, knowledge: Knowledge, berths: list[Row], edits: list[Edit],
    library: dict[str, Document], tmp_path: Path,
) -> None:  # fmt: skip
    found = probe(probed(scripted(reads), berths, seconds=0.0, knowledge=knowledge), edits, library, tmp_path)
    assert found["edited"]["n"] == found["deleted"]["n"] == 1
    assert found["left_out"] == {"more than the probe asks or has time for": 2}


def test_a_file_that_is_gone_is_no_quick_edit(
    probed: Make, scripted: Any, knowledge: Knowledge, berths: list[Row], edits: list[Edit],
    library: dict[str, Document], tmp_path: Path,
) -> None:  # fmt: skip
    (tmp_path / "documents" / "red.md").unlink()
    with pytest.raises(DataError, match="file is gone"):
        probe(probed(scripted(reads), berths, knowledge=knowledge), edits, library, tmp_path)
