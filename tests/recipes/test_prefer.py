"""A sitting of judgements with a made-up model: what is asked, on which side, and what is on disk at every moment."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from sartor.base.errors import DataError, SartorError, UsageError
from sartor.data.formats import read_records
from sartor.data.records import Conversation, Preference
from sartor.data.turns import message
from sartor.generation.protocol import Reply, Sampling
from sartor.models.hub import locate
from sartor.recipes import prefer
from sartor.recipes.dpo import DpoConfig
from sartor.recipes.judgements import Judgements
from sartor.recipes.pair_rows import prepare_pairs
from sartor.recipes.prefer import Contestant, PreferenceSession, open_contestants
from sartor.recipes.prefer_questions import Question
from tests import tiny_folders
from tests.tiny_folders import write_rows


class FakeModel:
    """Says its name and the seed it was given; `answers` overrides that for a question."""

    def __init__(self, name: str, answers: dict[str, str] | None = None):
        self.name, self.answers = name, answers or {}
        self.asked: list[Conversation] = []
        self.samplings: list[Sampling] = []
        self.failing: set[str] = set()
        self.cut: set[str] = set()
        self.gate = threading.Event()
        self.gate.set()

    def generate(
        self,
        conversations: Sequence[Conversation],
        sampling: Sampling,
        on_reply: Callable[[int, Reply], None] | None = None,
    ) -> list[Reply]:
        assert self.gate.wait(20)
        self.asked += conversations
        self.samplings.append(sampling)
        return [self._reply(conversation[-1]["content"], sampling) for conversation in conversations]

    def _reply(self, question: str, sampling: Sampling) -> Reply:
        if question in self.failing:
            return Reply("", "error", error="no answer today")
        finish = "length" if question in self.cut else "stop"
        return Reply(self.answers.get(question, f"{self.name} says {sampling.seed}"), finish)


def questions(count: int) -> list[Question]:
    return [_question(f"q{number}", f"What is {number}?") for number in range(count)]


def _question(name: str, text: str) -> Question:
    own = [message("user", text)]
    return Question(name, [message("system", "Be brief."), *own], own)


class Sitting:
    """Opens sessions one after another on the same file."""

    def __init__(self, folder: Path):
        self.file = folder / "preferences.jsonl"
        self.ties_file = folder / "preferences.ties.jsonl"
        self.first, self.second = FakeModel("first"), FakeModel("second")

    @contextmanager
    def session(self, asked: Sequence[Question], seed: int = 0, twice: bool = False) -> Iterator[PreferenceSession]:
        one = Contestant("first", self.first, 64)
        pair = (one, one if twice else Contestant("second", self.second, 64, has_own_prompt=True))
        with Judgements(self.file) as judgements, PreferenceSession(asked, pair, judgements, seed) as session:
            yield session

    def lines(self) -> list[dict]:
        return lines(self.file)

    def ties(self) -> list[dict]:
        return lines(self.ties_file)


def lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture
def sitting(tmp_path: Path) -> Sitting:
    return Sitting(tmp_path)


def judge_all(session: PreferenceSession, verdict: str = "left", most: int = 10**6) -> list[str]:
    """Judge every pair alike; the questions in the order they were shown."""
    shown = []
    while len(shown) < most and (pair := session.next_pair()) is not None:
        shown.append(pair.question.id)
        session.judge(pair.id, verdict)
    return shown


def test_a_judgement_is_a_row_that_training_reads(sitting: Sitting) -> None:
    with sitting.session(questions(1)) as session:
        pair = session.next_pair()
        assert pair is not None and session.next_pair() is pair  # until it is judged
        session.judge(pair.id, "right")
        assert len(sitting.lines()) == 1  # at once, not at the end
        assert session.next_pair() is None and session.is_finished
    (row,) = read_records(sitting.file, Preference).examples
    assert row.prompt == pair.prompt
    assert (row.chosen, row.rejected) == ([message("assistant", pair.right)], [message("assistant", pair.left)])
    (line,) = sitting.lines()
    assert line["chosen_side"] == "right" and line["id"] == "q0" and line["seed"] == 0 and line["seconds"] >= 0
    assert pair.right.startswith(line["chosen_model"]) and pair.left.startswith(line["rejected_model"])
    assert line["judged_at"].endswith("+00:00")


def test_an_answer_that_was_cut_at_its_length_is_recorded_as_such(sitting: Sitting) -> None:
    sitting.first.cut = {"What is 0?", "What is 1?"}
    sitting.second.cut = {"What is 1?"}
    with sitting.session(questions(3)) as session:
        judge_all(session)
    found = {line["id"]: line for line in sitting.lines()}
    (side,) = [side for side in ("chosen", "rejected") if found["q0"][f"{side}_model"] == "first"]
    assert {name: value for name, value in found["q0"].items() if name.endswith("_cut")} == {f"{side}_cut": True}
    assert found["q1"]["chosen_cut"] is found["q1"]["rejected_cut"] is True
    assert not any(name.endswith("_cut") for name in found["q2"])
    read = {row.prompt[-1]["content"]: row.is_cut for row in read_records(sitting.file, Preference).examples}
    assert read == {
        "What is 0?": (side == "chosen", side == "rejected"),
        "What is 1?": (True, True),
        "What is 2?": (False, False),
    }


def test_training_reads_every_preference_of_a_sitting_and_nothing_else(sitting: Sitting, tmp_path: Path) -> None:
    base = tiny_folders.language_model(tmp_path / "base")
    with sitting.session(questions(30)) as session:
        judge_all(session, "left", 12)
        judge_all(session, "tie", 3)
        session.undo()
        judge_all(session, "right", 12)
        judge_all(session, "skip")
    judged = {line["id"]: line for line in sitting.lines()}
    assert len(judged) == 24
    prepared = prepare_pairs(DpoConfig(data=str(sitting.file), base=str(base), out="run"), locate(base))
    assert prepared.dev and not prepared.bad_rows.rejects
    read = [
        tuple(prepared.chat.tokenizer.decode(row.ids) for row in (pair.chosen, pair.rejected))
        for pair in (*prepared.train, *prepared.dev)
    ]
    expected = [
        tuple(
            prepared.chat.tokenizer.decode(prepared.chat.prompt(line["prompt"])) + line[side][0]["content"]
            for side in ("chosen", "rejected")
        )
        for line in judged.values()
    ]
    assert len(read) == 24
    for whole in expected:
        assert sum(all(map(str.startswith, sides, whole)) for sides in read) == 1


def test_what_is_shown_does_not_tell_who_wrote_it(sitting: Sitting) -> None:
    sitting.first.answers = sitting.second.answers = {}
    with sitting.session(questions(1)) as session:
        pair = session.next_pair()
        assert pair is not None
        assert "second" not in pair.id and "models" not in repr(pair)


def test_each_model_is_sent_its_own_prompt_and_draws_differ(sitting: Sitting) -> None:
    with sitting.session(questions(1)) as session:
        session.next_pair()
    assert sitting.first.asked == [questions(1)[0].prompt]
    assert sitting.second.asked == [questions(1)[0].own]
    assert sitting.first.samplings[0].seed != sitting.second.samplings[0].seed
    assert sitting.first.samplings[0].temperature == 1.0 and sitting.first.samplings[0].max_new_tokens == 64


def test_sides_and_order_are_drawn_from_the_seed_and_balance(tmp_path: Path) -> None:
    sides: Counter[tuple[str, str]] = Counter()
    firsts: Counter[str] = Counter()
    for seed in range(60):
        sitting = Sitting(tmp_path / str(seed))
        with sitting.session(questions(8), seed) as session:
            shown = judge_all(session)
        firsts[shown[0]] += 1
        assert sorted(shown) == [f"q{number}" for number in range(8)]
        for line in sitting.lines():
            sides[line["id"], line["chosen_model"]] += 1
    # 60 fair draws a question: fewer than 12 or more than 48 of one kind has a probability below one in a million
    assert all(12 <= sides[f"q{number}", "first"] <= 48 for number in range(8))
    assert 190 <= sum(count for (_, model), count in sides.items() if model == "first") <= 290
    assert len(firsts) == 8


def test_the_same_seed_gives_the_same_pairs_and_another_one_others(tmp_path: Path) -> None:
    def shown(name: str, seed: int) -> list[tuple[str, str, str]]:
        found = []
        with Sitting(tmp_path / name).session(questions(6), seed, twice=True) as session:
            while (pair := session.next_pair()) is not None:
                found.append((pair.question.id, pair.left, pair.right))
                session.judge(pair.id, "left")
        return found

    assert shown("a", 3) == shown("b", 3) != shown("c", 4)


def test_what_is_judged_is_not_asked_again(sitting: Sitting) -> None:
    with sitting.session(questions(9)) as session:
        before = judge_all(session, "left", 2) + judge_all(session, "tie", 2) + judge_all(session, "skip", 1)
        assert session.counts.as_dict() | {"remaining": 4} == session.counts.as_dict()
    with sitting.session(questions(9), seed=1) as session:
        assert session.counts.judged_before == 5
        after = judge_all(session)
        assert session.counts.remaining == 0
    assert sorted(before + after) == [f"q{number}" for number in range(9)]
    with sitting.session(questions(9)) as session:
        assert session.next_pair() is None and session.is_finished
    with sitting.session(questions(9), twice=True) as session:  # the two models are others
        assert session.counts.judged_before == 0


def test_a_run_is_the_same_however_it_is_spelt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where earlier lines hold what was typed, and for paths of a choice."""
    (tmp_path / "runs" / "a").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    opened = []

    def opening(name: str, path_name: str | None = None) -> SimpleNamespace:
        opened.append(name)
        config = SimpleNamespace(max_new_tokens=8, description="")
        return SimpleNamespace(config=config, generator=FakeModel("one"))

    monkeypatch.setattr(prefer, "open_model", opening)
    file = tmp_path / "preferences.jsonl"

    def judged_before(model: str, path_name: str | None = None, against: str | None = None) -> int:
        contestants = open_contestants(model, path_name, against, None)
        with Judgements(file) as judgements, PreferenceSession(questions(1), contestants, judgements) as session:
            judge_all(session)
            return session.counts.judged_before

    assert judged_before("runs/a") == 0
    assert judged_before("./runs/a/") == judged_before(str(tmp_path / "runs" / "a")) == 1
    line = lines(file)[0]
    write_rows(file, [line | {"chosen_model": "runs/a", "rejected_model": "runs/a"}])
    assert judged_before("runs/a") == 1 and len(lines(file)) == 1
    assert judged_before("runs/a", "rag") == 0
    write_rows(file, [line | {"chosen_model": "runs/a:rag", "rejected_model": "runs/a:rag"}])
    assert judged_before("./runs/a", "rag") == 1
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert judged_before("../runs/a") == 0
    monkeypatch.chdir(tmp_path)
    assert judged_before("runs/a") == 1
    opened.clear()
    assert judged_before("runs/a", against="./runs/a") == 1 and opened == ["runs/a"]


