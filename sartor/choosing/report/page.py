"""Everything that a report says, from choice.json and the answers, in the order in which it is said."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sartor.choosing.report.blocks import Picture, Section
from sartor.choosing.report.card import card_section
from sartor.choosing.report.care import Caution, cautions, checked
from sartor.choosing.report.causes import causes_section
from sartor.choosing.report.changes import changes_section
from sartor.choosing.report.comparisons import comparisons_section
from sartor.choosing.report.costs import break_even_section
from sartor.choosing.report.curve import curve_section
from sartor.choosing.report.energy import energy_section
from sartor.choosing.report.glossary import glossary
from sartor.choosing.report.lines import Line, lines_of
from sartor.choosing.report.method import method_section
from sartor.choosing.report.privacy import privacy_section
from sartor.choosing.report.probes import forgetting_section, freshness_section, robustness_section
from sartor.choosing.report.rows import browsed_rows
from sartor.choosing.report.scores import first_picture, scores_section
from sartor.choosing.report.seeds import seeds_section
from sartor.choosing.report.slices import slices_section
from sartor.choosing.report.trade import trade_section
from sartor.choosing.report.tried import tried_section
from sartor.choosing.report.words import headline, how_sure, meaning, verdict_word, why
from sartor.reporting.figures import texts

EVIDENCE: tuple[Callable[[dict[str, Any], list[Line]], Section | None], ...] = (
    scores_section, trade_section, comparisons_section, changes_section, slices_section, causes_section, curve_section,
    seeds_section, freshness_section, forgetting_section, robustness_section, break_even_section, privacy_section,
    energy_section, tried_section,
)  # fmt: skip


@dataclass(frozen=True)
class Page:
    """`changes` are the first page's: the nearest change only; `evidence` has them all. `command` serves the path that
    the verdict names (None: there is none)."""

    task: str
    verdict: str
    meaning: str
    headline: str
    why: str
    sure: str
    change: str
    command: str | None
    picture: Picture
    lines: list[Line]
    cautions: list[Caution]
    checked: str
    evidence: list[Section]
    rows: list[dict[str, Any]]
    method: Section
    card: Section | None
    glossary: list[tuple[str, str]]


def page_of(choice: dict[str, Any], answers: dict[str, list[dict[str, Any]]]) -> Page:
    """DataError where `choice` has no paths or names one that it does not list."""
    lines = lines_of(choice, answers)
    marked = next((line for line in lines if line.marked), None)
    names = [line.record["name"] for line in lines]
    evidence = [section for make in EVIDENCE if (section := make(choice, lines)) is not None]
    present = {section.name for section in evidence}
    if any(line.reference for line in lines):
        present.add("references")
    return Page(
        task=str(choice.get("task") or "task"),
        verdict=verdict_word(choice, lines),
        meaning=meaning(choice, lines),
        headline=headline(choice, lines),
        why=why(choice, lines),
        sure=how_sure(choice, lines),
        change=next(iter(texts(choice.get("would_change"))), ""),
        command=marked.record.get("endpoint") if marked else None,
        picture=first_picture(lines),
        lines=lines,
        cautions=cautions(choice, lines),
        checked=checked(choice),
        evidence=evidence,
        rows=browsed_rows({name: answers[name] for name in names if name in answers}),
        method=method_section(choice),
        card=card_section(choice, lines),
        glossary=glossary(present),
    )
