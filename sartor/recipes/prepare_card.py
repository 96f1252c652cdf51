"""The data card of prepared documents: what a reader has to know before training on them, as Markdown."""

import re
from collections.abc import Mapping
from typing import Any

from sartor.reporting.figures import plain, size, visible

MOST_ROWS = 20


def data_card(record: Mapping[str, Any]) -> str:
    """Made of the report's counts alone. Names of sources are text of others: they cannot break the table."""
    counts, before, after = record["counts"], record["before"], record["after"]
    lines = [
        "# Prepared documents",
        "",
        f"{counts['written']:,} documents with {size(after['text_bytes'])} of text, made by Sartor {record['version']} "
        f"from {counts['given']:,} documents with {size(before['text_bytes'])}.",
        "",
        f"- kept: {counts['kept']:,}",
        f"- dropped: {counts['dropped']:,} (in `rejects/`, each with its reason)",
        f"- in files that could not be read: {counts['errors']:,}",
    ]
    if counts["written"] != counts["kept"]:
        lines.append(f"- kept documents were cut into {counts['written']:,} parts, which are counted below")
    lines += ["", "## Sources", "", *_table("Host or folder", after["sources"])]
    lines += ["", "## Licences", "", "As the sources state them; Sartor has checked none.", ""]
    lines += _table("Licence", after["licences"])
    lines += ["", "## Languages", "", *_table("Language", after["languages"])]
    lines += ["", "## What was done", "", "| step | given | dropped | reasons |", "|---|---:|---:|---|"]
    for step in record["steps"]:
        reasons = ", ".join(f"{_cell(reason)} {number:,}" for reason, number in step["dropped"].items())
        lines.append(f"| {step['name']} | {step['documents']:,} | {step['documents'] - step['kept']:,} | {reasons} |")
    if record["test_texts"]:
        lines += ["", "## Test texts looked for", "", "| task | looked for | too short for that |", "|---|---:|---:|"]
    for task, counts in record["test_texts"].items():
        lines.append(f"| {_cell(task)} | {counts['searched']:,} | {counts['unsearched']:,} |")
    lines += ["", "## Settings", ""]
    lines += [f"- {name}: {_cell(plain(value)) or '—'}" for name, value in record["settings"].items()]
    return "\n".join(lines) + "\n"


def _table(title: str, counts: Mapping[str, int]) -> list[str]:
    largest = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rows = [f"| {_cell(name)} | {number:,} |" for name, number in largest[:MOST_ROWS]]
    if len(largest) > MOST_ROWS:
        rows.append(f"| {len(largest) - MOST_ROWS:,} others | {sum(n for _, n in largest[MOST_ROWS:]):,} |")
    return [f"| {title} | documents |", "|---|---:|", *rows]


def _cell(text: str) -> str:
    """Without what means something to Markdown or HTML."""
    return re.sub(r"([\\|`*_\[\]<>#])", r"\\\1", visible(" ".join(text.split())))