def test_ties_and_skips_are_kept_where_training_does_not_read_them(sitting: Sitting) -> None:
    with sitting.session(questions(3)) as session:
        judge_all(session, "tie", 1)
        judge_all(session, "skip", 1)
        assert not sitting.file.exists()
        judge_all(session, "left")
        counts = session.counts
        assert (counts.preferences, counts.ties, counts.skips) == (1, 1, 1)
    assert [line["verdict"] for line in sitting.ties()] == ["tie", "skip"]
    assert all({line["left_model"], line["right_model"]} == {"first", "second"} for line in sitting.ties())
    assert len(read_records(sitting.file, Preference).examples) == 1
    with pytest.raises(DataError):
        read_records(sitting.ties_file, Preference)


def test_pairs_without_a_difference_are_counted_and_not_shown(sitting: Sitting) -> None:
    same, empty = {"What is 0?": "the same"}, {"What is 1?": " "}
    sitting.first.answers = same
    sitting.second.answers = {"What is 0?": "the same\n", **empty}
    sitting.first.failing = {"What is 2?"}
    with sitting.session(questions(4)) as session:
        assert judge_all(session) == ["q3"]
        counts = session.counts
        assert (counts.identical, counts.empty, counts.failed, counts.remaining) == (1, 1, 1, 0)
    assert sorted(line["verdict"] for line in sitting.ties()) == ["empty", "identical"]
    sitting.first.failing = set()
    with sitting.session(questions(4)) as session:
        assert judge_all(session) == ["q2"]  # what failed is asked again


