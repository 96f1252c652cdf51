"""Energy and carbon. What was measured and what was estimated never stand in one ranking."""

from typing import Any

from sartor.choosing.report.blocks import Section, Table, row, table
from sartor.choosing.report.lines import Line
from sartor.reporting.figures import number


def energy_section(choice: dict[str, Any], lines: list[Line]) -> Section | None:
    known = [(line, spent) for line in lines if (spent := number(line.record.get("energy_wh"))) is not None]
    if not known:
        return None
    sources = sorted({_source(line) for line, _ in known}, key=lambda source: (source != "measured", source))
    tables: list[Table] = []
    for source in sources:
        ranking = sorted((pair for pair in known if _source(pair[0]) == source), key=lambda pair: pair[1])
        tables += table(
            source.capitalize(),
            ("Path", "Energy for 1,000 answers", "Carbon dioxide"),
            [
                row(line.title, f"{watt_hours:.2g} Wh", _carbon(line), marked=line.marked)
                for line, watt_hours in ranking
            ],
        )
    silent = [line.label for line in lines if line.score is not None and number(line.record.get("energy_wh")) is None]
    sentences = []
    if len(sources) > 1:
        sentences.append("Measured and estimated energy must not be compared; each has a table of its own.")
    grid = (choice.get("how") or {}).get("grid")
    if grid and any(number(line.record.get("carbon_g")) is not None for line in lines):
        sentences.append(f"Carbon dioxide is estimated from the energy, at {grid}.")
    if silent:
        sentences.append(f"Not known for {', '.join(silent)}.")
    return Section("energy", "Energy", tuple(sentences), tables=tuple(tables))


def _source(line: Line) -> str:
    return str(line.record.get("energy_source") or "source unknown")


def _carbon(line: Line) -> str:
    grams = number(line.record.get("carbon_g"))
    return "—" if grams is None else f"{grams:.2g} g"
