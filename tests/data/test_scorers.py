"""Scorers: hand-computed scores, oracles for F1 and ROUGE, and answers that could never score."""

import random
import re
import string
from collections import Counter

import pytest

from sartor.base.errors import DataError, UsageError
from sartor.data.scorers import (
    MAX_REGEX_REPLY_CHARACTERS,
    SCORERS,
    check_answers,
    longest_common_subsequence,
    scorer,
)

CASES = [
    ("exact", "  Paris.\n", "paris", 1), ("exact", "New   York!", "new york", 1),
    ("exact", "ＡＢＣ", "abc", 1),
    ("exact", "Paris, France", "Paris", 0), ("exact", '"Paris"', "Paris", 0), ("exact", "", "Paris", 0),
    ("label", "Top up failed.", "top_up_failed", 1),
    ("label", "`top-up-failed`\nBecause ...", "top_up_failed", 1),
    ("label", '\n\n**"Top_Up_Failed"**', "top_up_failed", 1), ("label", "- age limit", "age_limit", 1),
    ("label", "card_payment_fee_charged", "card_payment", 0),
    ("label", "the label is age_limit", "age_limit", 0),
    ("label", "age_limit, top_up_failed", "age_limit", 0), ("label", "C++", "C#", 0),
    ("label", "C", "C++", 0),
    ("label", "-1", "1", 0), ("label", "-1.", "-1", 1), ("label", "Why?\nage_limit", "age_limit", 0),
    ("f1", "The Steam engine!", "steam engines", 0.5), ("f1", "a steam-engine", "the steam engine", 0),
    ("f1", "big red dog", "the red dog", 0.8), ("f1", "“Paris” – France", "Paris, France", 1),
    ("f1", "red red", "red", 2 / 3), ("f1", "", "red", 0), ("f1", "the", "red", 0),
    ("f1", "他在北京工作", "北京", 0.5), ("f1", "答えは「東京」です。", "東京", 4 / 9),
    ("f1", "北京 2024", "北京2024", 1),
    ("contains", "It is in PARIS, France.", "paris", 1), ("contains", "parishes", "Paris", 0),
    ("contains", "about 5.3 km", "5", 0), ("contains", "about 5 km", "5", 1), ("contains", "1,500", "500", 0),
    ("contains", "答えは東京です。", "東京", 1), ("contains", "北京是中国的首都", "首都", 1),
    ("contains", "Pythonを使う", "Python", 1), ("contains", "Pythonistaです", "Python", 0),
    ("contains", "答えは5です", "5", 1), ("contains", "15日", "5", 0), ("contains", "๑๕", "๕", 0),
    ("contains", "เมืองหลวงคือกรุงเทพ", "กรุงเทพ", 1), ("contains", "大阪です", "東京", 0),
    ("contains", "It is -5", "5", 0), ("contains", "−5 °C", "5", 0), ("contains", "答えは-5です", "5", 0),
    ("contains", "It is -5", "-5", 1), ("contains", "2-5", "5", 1), ("contains", "2024-05-01", "05", 1),
    ("contains", "I use C++.", "C++", 1), ("contains", "new\nyork", "New York", 1),
    ("numeric", "so 3 + 4 = 7.", "7", 1), ("numeric", "It costs $1,234.50", "1234.5", 1),
    ("numeric", "a loss of −$5", "-5", 1), ("numeric", "5", "-5", 0), ("numeric", "50 %", "50%", 1),
    ("numeric", "3/4", "0.75", 1), ("numeric", "0.3333333", "1/3", 1), ("numeric", "0.3333", "1/3", 0),
    ("numeric", "10000001", "10000002", 0), ("numeric", "Therefore\n#### 72", "... 24 + 48 #### 72", 1),
    ("numeric", "none", "7", 0),
    ("numeric", "25 000 €", "10 000 €", 0), ("numeric", "25\u202f000 €", "10\u202f000 €", 0),
    ("numeric", "CHF 5'000", "1'000", 0), ("numeric", "1.234.999", "1234567", 0),
    ("numeric", "12345678901234567891", "12345678901234567890", 0),
    ("numeric", "10 000 €", "10,000", 1), ("numeric", "10\u202f000 €", "10000", 1), ("numeric", "CHF 5'000", "5000", 1),
    ("numeric", r"\boxed{10\,000}", "10 000", 1), ("numeric", "3,14", "3.14", 0), ("numeric", "1 1/2", "1.5", 1),
    ("numeric", "9,14", "14", 0), ("numeric", "0.1", "1/10", 1),
    ("json", '{"b": [1, 2.0], "a": "x"}', '{"a": "x", "b": [1.0, 2]}', 1), ("json", "true", "1", 0),
    ("json", 'Sure:\n```json\n{"a": 1}\n```\nand {"a": 2}', '{"a": 1}', 1),
    ("json", '{"a": true}', '{"a": 1}', 0),
    ("json", 'I think {this} is {"a": null}.', '{"a": null}', 1), ("json", '{"a": 1, "b": 2}', '{"a": 1}', 0),
    ("json", '{"a": 2} or {"a": 1}', '{"a": 1}', 0), ("json", "[1, 2]", "[2, 1]", 0), ("json", "7", "7.0", 1),
    ("json", "the answer is 7", "7", 0), ("json", '{"a": NaN}', '{"a": null}', 0),
    ("json", "[" * 100_000, "[]", 0),
    ("json", "```\n[1]\n```", "[1]", 1),
    ("regex", " 2024-05-01\n", r"\d{4}-\d\d-\d\d", 1), ("regex", "on 2024-05-01", r"\d{4}-\d\d-\d\d", 0),
    ("regex", "YES", "(?i)yes|no", 1), ("regex", "x" * (MAX_REGEX_REPLY_CHARACTERS + 1), "x*", 0),
    ("rouge", "police killed the gunman", "police kill the gunman", 0.75),
    ("rouge", "the gunman kill police", "police kill the gunman", 0.5), ("rouge", "one two", "three", 0),
    ("rouge", "他在北京工作", "北京", 0.5),
    ("rouge", "The cat sat on the mat", "the cat was on the mat today", 2 * 5 / 13),
]


