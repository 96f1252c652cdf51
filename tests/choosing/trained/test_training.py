"""The passages that fine-tuning with retrieval learns from, and the checkpoint that it keeps."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sartor.base.configuration import Layer, build, load_yaml
from sartor.base.metrics import read_metrics
from sartor.choosing import choose
from sartor.choosing.choose import ChooseConfig
from sartor.choosing.trained import scored_questions
from sartor.choosing.trained.training import SHARE_WITHOUT_GOLD, training_passages
from sartor.data.records import Message, Row
from sartor.generation.protocol import Passage
from tests import tiny_folders

IDS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=20)


def row_with(*evidence: str) -> Row:
    return Row("r", [Message(role="user", content="q")], ("a",), "g", evidence)


def passages_of(ids: list[str]) -> list[Passage]:
    return [Passage(f"{id}#{place}", id, id, 1.0) for place, id in enumerate(ids)]


@given(IDS, st.sets(st.sampled_from("abcdefgh"), max_size=2), st.integers(1, 5), st.integers(0, 9))
def test_each_row_has_gold_unless_it_is_taken_out_and_as_many_passages_as_there_are(
    ids: list[str], evidence: set[str], number: int, seed: int
) -> None:
    found = passages_of(ids)
    chosen = training_passages(row_with(*sorted(evidence)), found, number, random.Random(seed))
    places = [found.index(each) for each in chosen]
    assert len(places) == len(set(places)) <= number
    gold_found = [each for each in found if each.document_id in evidence]
    if not gold_found:
        assert chosen == found[:number]
        return
    gold = [each for each in chosen if each.document_id in evidence]
    taken_out = random.Random(seed).random() < SHARE_WITHOUT_GOLD
    assert bool(gold) != taken_out
    if taken_out:
        assert chosen == [each for each in found if each not in gold_found][:number]
    else:
        assert len(chosen) == min(number, len(found))
        distractors = [each for each in chosen if each not in gold_found]
        assert distractors == [each for each in found[:number] if each in distractors]  # as retrieved, in order


def test_the_share_without_gold_is_as_said_and_gold_stands_at_any_place() -> None:
    chance, found = random.Random(0), passages_of(list("bcdefa"))
    drawn = [training_passages(row_with("a"), found, 3, chance) for _ in range(3000)]
    places = [[each.document_id for each in chosen].index("a") for chosen in drawn if found[5] in chosen]
    assert abs(1 - len(places) / len(drawn) - SHARE_WITHOUT_GOLD) < 0.02
    assert all(abs(places.count(place) / len(places) - 1 / 3) < 0.05 for place in range(3))


def test_a_gold_passage_that_was_retrieved_keeps_its_place() -> None:
    found = passages_of(list("bacd"))
    drawn = [training_passages(row_with("a"), found, 2, random.Random(seed)) for seed in range(50)]
    assert {tuple(each.document_id for each in chosen) for chosen in drawn} == {("b", "a"), ("b", "c")}


def test_the_checkpoint_is_the_one_that_answers_best_as_the_path_will_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_folders.use_embedder(monkeypatch, tiny_folders.embedding_model(tmp_path / "embedding"))
    monkeypatch.setattr(scored_questions, "_number", lambda shop, rows, seconds: 3)
    settings = {
        "task": str(tiny_folders.task(tmp_path / "ships")),
        "base": str(tiny_folders.language_model(tmp_path / "tiny")),
        "out": str(tmp_path / "run"),
        "paths": ["finetune+rag"],
        "probes": ["none"],
        "budget": "8s",
    }
    outcome = choose.run(build(ChooseConfig, Layer(settings)))
    path = tmp_path / "run" / "paths" / "finetune+rag"
    trained = load_yaml(path / "run" / "config.yaml").values
    assert trained["best_by"] == "score" and trained["task"] == str(tmp_path / "ships")
    questions = scored_questions.kept_questions(path)
    held_out = [json.loads(line)["messages"] for line in (path / "dev.jsonl").read_text().splitlines()]
    assert [row.messages[-1] for row in questions] == [messages[1] for messages in held_out[:3]]
    assert all(row.messages[-1]["content"].startswith("[1] ") for row in questions)
    result = json.loads((path / "run" / "result.json").read_text())
    scores = {
        each["step"]: each["dev_score"] for each in read_metrics(path / "run" / "metrics.jsonl") if "dev_score" in each
    }
    assert scores and scores[result["best_step"]] == max(scores.values())
    (told,) = [each for each in outcome.choice["paths"][0]["chosen_on_dev"] if "best checkpoint" in each["setting"]]
    assert told["dev_score"] == scores[result["best_step"]] and told["chosen"]
