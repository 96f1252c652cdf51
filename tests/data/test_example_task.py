"""The example task that ships with the project keeps its promises (read directly, without the package)."""

import json
import re
import string
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

EXAMPLE = Path(__file__).parents[2] / "sartor" / "data" / "example"
NOT_IN_HANDBOOK = "Not in the handbook [NIL]"
ANSWER = re.compile(r"(?P<phrase>\S.*\S|\S) \[(?P<code>[A-Z]{2}-\d)\]")
HEADING = re.compile(r"# \S.* \((?P<code>[A-Z]{2}-\d)\)")
MAX_PHRASE_WORDS = 9

Row = dict[str, Any]


@cache
def rows(split: str) -> list[Row]:
    lines = (EXAMPLE / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@cache
def pages() -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted((EXAMPLE / "documents").iterdir())}


def both() -> list[Row]:
    return rows("train") + rows("test")


def answers(row: Row) -> list[str]:
    return [row["answer"]] if isinstance(row["answer"], str) else row["answer"]


def answerable(split: str) -> list[Row]:
    return [row for row in rows(split) if answers(row) != [NOT_IN_HANDBOOK]]


def words(text: str) -> str:
    """Lower-case words without punctuation and articles, with a space at either end."""
    kept = "".join(c for c in text.lower() if c not in string.punctuation + "’“”")
    return f" {' '.join(word for word in kept.split() if word not in ('a', 'an', 'the'))} "


def page_code(name: str) -> str:
    heading = HEADING.fullmatch(pages()[name].splitlines()[0])
    assert heading, f"{name} does not begin with a title and code"
    return heading["code"]


def sections(name: str) -> list[str]:
    return re.split(r"^(?=## )", pages()[name], flags=re.MULTILINE)


def test_task_file_has_exactly_the_contract_s_keys() -> None:
    task = yaml.safe_load((EXAMPLE / "task.yaml").read_text(encoding="utf-8"))
    assert set(task) == {"name", "description", "instruction", "scorer", "limits"}
    assert task["scorer"] == "f1"
    assert task["limits"] == {"local_only": True, "margin": 0.02}


def test_instruction_leaves_the_house_style_to_be_learnt() -> None:
    instruction = yaml.safe_load((EXAMPLE / "task.yaml").read_text(encoding="utf-8"))["instruction"]
    assert "short" in instruction
    assert not re.search(r"\[|bracket|code|NIL", instruction)


def test_counts_and_those_the_readme_states() -> None:
    assert (len(pages()), len(rows("train")), len(rows("test"))) == (32, 188, 149)
    unanswered = [len(rows(split)) - len(answerable(split)) for split in ("train", "test")]
    numbers = re.findall(r"\b\d{2,3}\b", (EXAMPLE / "README.md").read_text(encoding="utf-8"))
    assert numbers == [str(n) for n in (len(pages()), len(rows("train")), len(rows("test")), *unanswered)]


@pytest.mark.parametrize("name", sorted(pages()))
def test_page_is_shaped_to_be_cut_into_passages(name: str) -> None:
    """Every section repeats the page's code, so that a passage carries it wherever the page is cut."""
    code = page_code(name)
    assert name.startswith(f"{code.lower()}-") and name.endswith(".md")
    assert 220 <= len(pages()[name].split()) <= 420
    headings = re.findall(r"^## .*$", pages()[name], flags=re.MULTILINE)
    assert len(headings) >= 3
    assert all(heading.endswith(f" ({code})") for heading in headings)
    assert max(len(section.split()) for section in sections(name)) <= 150


def test_page_codes_are_unique_and_references_lead_somewhere() -> None:
    codes = Counter(page_code(name) for name in pages())
    assert set(codes.values()) == {1}
    mentioned = {code for text in pages().values() for code in re.findall(r"\b[A-Z]{2}-\d\b", text)}
    assert mentioned == set(codes)


def test_rows_have_the_contract_s_fields_and_unique_ids() -> None:
    for row in both():
        expected = {"id", "question", "answer", "group"}
        assert set(row) - {"evidence"} == expected, row["id"]
        assert row["question"].strip() == row["question"] and row["question"][-1] in "?.", row["id"]
    assert len({row["id"] for row in both()}) == len(both())


def test_no_question_is_asked_twice() -> None:
    assert Counter(words(row["question"]) for row in both()).most_common(1)[0][1] == 1


def test_groups_stay_on_one_side() -> None:
    train, test = ({row["group"] for row in rows(split)} for split in ("train", "test"))
    assert not train & test
    assert len(train) > 100, "a dev split by a hash of the group needs many small groups"


@pytest.mark.parametrize("split", ["train", "test"])
def test_share_of_questions_without_an_answer(split: str) -> None:
    without = [row for row in rows(split) if answers(row) == [NOT_IN_HANDBOOK]]
    assert 0.10 <= len(without) / len(rows(split)) <= 0.20
    for row in without:
        assert "evidence" not in row and row["group"] == row["id"]


@pytest.mark.parametrize("split", ["train", "test"])
def test_every_page_is_asked_about(split: str) -> None:
    asked = Counter(row["evidence"][0] for row in answerable(split))
    assert set(asked) == set(pages())
    assert min(asked.values()) >= 3


@pytest.mark.parametrize("row", [*answerable("train"), *answerable("test")], ids=lambda row: row["id"])
def test_answer_stands_in_its_evidence(row: Row) -> None:
    """The answer to learn stands word for word within one section of a page whose code it gives."""
    assert row["evidence"] and set(row["evidence"]) <= set(pages())
    matches = [ANSWER.fullmatch(answer) for answer in answers(row)]
    assert all(matches), row["answer"]
    codes = {page_code(name) for name in row["evidence"]}
    assert {match["code"] for match in matches if match} == codes
    assert row["group"].split("/")[0] in codes
    phrase = words(matches[0]["phrase"]) if matches[0] else ""
    assert 1 <= len(phrase.split()) <= MAX_PHRASE_WORDS
    assert any(phrase in words(section) for name in row["evidence"] for section in sections(name)), phrase


def test_same_phrase_is_never_the_answer_on_both_sides_of_a_page() -> None:
    """Train and test ask about different facts: no train answer, code included, is right for a test row."""
    learnt = {answer.lower() for row in answerable("train") for answer in answers(row)}
    held_out = {answer.lower() for row in answerable("test") for answer in answers(row)}
    assert not learnt & held_out
