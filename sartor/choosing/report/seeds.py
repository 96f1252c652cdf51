"""How far a trained path's score depends on the luck of its training."""

from typing import Any

from sartor.choosing.report.blocks import Section, row, table
from sartor.choosing.report.lines import Line
from sartor.reporting.figures import number


def seeds_section(choice: dict[str, Any], lines: list[Line]) -> Section | None:
    sentences, rows = [], []
    for line in lines:
        scores = {
            str(entry.get("seed")): score
            for entry in line.record.get("seeds") or []
            if (score := number(entry.get("score"))) is not None
        }
        if len(scores) < 2:
            continue
        low, high = 100 * min(scores.values()), 100 * max(scores.values())
        sentences.append(f"{line.title} trained from {len(scores)} seeds scores {low:.0f} to {high:.0f} points.")
        rows += [row(line.title, seed, f"{100 * score:.1f}") for seed, score in scores.items()]
    columns = ("Path", "Seed", "Score")
    return (
        Section(
            "seeds",
            "Luck of training",
            tuple(sentences),
            tables=table("Score of every seed", columns, rows, folded="Every seed"),
        )
        if rows
        else None
    )