@pytest.mark.parametrize(("name", "reply", "answer", "expected"), CASES)
def test_hand_computed(name: str, reply: str, answer: str, expected: float) -> None:
    by = scorer(name)
    check_answers(by, [answer], "test.jsonl:1, answer")
    assert by.score(reply, [answer]) == pytest.approx(expected, abs=1e-12)


def test_best_over_the_accepted_answers() -> None:
    assert scorer("f1").score("red dog", ["blue", "red", "red dog"]) == 1
    assert scorer("exact").score("small", ["tiny", "small"]) == 1
    with pytest.raises(ValueError):
        scorer("exact").score("small", [])


@pytest.mark.parametrize("name", SCORERS)
def test_in_bounds_binary_and_perfect_on_itself(name: str) -> None:
    by, answers = SCORERS[name], {"json": '{"a": [1]}', "numeric": "17", "regex": "blue 17"}
    own = answers.get(name, "blue 17")
    assert by.name == name and len(by.description) > 20
    assert by.score(own, [own]) == 1
    random_text = random.Random(0)
    for _ in range(300):
        reply = "".join(random_text.choices("ab 17.,/-{}[]\"':$`\n\\(é☃", k=random_text.randrange(40)))
        score = by.score(reply, [own])
        assert 0 <= score <= 1
        assert not by.binary or score in (0, 1)


@pytest.mark.parametrize(("name", "answer", "words"), [
    ("exact", "  ", "empty"), ("label", "\n", "empty"), ("exact", "...", "nothing is left"),
    ("f1", "The", "nothing is left"), ("rouge", "?!", "nothing is left"), ("contains", "", "empty"),
    ("numeric", "1.234.567", "several ways"), ("numeric", "3,14", "several ways"), ("regex", ".*.*.*.*b", "hours"),
    ("numeric", "seven", "no number"), ("numeric", "H2O", "no number"), ("json", "{'a': 1}", "not JSON"),
    ("json", "NaN", "not JSON"), ("json", "[" * 5_000, "not JSON"),
    ("regex", "(", "not a regular expression"),
    ("regex", "", "empty"), ("regex", "(a+)+b", "for ever"),
])
def test_an_answer_that_never_scores_is_found_before_the_run(name: str, answer: str, words: str) -> None:
    with pytest.raises(DataError, match=words) as error:
        check_answers(scorer(name), ["7" if name != "json" else "[7]", answer], "test.jsonl:3, answer")
    assert error.value.where == "test.jsonl:3, answer"
    assert error.value.hint
    assert len(error.value.what) < 200


def test_a_row_without_answers_is_found() -> None:
    with pytest.raises(DataError, match="no answer"):
        check_answers(scorer("exact"), [], "test.jsonl:3, answer")


def test_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UsageError) as error:
        scorer("exakt")
    assert "did you mean exact?" in str(error.value)
    with pytest.raises(UsageError, match="unknown scorer: zzz"):
        scorer("zzz")


def squad_f1(reply: str, answer: str) -> float:
    """SQuAD's own evaluation script, v1.1, transcribed."""

    def tokens(text: str) -> list[str]:
        text = "".join(c for c in text.lower() if c not in set(string.punctuation))
        return re.sub(r"\b(a|an|the)\b", " ", text).split()

    same = sum((Counter(tokens(reply)) & Counter(tokens(answer))).values())
    if same == 0:
        return 0.0
    precision, recall = same / len(tokens(reply)), same / len(tokens(answer))
    return 2 * precision * recall / (precision + recall)


def test_f1_is_that_of_squad() -> None:
    words = ["The", "a", "an", "steam", "engine,", "of", "U.S.", "state-of", "1,000", "it's", "An.", "(red)"]
    draw = random.Random(1)
    for _ in range(500):
        reply, answer = (" ".join(draw.choices(words, k=draw.randrange(1, 9))) for _ in range(2))
        assert scorer("f1").score(reply, [answer]) == pytest.approx(squad_f1(reply, answer), abs=1e-12)


def test_longest_common_subsequence_is_that_of_the_table() -> None:
    draw = random.Random(2)
    for _ in range(300):
        a, b = (draw.choices("abcd", k=draw.randrange(12)) for _ in range(2))
        table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
        for i, x in enumerate(a):
            for j, y in enumerate(b):
                table[i + 1][j + 1] = table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
        assert longest_common_subsequence(a, b) == table[-1][-1]
