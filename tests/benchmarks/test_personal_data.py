"""A side is not scored where it has no kind for what the data labels."""

import pytest

from benchmarks import personal_data
from benchmarks.personal_data import KINDS, measure


def test_a_city_found_is_no_wrong_street_address(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Ann lives in Rome."
    monkeypatch.setattr(personal_data, "labelled", lambda: [(text, [(0, 3, "PERSON"), (13, 17, "GPE")])])
    counts = measure(lambda _: [(0, 3, "PERSON"), (13, 17, "LOCATION")], {label: k[1] for label, k in KINDS.items()})
    assert "STREET_ADDRESS" not in counts and "STREET_ADDRESS" in KINDS
    assert counts["PERSON"] == {"labels": 1, "found": 1, "findings": 1, "right": 1, "partly": 1}
    assert sum(each["findings"] for each in counts.values()) == 1