def test_undo_takes_the_line_back_and_shows_the_pair_again(sitting: Sitting) -> None:
    with sitting.session(questions(4)) as session:
        assert session.undo() is None and not session.can_undo
        first, second = session.next_pair(), None
        assert first is not None
        session.judge(first.id, "left")
        second = session.next_pair()
        assert second is not None
        session.judge(second.id, "tie")
        third = session.next_pair()
        assert third is not None
        assert session.undo() is second and session.undo() is first
        assert sitting.lines() == [] and sitting.ties() == []
        assert (session.counts.preferences, session.counts.ties, session.counts.remaining) == (0, 0, 4)
        assert session.next_pair() is first
        session.judge(first.id, "right")
        assert session.next_pair() is second
        session.judge(second.id, "left")
        assert session.next_pair() is third
        judge_all(session)
    assert [line["chosen_side"] for line in sitting.lines()] == ["right", "left", "left", "left"]


def test_undo_keeps_what_was_recorded_by_itself_in_between(sitting: Sitting) -> None:
    asked = questions(12)
    sitting.first.answers = sitting.second.answers = {
        question.own[0]["content"]: "same" for question in asked if question.id != "q5"
    }
    with sitting.session(asked) as session:
        pair = session.next_pair()
        assert pair is not None and pair.question.id == "q5"
        session.judge(pair.id, "skip")
        assert session.next_pair() is None and session.counts.identical == 11
        assert session.undo() is pair
        assert [line["verdict"] for line in sitting.ties()] == ["identical"] * 11
        session.judge(pair.id, "left")
    assert len(sitting.lines()) == 1


