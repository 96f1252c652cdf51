"""Leaks between train and test: exact and near pairs, the same that a slow comparison of all pairs finds."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sartor.base.errors import DataError
from sartor.data.leaks import check_leaks, find_leaks, similar_pairs, without_leaks
from sartor.data.records import Row
from sartor.data.task import Task
from sartor.data.task_rows import normalised
from sartor.data.turns import message


def rows_of(split: str, *questions: str) -> list[Row]:
    return [
        Row(f"{split}{i}", [message("user", question)], ("a",), question, where=f"{split}.jsonl:{i}")
        for i, question in enumerate(questions, start=1)
    ]


def slow_jaccard(a: str, b: str) -> float:
    def grams(text: str) -> set[str]:
        text = text.ljust(5)
        return {text[i : i + 5] for i in range(len(text) - 4)}

    return len(grams(a) & grams(b)) / len(grams(a) | grams(b))


words = st.lists(
    st.sampled_from(["what", "is", "the", "fee", "fees", "for", "a", "card", "é", "费用"]), max_size=8
)
texts = st.lists(words.map(" ".join), max_size=12)


@given(texts=texts, queries=texts, least=st.sampled_from([0.2, 0.5, 0.8, 1.0]))
def test_pairs_and_similarities_equal_the_definition(
    texts: list[str], queries: list[str], least: float
) -> None:
    found = {(i, j): similarity for i, j, similarity in similar_pairs(texts, queries, least)}
    expected = {
        (i, j): slow_jaccard(text, query) for i, text in enumerate(texts) for j, query in enumerate(queries)
    }
    assert found == pytest.approx({pair: value for pair, value in expected.items() if value >= least})


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("How  do I pay?", "how do i pay"),
        ("top-up!", "Top up"),
        ("ﬁne ２", "Fine 2"),
        ("STRASSE", "straße"),
        ("???", "???"),
    ],
)
def test_case_punctuation_and_spacing_do_not_count(a: str, b: str) -> None:
    assert normalised(a) == normalised(b)
    report = find_leaks(rows_of("train", a), rows_of("test", b))
    assert [leak.similarity for leak in report.exact] == [1.0] and not report.near


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("What is it?", "what is it"),
        ("“What”, it said: is (it)!", "what it said is it"),
        ("12 − 5", "12-5"),
        ("Is **this** `it`?", "is this it"),
        ("# A heading\n* and an item | 1,000 |", "a heading and an item 1,000."),
        ("COVID-19", "covid 19"),
    ],
)
def test_the_marks_of_sentences_and_of_layout_do_not_count(a: str, b: str) -> None:
    assert normalised(a) == normalised(b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("12 + 5", "12 - 5"), ("x < y", "x > y"), ("C", "C++"), ("C#", "C"), ("-5", "5"), ("x = -y", "x = y"),
        ("1.5", "15"), (".5", "5"), ("1.5", "1 5"), ("5 %", "5"), ("$5", "€5"), ("(8 - 3) * 2", "8 - 3 * 2"),
        ("(x+y)^2", "x+y^2"), ("2*(x + y)", "2*x + y"), ("की", "का"), ("What is 😀?", "What is 😢?"),
    ],
)  # fmt: skip
def test_what_changes_a_question_counts(a: str, b: str) -> None:
    assert normalised(a) != normalised(b)
    report = find_leaks(rows_of("train", a), rows_of("test", b))
    assert not report.exact


def test_sums_are_as_many_questions_as_are_written() -> None:
    sums = [f"What is {a} {sign} {b}?" for a in range(10) for b in range(10) for sign in "+-*/"]
    assert len({normalised(each) for each in sums}) == 400
    report = find_leaks(rows_of("train", *sums[:300]), rows_of("test", *sums[300:]))
    assert not report.exact


def test_different_questions_are_no_leak() -> None:
    for a, b in [
        ("Who is he?", "Who is she?"),
        ("?", "!"),
        ("你好吗", "你是谁"),
        ("Fly to Paris", "Fly to Rome"),
    ]:
        report = find_leaks(rows_of("train", a), rows_of("test", b))
        assert not report.exact and not report.near


def test_one_letter_in_fifty_is_near_and_both_places_are_named() -> None:
    question = "can you tell me when the new card will reach me ok"
    changed = question.replace("new", "nex")
    report = find_leaks(rows_of("train", "other", question), rows_of("test", changed))
    [leak] = report.near
    assert leak.similarity == pytest.approx(41 / 51) and not report.exact
    assert "train.jsonl:2 and test.jsonl:1 (0.80)" in report.text()


def test_dialogues_that_only_end_alike_are_not_the_same() -> None:
    turns = [
        message("user", "Which plan do I have?"),
        message("assistant", "Basic."),
        message("user", "And the fee?"),
    ]
    learnt = [Row("1", turns, ("a",), "g", where="train.jsonl:1")]
    report = find_leaks(learnt, rows_of("test", "And the fee?"))
    assert not report.exact and not report.near


def test_only_exact_leaks_are_dropped_and_only_from_the_rows_to_learn_from() -> None:
    long = "how can i check whether my top up has worked or not"
    learnt = rows_of("train", "What?", long, "Why not?", "what")
    report = find_leaks(learnt, rows_of("test", "what!", long + "s"))
    assert [leak.learnt.id for leak in report.exact] == ["train1", "train4"] and len(report.near) == 1
    assert [row.id for row in without_leaks(learnt, report)] == ["train2", "train3"]
    assert "1 test questions stand word for word among the rows to learn from (2 pairs)" in report.text()
    assert "and 1 more pairs" in report.text(most_pairs=1)


def write_task(folder: Path, train: list[str], test: list[str]) -> Task:
    (folder / "task.yaml").write_text("scorer: exact\n")
    for name, questions in (("train", train), ("test", test)):
        rows = "".join(f'{{"question": "{question}", "answer": "a"}}\n' for question in questions)
        (folder / f"{name}.jsonl").write_text(rows)
    return Task.load(folder)


def test_a_test_inside_train_is_refused(tmp_path: Path) -> None:
    questions = [f"What is the fee of plan number {'abcdefghij'[i] * 6}?" for i in range(10)]
    task = write_task(tmp_path, questions, questions[:6] + ["x", "y", "z", "w"])
    with pytest.raises(DataError) as caught:
        check_leaks(task)
    assert "test inside train: 6 of 10 test questions" in caught.value.what
    assert caught.value.where == f"{tmp_path}/test.jsonl:1, question"
    assert caught.value.hint and f"{tmp_path}/train.jsonl:1" in caught.value.hint


def test_half_of_the_test_is_reported_and_dropped_also_from_dev(tmp_path: Path) -> None:
    questions = [f"What is the fee of plan number {'abcdefghij'[i] * 6}?" for i in range(10)]
    task = write_task(tmp_path, questions, questions[:5] + ["v", "x", "y", "z", "w"])
    report = check_leaks(task)
    assert len(report.exact) == 5
    assert len(without_leaks(task.train, report)) + len(without_leaks(task.dev, report)) == 5


def test_nothing_found_is_said() -> None:
    assert find_leaks([], rows_of("test", "x")).text().startswith("No test question stands among")
