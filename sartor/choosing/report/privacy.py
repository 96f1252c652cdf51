"""What left the machine: to whom, how much, and which personal data was in it."""

from typing import Any

from sartor.choosing.report.blocks import Section, row, table
from sartor.choosing.report.lines import Line
from sartor.reporting.figures import number, size, texts

COLUMNS = ("Path", "Sent with the test questions", "Sent while fitting", "To", "Personal data found in it")


def privacy_section(choice: dict[str, Any], lines: list[Line]) -> Section | None:
    counted = [line for line in lines if number(line.record.get("bytes_sent")) is not None]
    judge = sent_to_judge(choice)
    if not counted and not judge:
        return None
    senders = [line for line in counted if line.record["bytes_sent"] or line.record.get("setup_bytes_sent")]
    quiet = [line.label for line in counted if line not in senders]
    nothing = "Nothing else left this machine" if judge else "Nothing left this machine"
    sentences = [f"To score answers, {judge}."] if judge else []
    if quiet:
        sentences.append(f"{nothing} for {', '.join(quiet)}." if senders else f"{nothing} on any path.")
    rows = [
        row(
            line.title,
            size(line.record["bytes_sent"]),
            _while_fitting(line),
            ", ".join(texts(line.record.get("hosts"))) or "—",
            _personal(line),
            marked=line.marked,
        )
        for line in senders
    ]
    return Section("privacy", "Privacy", tuple(sentences), tables=table("What was sent away", COLUMNS, rows))


def sent_to_judge(choice: dict[str, Any]) -> str:
    """What a judge at another address was sent, as part of a sentence; empty where none was asked."""
    judge = (choice.get("how") or {}).get("judge") or {}
    address = judge.get("api_base_url")
    return f"questions, accepted answers and answers were sent to the judge at {address}" if address else ""


def _while_fitting(line: Line) -> str:
    sent = number(line.record.get("setup_bytes_sent"))
    return "—" if sent is None else size(sent)


def _personal(line: Line) -> str:
    """`12 e-mail, 3 phone`; a dash where nobody looked."""
    found = line.record.get("personal_data")
    if found is None:
        return "—"
    kinds = [f"{count:,} {kind.replace('_', ' ')}" for kind, count in found.items() if count]
    return ", ".join(kinds) or "none found"