def test_a_file_in_which_everything_is_undone_goes(sitting: Sitting) -> None:
    with sitting.session(questions(2)) as session:
        judge_all(session, "left", 1)
        session.undo()
    assert not sitting.file.exists() and not sitting.ties_file.exists()


def test_a_stale_pair_or_an_unknown_verdict_is_refused(sitting: Sitting) -> None:
    with sitting.session(questions(2)) as session:
        pair = session.next_pair()
        assert pair is not None
        with pytest.raises(UsageError, match="no verdict"):
            session.judge(pair.id, "identical")
        session.judge(pair.id, "left")
        with pytest.raises(UsageError, match="not the one on show"):
            session.judge(pair.id, "left")
    assert len(sitting.lines()) == 1


def test_answers_are_written_ahead_but_only_a_few(sitting: Sitting) -> None:
    with sitting.session(questions(20)) as session:
        assert session.next_pair() is not None
        with session._changed:
            assert session._changed.wait_for(lambda: len(session._written) == 3, 20)
        assert len(sitting.first.asked) <= 5


def test_nobody_waits_longer_than_asked(sitting: Sitting) -> None:
    sitting.first.gate.clear()
    with sitting.session(questions(1)) as session:
        assert session.next_pair(0) is None and not session.is_finished
        sitting.first.gate.set()
        assert session.next_pair() is not None


def test_what_stops_the_models_reaches_the_person_after_the_pairs_before_it(sitting: Sitting) -> None:
    class Refusing(FakeModel):
        def _reply(self, question: str, sampling: Sampling) -> Reply:
            if len(self.asked) == 3:
                raise UsageError("the key is rejected")
            return super()._reply(question, sampling)

    sitting.second = Refusing("second")
    with sitting.session(questions(5)) as session:
        assert len(judge_all(session, "left", 2)) == 2
        with pytest.raises(UsageError, match="the key is rejected"):
            session.next_pair()
    assert len(sitting.lines()) == 2


# --- the files --------------------------------------------------------------------------------------------


def test_a_torn_last_line_is_cut_off_and_its_question_asked_again(
    sitting: Sitting, capsys: pytest.CaptureFixture[str]
) -> None:
    with sitting.session(questions(3)) as session:
        order = judge_all(session)
    whole = sitting.file.read_bytes()
    for end in (len(whole) - 2, whole[:-1].rfind(b"\n") + 2):
        sitting.file.write_bytes(whole[:end])
        with sitting.session(questions(3)) as session:
            assert session.counts.judged_before == 2
            assert judge_all(session) == order[-1:]
        assert "not written to its end" in capsys.readouterr().err
        assert len(read_records(sitting.file, Preference).examples) == 3


def test_a_last_line_that_lacks_only_its_end_is_kept(sitting: Sitting) -> None:
    row = '{"prompt": "Why?", "chosen": "So.", "rejected": "No."}'
    sitting.file.write_text(row)
    with sitting.session(questions(1)) as session:
        judge_all(session)
    assert sitting.file.read_text().startswith(row + "\n")
    assert len(read_records(sitting.file, Preference).examples) == 2


@pytest.mark.parametrize("text", ['{"text": "no pair"}\n', "no json\n{}\n"])
def test_a_file_of_other_rows_is_left_alone(sitting: Sitting, text: str) -> None:
    sitting.file.write_text(text)
    for opening in (Judgements(sitting.file).require_usable, Judgements(sitting.file).__enter__):
        with pytest.raises(DataError, match=r"preferences\.jsonl:1"):
            opening()
    assert sitting.file.read_text() == text
    sitting.file.unlink()
    with sitting.session(questions(1)) as session:  # the refusal gave the lock back
        assert judge_all(session) == ["q0"]


def test_a_second_process_is_refused(sitting: Sitting) -> None:
    with sitting.session(questions(1)):
        for opening in (Judgements(sitting.file).require_usable, Judgements(sitting.file).__enter__):
            with pytest.raises(SartorError, match="is recording judgements in preferences.jsonl"):
                opening()


def test_half_a_surrogate_does_not_stop_the_file(sitting: Sitting) -> None:
    sitting.first.answers = {"What is 0?": "a\ud800b"}
    with sitting.session(questions(1)) as session:
        pair = session.next_pair()
        assert pair is not None
        session.judge(pair.id, "left")
    assert len(read_records(sitting.file, Preference).examples) == 1


def test_judgements_go_to_rows_in_lines_only(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no .jsonl file"):
        Judgements(tmp_path / "preferences.csv")
