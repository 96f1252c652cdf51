"""A training with a time to keep to knows what else takes time than its steps; what it is scored by."""

import time
from pathlib import Path

import pytest

from sartor.base.metrics import read_metrics
from sartor.data.records import Message, Row
from sartor.recipes import examples, planning
from sartor.recipes.finetune import FinetuneConfig, run
from sartor.recipes.held_out import HeldOutTask
from sartor.recipes.step_count import epochs_steps, schedule
from tests import tiny_folders

SECONDS = 6.0
ROWS = [{"question": f"the colour of {n * 7919}", "answer": ("red", "green", "blue")[n % 3]} for n in range(60)]


@pytest.fixture
def settings(tmp_path: Path) -> FinetuneConfig:
    tiny_folders.write_rows(tmp_path / "rows.jsonl", ROWS)
    return FinetuneConfig(
        data=str(tmp_path / "rows.jsonl"),
        base=str(tiny_folders.language_model(tmp_path / "tiny")),
        out=str(tmp_path / "run"),
        task=str(tiny_folders.task(tmp_path / "task")),
        best_by="score",
        lora_rank=4,
        epochs=5000,
        max_minutes=SECONDS / 60,
        patience=None,
    )


@pytest.mark.parametrize("slow", ["evaluation", "preparation"])
def test_what_takes_long_beside_the_steps_is_known_when_they_are_counted(
    settings: FinetuneConfig, monkeypatch: pytest.MonkeyPatch, slow: str
) -> None:
    prepare, known = examples.prepare, dict[str, float]()

    def score(self: HeldOutTask, model: object) -> float:
        time.sleep(0.5 if slow == "evaluation" else 0.0)
        return 0.5

    def prepared(config: FinetuneConfig) -> examples.Prepared:
        time.sleep(4.0 if slow == "preparation" else 0.0)
        return prepare(config)

    def counted(config: FinetuneConfig, steps: int, step: float, evaluation: float, spent: float) -> tuple[int, int]:
        known.update(evaluation=evaluation, preparation=spent)
        return schedule(config, steps, step, evaluation, spent)

    monkeypatch.setattr(HeldOutTask, "score", score)
    monkeypatch.setattr(examples, "prepare", prepared)
    monkeypatch.setattr(planning, "schedule", counted)
    result = run(settings)
    assert known[slow] >= {"evaluation": 0.5, "preparation": 4.0}[slow]
    assert 1 <= result.steps < epochs_steps(settings, 1)  # and so it ended before its 5,000 epochs


def test_what_was_spent_before_the_first_step_is_part_of_the_time(settings: FinetuneConfig) -> None:
    minute = settings.model_copy(update={"max_minutes": 1.0})
    assert schedule(minute, 1000, 1.0, 1.0) == (52, 7)
    assert schedule(minute, 1000, 1.0, 1.0, spent_seconds=30) == (24, 4)
    assert schedule(minute, 1000, 1.0, 1.0, spent_seconds=90) == (1, 1)
    whole = settings.model_copy(update={"max_minutes": None, "epochs": 1})
    assert schedule(whole, 1000, 1.0, 1.0, spent_seconds=90) == schedule(whole, 1000, 1.0, 1.0)


def test_given_questions_are_scored_in_the_place_of_the_tasks_own(
    settings: FinetuneConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    own = HeldOutTask.score

    def score(self: HeldOutTask, model: object) -> float:
        asked.extend(row.question for row in self.rows)
        return own(self, model)  # type: ignore[arg-type]

    monkeypatch.setattr(HeldOutTask, "score", score)
    right = Row("a", [Message(role="user", content="anything?")], (tiny_folders.ANYTHING,), "a")
    wrong = Row("b", [Message(role="user", content="nothing?")], ("never said",), "b")
    short = settings.model_copy(update={"epochs": 1, "max_minutes": None})
    result = run(short, [right, wrong])
    assert set(asked) == {"anything?", "nothing?"}
    scores = [line["dev_score"] for line in read_metrics(result.out / "metrics.jsonl") if "dev_score" in line]
    assert scores and set(scores) == {0.5}
