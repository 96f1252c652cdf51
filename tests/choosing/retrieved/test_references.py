"""What is measured beside the paths, to explain them: without passages, and with the right ones."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sartor.base.configuration import Layer, build
from sartor.base.errors import UsageError
from sartor.choosing.choose import ChooseConfig, Outcome, run
from sartor.choosing.measure import read_answers
from sartor.choosing.retrieved.references import GoldPassages, _key, references_of
from sartor.data.task import Task
from sartor.generation.protocol import Passage, Sampling
from sartor.retrieval.path import PathConfig, open_model, open_path


@pytest.fixture(scope="module")
def finished(models: Path, task: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    settings = {"task": str(task), "base": str(models / "language"), "paths": ["rag"], "budget": "3s"}
    out = tmp_path_factory.mktemp("runs") / "ships"
    return run(build(ChooseConfig, Layer({**settings, "out": str(out), "probes": ["none"]})))


def by_name(outcome: Outcome) -> dict[str, dict[str, Any]]:
    return {path["name"]: path for path in outcome.choice["paths"]}


def test_references_are_measured_and_reported_and_never_chosen(finished: Outcome) -> None:
    paths = by_name(finished)
    assert list(paths) == ["rag", "closed-book", "oracle"] and finished.choice["choice"] == "rag"
    for name in ("closed-book", "oracle"):
        assert paths[name]["reference"] and paths[name]["excluded"] == ["a reference, not a path"]
        assert paths[name]["n"] == paths["rag"]["n"] == 20
        low, high = paths[name]["ci"]
        assert low <= paths[name]["score"] <= high and paths[name]["setup_seconds"] < 1
        assert paths[name]["endpoint"] is None
        with pytest.raises(UsageError, match="is a reference, not a path"):
            open_model(str(finished.out), name)
    assert finished.choice["comparisons"] == []  # they take no part, so they make no other comparison weaker


def test_the_closed_book_is_asked_the_same_without_passages(finished: Outcome) -> None:
    answers = {name: read_answers(finished.out / "answers" / f"{name}.jsonl") for name in ("rag", "closed-book")}
    for grounded, closed in zip(answers["rag"], answers["closed-book"], strict=True):
        assert closed["passages"] == [] and closed["id"] == grounded["id"]
        assert closed["messages"][:-1] == grounded["messages"][:-1]
        assert closed["messages"][-1]["content"] == closed["question"]
        assert grounded["messages"][-1]["content"].endswith(f"Question: {closed['question']}")
    closed_book, rag = (PathConfig.load(finished.out / "paths" / name) for name in ("closed-book", "rag"))
    own = {"name", "description", "knowledge", "reference"}
    assert closed_book.model_dump(exclude=own) == rag.model_dump(exclude=own)


def test_the_oracle_reads_the_evidence_of_each_row(finished: Outcome, task: Path) -> None:
    rows = Task.load(task).test
    for answer, row in zip(read_answers(finished.out / "answers" / "oracle.jsonl"), rows, strict=True):
        assert [passage["document_id"] for passage in answer["passages"]] == list(row.evidence)
        assert answer["passages"][0]["text"] in answer["messages"][-1]["content"]


def test_the_diagnosis_of_an_oracle_misses_nothing(finished: Outcome) -> None:
    found = finished.choice["diagnosis"]
    assert found["oracle"]["not_retrieved"] == 0 and found["closed-book"]["not_known"] == 10
    assert found["rag"]["n"] == 20 and "not_used_oracle_right" in found["rag"]


@pytest.mark.parametrize("best_last", [False, True])
def test_a_path_sends_what_it_was_measured_with(finished: Outcome, task: Path, best_last: bool) -> None:
    folder = finished.out / "paths" / "rag"
    config = PathConfig.load(folder)
    assert config.knowledge is not None
    knowledge = config.knowledge.model_copy(update={"passages": 2, "best_last": best_last})
    opened = open_path(config.model_copy(update={"knowledge": knowledge}), folder)
    (question, *_) = Task.load(task).test
    sent, passages = opened.prepare(question.messages)
    (reply,) = opened.generator.generate([question.messages], Sampling(max_new_tokens=1))
    assert (reply.messages, reply.passages) == (sent, passages)
    assert passages is not None
    scores = [passage.score for passage in passages]
    assert len(scores) == 2 and scores == sorted(scores, reverse=not best_last) and scores[0] != scores[1]


def test_which_references_apply(finished: Outcome, task: Path, brief: Any, row: Any) -> None:
    with_evidence, without = brief([row(0, "q", "a", ["d"])]), brief([row(0, "q", "a")])
    assert references_of(["prompt", "rag"], with_evidence) == ["closed-book", "oracle"]
    assert references_of(["prompt", "rag"], without) == ["closed-book"]
    assert references_of(["prompt", "api+rag"], with_evidence) == []


def test_a_row_without_known_evidence_is_answered_from_what_is_retrieved(finding: Any, row: Any) -> None:
    known, unknown = row(0, "p", "a").messages, row(1, "q", "a").messages
    gold = [Passage("gold#0", "gold", "text", 1.0)]
    retriever = GoldPassages({_key(known): gold}, _filtering(finding({"q": ["x", "y", "z"]})))
    assert retriever.retrieve([_key(unknown), _key(known)], 2) == [
        [
            replace(gold[0], chunk_id=f"{id}#{place}", document_id=id, text=f"text of {id}")
            for place, id in enumerate("xy")
        ],
        gold,
    ]


def _filtering(found: Any) -> Any:
    """The retriever, also asked with a filter."""
    own = found.retrieve
    found.retrieve = lambda queries, k, where=None: own(queries, k)
    return found
