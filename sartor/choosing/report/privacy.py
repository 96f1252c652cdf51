"""What left the machine: to whom, how much, and which personal data was in it."""

from typing import Any

from sartor.choosing.report.blocks import Section, row, table
from sartor.choosing.report.lines import Line
from sartor.reporting.figures import number, size, texts


def privacy_section(choice: dict[str, Any], lines: list[Line]) -> Section | None:
    counted = [line for line in lines if number(line.record.get("bytes_sent")) is not None]
    if not counted:
        return None
    senders = [line for line in counted if line.record["bytes_sent"]]
    if not senders:
        return Section("privacy", "Privacy", ("Nothing left this machine on any path.",))
    quiet = [line.label for line in counted if line not in senders]
    sentences = [f"Nothing left this machine for {', '.join(quiet)}."] if quiet else []
    rows = [row(line.title, size(line.record["bytes_sent"]), ", ".join(texts(line.record.get("hosts"))) or "—",
                _personal(line), marked=line.marked) for line in senders]  # fmt: skip
    return Section(
        "privacy",
        "Privacy",
        tuple(sentences),
        tables=table(
            "What was sent away with the test questions", ("Path", "Sent", "To", "Personal data found in it"), rows
        ),
    )


def _personal(line: Line) -> str:
    """`12 e-mail, 3 phone`; a dash where nobody looked."""
    found = line.record.get("personal_data")
    if found is None:
        return "—"
    kinds = [f"{count:,} {kind.replace('_', ' ')}" for kind, count in found.items() if count]
    return ", ".join(kinds) or "none found"
