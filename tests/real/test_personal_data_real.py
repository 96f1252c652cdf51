"""The scrub on presidio-research's labelled sentences, and on documents that hold no secrets."""

import gzip
import json
from pathlib import Path

import pytest

from benchmarks.personal_data import KINDS, measure, ours
from sartor.data.documents import documents_table
from sartor.data.filters.personal_data.scrub import PersonalData

FLOORS = {"EMAIL_ADDRESS": 0.98, "CREDIT_CARD": 0.98, "IBAN_CODE": 0.98, "IP_ADDRESS": 0.98, "US_SSN": 0.98,
          "PHONE_NUMBER": 0.9, "STREET_ADDRESS": 0.3, "PERSON": 0.1}  # fmt: skip


def test_recall_and_precision_by_kind(real_data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SARTOR_DATA", str(real_data))
    counts = measure(ours(), {label: pair[0] for label, pair in KINDS.items()})
    for label, floor in FLOORS.items():
        row = counts[label]
        assert row["found"] / row["labels"] >= floor, label
        assert row["right"] / row["findings"] >= 0.95, label


def test_technical_documents_lose_their_addresses_and_little_else(real_data: Path):
    with gzip.open(real_data / "raw" / "peps" / "peps.jsonl.gz", "rt") as stream:
        rows = [max((v for v in json.loads(line).values() if isinstance(v, str)), key=len) for line in stream]
    outcome = PersonalData()(documents_table({"id": str(i), "text": t, "source": ""} for i, t in enumerate(rows)))
    emails = outcome.counts.pop("email_address replaced")
    assert emails > 1000 and sum(outcome.counts.values()) < 0.03 * emails
