"""The scorer judge in task.yaml: which model judges, and every way of naming it wrongly."""

from pathlib import Path

import pytest

from sartor.base.errors import UsageError
from sartor.data.judge_settings import JudgeSettings
from sartor.data.scorers import scorer
from sartor.data.task import Task
from tests import tiny_folders


def task_with(folder: Path, text: str) -> Path:
    tiny_folders.task(folder)
    (folder / "task.yaml").write_text(text)
    return folder


def test_a_task_names_its_judge(tmp_path: Path) -> None:
    text = (
        "scorer: judge\njudge: {model: big, api_base_url: https://a.example/v1, api_key_env: KEY, rubric: Be kind.}\n"
    )
    loaded = Task.load(task_with(tmp_path / "task", text))
    assert loaded.scorer.name == "judge" and loaded.scorer.judge == loaded.judge
    assert loaded.judge is not None and loaded.judge.api_key_env == "KEY"
    assert "big" in loaded.scorer.description
    kept = loaded.keeping_judgements(tmp_path / "judged.jsonl")
    assert kept.scorer.judgements == tmp_path / "judged.jsonl" and kept.scorer.judge == loaded.judge


def test_a_judge_beside_another_scorer_only_compares(tmp_path: Path) -> None:
    loaded = Task.load(task_with(tmp_path / "task", "scorer: exact\njudge: {model: starter}\n"))
    assert loaded.scorer.name == "exact" and loaded.scorer.judge is None
    assert loaded.judge == JudgeSettings(model="starter")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("scorer: judge\n", "the scorer judge needs a model"),
        ("scorer: judge\njudge: {model: ''}\n", "'judge.model' cannot be ''"),
        ("scorer: judge\njudge: {modle: a}\n", "unknown key 'judge.modle'"),
        ("scorer: judge\njudge: {model: a, api_key_env: KEY}\n", "'judge' cannot be"),
        ("scorer: judge\njudge: {model: a, api_base_url: b, budget: 0}\n", "'judge.budget' cannot be 0"),
    ],
)
def test_a_wrong_judge_is_refused_with_its_place(tmp_path: Path, text: str, error: str) -> None:
    with pytest.raises(UsageError, match=error) as caught:
        Task.load(task_with(tmp_path / "task", text))
    assert "task.yaml" in str(caught.value.where)


def test_a_judge_is_no_scorer_of_texts_and_no_reward() -> None:
    with pytest.raises(UsageError, match="needs a model that judges"):
        scorer("judge")
    judged = scorer("judge", JudgeSettings(model="a"))
    with pytest.raises(UsageError, match="asks a model"):
        judged.score("x", ["x"])
    assert judged.problem(" ") is not None and judged.problem("x") is None


def test_the_identity_is_of_all_that_verdicts_depend_on() -> None:
    one = JudgeSettings(model="a")
    others = [
        JudgeSettings(model="b"),
        JudgeSettings(model="a", rubric="r"),
        JudgeSettings(model="a", api_base_url="u"),
    ]
    assert len({each.identity for each in (one, *others)}) == 4
    assert JudgeSettings(model="a", api_base_url="u", budget=1.0).identity == others[2].identity
