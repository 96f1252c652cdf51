"""Replies are worth what a scorer says, by text or by judge, and thinking aloud is no part of them."""

import pytest

from sartor.data.judge_settings import JudgeSettings
from sartor.data.records import Message, Row
from sartor.data.scorers import scorer
from sartor.evaluation import scoring
from sartor.evaluation.judge import Judge
from sartor.evaluation.runner import answer_rows
from sartor.evaluation.scoring import as_asked, score_replies
from sartor.generation.protocol import Reply, Sampling
from tests.evaluation.judges import ScriptedModel

ROWS = [Row(f"r{n}", [Message(role="user", content=f"question {n}")], (f"answer {n}",), f"g{n}") for n in range(4)]
JUDGED = scorer("judge", JudgeSettings(model="big"))


def strict(shown: str) -> str | Reply:
    """Right when the answer is the reference, wrong when it says no, else nothing that can be read."""
    reference, answer = (part.split(">\n")[1].split("\n</")[0] for part in shown.split("\n\n")[1:])
    if answer == reference:
        return "It is the same.\nVERDICT: RIGHT"
    return {"no": "VERDICT: WRONG", "half": "VERDICT: PARTLY"}.get(answer, "Well.")


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> ScriptedModel:
    model = ScriptedModel(strict)
    monkeypatch.setattr(scoring, "open_judge", lambda settings, kept: Judge(model, settings.model, settings.rubric))
    return model


def test_scorers_of_texts_read_what_follows_the_thinking() -> None:
    replies = ["answer 0", "<think>answer 0?</think>answer 1", "<think>answer 2", "no"]
    assert [each.score for each in score_replies(scorer("exact"), ROWS, replies, "x")] == [1, 1, 0, 0]


def test_a_judge_scores_and_what_it_did_not_say_is_unscored(judge: ScriptedModel) -> None:
    found = score_replies(JUDGED, ROWS, ["answer 0", "<think>hm</think>half", "no", "something"], "x")
    assert [each.score for each in found] == [1.0, 0.5, 0.0, None]
    assert [each.error for each in found[:3]] == [None, None, None] and "no verdict" in str(found[3].error)
    assert found[3].judged is not None and found[3].judged["said"] == "Well."
    assert found[0].judged is not None and found[0].judged["prompt"].startswith("1:")
    assert "hm" not in judge.asked[1][1]["content"]


def test_answers_keep_the_judgement_and_errors_are_not_judged(judge: ScriptedModel) -> None:
    texts = iter(["answer 0", "no", "", "something"])

    def say(shown: str) -> Reply:
        text = next(texts)
        return Reply(text, "stop" if text else "error", error=None if text else "HTTP 500")

    answers = answer_rows(ScriptedModel(say), ROWS, JUDGED, Sampling(), "x")
    assert [answer.score for answer in answers] == [1.0, 0.0, None, None]
    assert len(judge.asked) == 3
    assert answers[2].error == "HTTP 500" and "judged" not in answers[2].as_dict()
    assert answers[3].finish == "stop" and answers[3].as_dict()["judged"]["verdict"] is None


def test_a_judge_of_nothing_is_not_opened() -> None:
    assert score_replies(JUDGED, [], [], "x") == []


def test_a_judge_reads_all_turns() -> None:
    said = [("user", "Hi"), ("assistant", "Yes?"), ("user", "A?")]
    turns = [Message(role=role, content=text) for role, text in said]
    assert as_asked(turns[:1]) == "Hi"
    assert as_asked(turns) == "user: Hi\n\nassistant: Yes?\n\nuser: A?"
