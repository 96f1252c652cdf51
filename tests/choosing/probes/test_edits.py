"""Facts that are changed, found in rows and documents."""

from collections.abc import Callable

import pytest

from sartor.choosing.probes.edits import Edit, automatic_edits
from sartor.data.extract import Document, make_document
from sartor.data.records import Row
from sartor.data.scorers import scorer

FARES = make_document("fares.md", "Fares", "# Fares\n\nA dog travels for £8, and\na bicycle for £3.")
DONORS = ("£8 [TK-1]", "£25 [TK-2]")


def edits_of(
    make: Callable[..., Row], answers: tuple[str, ...], by: str = "f1", **row: object
) -> tuple[list[Edit], dict[str, int]]:
    asked = make(1, "What does a dog cost?", answers[0], evidence=["fares.md"], **row)
    asked = Row(asked.id, asked.messages, answers, asked.group, asked.evidence)
    donors = [make(2 + number, "What?", each) for number, each in enumerate(DONORS)]
    documents: dict[str, Document] = {"fares.md": FARES}
    return automatic_edits([asked], donors, documents, scorer(by), seed=0)


def test_the_fact_changes_in_document_and_answers(row: Callable[..., Row]) -> None:
    (edit,), left_out = edits_of(row, ("£8 [TK-1]", "it costs £8 [TK-1]", "eight pounds"))
    assert left_out == {}
    assert edit.edited(FARES) == FARES.text.replace("£8", "£25")
    assert edit.row.answers == ("£25 [TK-1]", "it costs £25 [TK-1]")  # the alias that does not hold it is gone
    assert edit.before == ("£8 [TK-1]", "it costs £8 [TK-1]", "eight pounds")


def test_old_and_new_are_told_apart(row: Callable[..., Row]) -> None:
    by = scorer("f1")
    (edit,), _ = edits_of(row, ("£8 [TK-1]",))
    assert edit.says_new("£25 [TK-1]", by) and not edit.says_old("£25 [TK-1]", by)
    assert edit.says_old("£8 [TK-1]", by) and not edit.says_new("£8 [TK-1]", by)
    assert not edit.says_new("[TK-1]", by)  # as near to one as to the other
    wordy = "I have looked it up for you: the fare for taking a dog along on the boat is £25 nowadays."
    assert by.score(wordy, edit.row.answers) < 0.5 and edit.says_new(wordy, by) and not edit.says_old(wordy, by)
    assert not edit.says_new("either £8 or else £25 depending on the season and on the boat", by)
    assert edit.still_says("I think it is £8.", by)
    assert not edit.still_says("£85 [TK-1]", by)


@pytest.mark.parametrize(
    ("answers", "by", "reason"),
    [
        (("£9",), "f1", "the answer does not stand word for word in its document"),
        (("A dog",), "f1", "no other answer is of the same kind"),
        (("£8",), "regex", "the scorer regex does not compare with what a document says"),
    ],
)
def test_rows_without_an_edit_are_counted(
    row: Callable[..., Row], answers: tuple[str, ...], by: str, reason: str
) -> None:
    assert edits_of(row, answers, by) == ([], {reason: 1})


def test_a_fact_that_stands_there_in_another_way_is_left_alone(row: Callable[..., Row]) -> None:
    twice = make_document("fares.md", "", "Form C2 is for cash. Fill in FORM C2.")
    asked = row(1, "Which form is it?", "Form C2", evidence=["fares.md"])
    donor = row(2, "Which form was it?", "Form Q3")
    made, left_out = automatic_edits([asked], [donor], {"fares.md": twice}, scorer("exact"), 0)
    assert made == [] and left_out == {"the answer stands in its document in two ways": 1}


def test_rows_without_evidence_or_with_earlier_turns(row: Callable[..., Row]) -> None:
    rows = [row(1, "?", "£8"), row(2, "?", "£8", evidence=["fares.md"], turns=2), row(3, "?", "£8", evidence=["no.md"])]
    _, left_out = automatic_edits(rows, rows, {"fares.md": FARES}, scorer("exact"), 0)
    assert left_out == {"names no document that holds the answer": 2, "the question has earlier turns": 1}
