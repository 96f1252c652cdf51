"""`sartor choose` over the paths that only prompt, on tiny random models: what it leaves is what it measured."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from sartor.base.configuration import Layer, build
from sartor.base.errors import UsageError
from sartor.choosing.choose import ChooseConfig, Outcome, run
from sartor.choosing.measure import read_answers
from sartor.choosing.prompted import long_context
from sartor.data.task import Task
from sartor.retrieval.path import Similar, chosen_path, open_model, open_path
from tests import tiny_folders

PATHS = ["prompt", "rag", "long-context"]


def config(models: Path, task: Path, out: Path, **settings: Any) -> ChooseConfig:
    values = {"task": str(task), "out": str(out), "base": str(models / "language"), "budget": "2m"} | settings
    return build(ChooseConfig, Layer(values))


@pytest.fixture(scope="module")
def finished(models: Path, task: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run(config(models, task, tmp_path_factory.mktemp("runs") / "ships", paths=PATHS))


def fitted(outcome: Outcome, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((outcome.out / "paths" / name / "fitted.json").read_text())
    return found


def test_the_paths_answer_as_they_were_measured(finished: Outcome, task: Path) -> None:
    rows = Task.load(task).test
    for name in PATHS:
        path = open_model(str(finished.out), name)
        answers = read_answers(finished.out / "answers" / f"{name}.jsonl")
        for row, answer in zip(rows, answers, strict=True):
            sent, passages = path.prepare(row.messages)
            assert sent == answer["messages"]
            assert (passages is None) == (name != "rag")


def test_all_documents_stand_in_the_prompt_of_long_context(finished: Outcome) -> None:
    (answer, *_) = read_answers(finished.out / "answers" / "long-context.jsonl")
    system = answer["messages"][0]["content"]
    places = [system.index(f"{ship}.md") for ship in sorted(tiny_folders.SHIPS)]
    assert places == sorted(places) and system.startswith("Documents:\n\n[1] ")
    (path,) = [each for each in finished.choice["paths"] if each["name"] == "long-context"]
    assert 0 < path["freshness_seconds"] < 60


def test_every_setting_is_told_with_the_rows_it_was_asked(finished: Outcome, task: Path) -> None:
    tried = fitted(finished, "prompt")["chosen_on_dev"]
    assert sum(each["chosen"] for each in tried) == 1
    assert {"instruction, 0 examples", "instruction, the 16 most similar examples"} <= {
        each["setting"] for each in tried
    }
    assert all(each["rows"] == len(Task.load(task).dev) for each in tried)  # fewer than a first round asks


def test_a_path_with_similar_examples_that_a_run_made_can_be_moved_with_it(finished: Outcome, tmp_path: Path) -> None:
    copy = shutil.copytree(finished.out, tmp_path / "moved")
    config, folder = chosen_path(copy, "prompt")
    shown = config.model_copy(update={"similar": Similar(file="../../examples.sqlite", number=3, dense_weight=0.9)})
    question: Any = [{"role": "user", "content": "where does captain 1 of the red ship moor"}]
    sent, _ = open_path(shown, folder).prepare(question)
    assert len(sent) == len(open_path(config, folder).prepare(question)[0]) + 6 - 2 * (
        config.similar.number if config.similar else 0
    )
    assert "red" in sent[-3]["content"]


def test_a_model_that_reads_too_little_has_no_long_context_path(
    models: Path, task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_context, "context_tokens", lambda folder: 90)
    with pytest.raises(UsageError, match="path long-context cannot be measured: .* reads 90 tokens"):
        run(config(models, task, tmp_path / "one", paths=["long-context"]))
