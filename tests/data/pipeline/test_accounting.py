from collections import Counter

import pytest

from sartor.base.errors import SartorError
from sartor.data.pipeline.accounting import Ledger, StepCounts, total


def ledger(given: int, dropped: int, errors: int = 0) -> Ledger:
    step = StepCounts(given - errors, 10, Counter({"why": dropped}), 3, Counter({"edited": 1}))
    return Ledger(given, errors, given - errors - dropped, {"step": step})


def test_ledgers_add_up_and_come_back_from_json():
    whole = total([ledger(5, 2), ledger(7, 0, errors=7)], ["step", "unused"])
    assert (whole.given, whole.kept, whole.dropped, whole.errors) == (12, 3, 2, 7)
    assert list(whole.steps) == ["step", "unused"]
    assert whole.steps["step"].edits == {"edited": 2}
    assert Ledger.from_dict(whole.as_dict()) == whole
    ledger(5, 2).check("here")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kept": 1}, "2 documents went missing between step and writing"),
        ({"kept": 4}, "1 documents too many between step and writing"),
        ({"given": 9}, "4 documents went missing between reading and step"),
    ],
)
def test_missing_documents_are_said_with_the_place(change, said):
    wrong = ledger(5, 2)
    for name, value in change.items():
        setattr(wrong, name, value)
    with pytest.raises(SartorError, match=f"shard 7: {said}"):
        wrong.check("shard 7")
