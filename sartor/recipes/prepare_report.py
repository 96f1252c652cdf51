"""What is left beside prepared documents: the counts (`report.json`), a page, and a data card.

The page and the card are made of the counts alone, and neither holds a time or a path of the machine, so that the same
documents prepared in the same way have the same report.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sartor import __version__
from sartor.base.durable import replace_file, replace_json
from sartor.data.decontamination.step import Searched
from sartor.data.pipeline.run import Account
from sartor.recipes.prepare_card import data_card
from sartor.recipes.prepare_charts import count_chart, length_chart, step_chart
from sartor.reporting.figures import plain, size
from sartor.reporting.page import page_bytes, render_page

RECORD_FILE, PAGE_FILE, CARD_FILE = "report.json", "report.html", "README.md"
TEMPLATE = Path(__file__).with_name("prepare_report.html.jinja")


def record_of(account: Account, settings: Mapping[str, Any], looked_for: Mapping[str, Searched]) -> dict[str, Any]:
    """The counts as JSON values. `looked_for` counts the test texts of each task that the documents may not hold."""
    steps = [
        {
            "name": name,
            "documents": counts.documents,
            "kept": counts.kept,
            "dropped": _largest_first(counts.dropped),
            "text_bytes": counts.text_bytes,
            "dropped_bytes": counts.dropped_bytes,
            "edits": _largest_first(counts.edits),
        }
        for name, counts in account.ledger.steps.items()
    ]
    shown = ("id", "source", "detail", "excerpt")
    order = {step["name"]: place for place, step in enumerate(steps)}
    samples = sorted(account.samples.items(), key=lambda item: (order[item[0][0]], item[0]))
    return {
        "version": __version__,
        "settings": dict(settings),
        "counts": {
            "given": account.given,
            "kept": account.kept,
            "dropped": account.ledger.dropped,
            "errors": account.errors,
            "written": account.written,
        },
        "steps": steps,
        "test_texts": {task: asdict(counts) for task, counts in looked_for.items()},
        "before": account.before.as_dict(),
        "after": account.after.as_dict(),
        "problems": account.problems,
        "examples": [
            {"step": step, "reason": reason, "samples": [{key: each[key] for key in shown} for each in found]}
            for (step, reason), found in samples
        ],
    }


def write_report(record: dict[str, Any], out: Path) -> None:
    """Put the three files into the folder, each atomically."""
    replace_json(out / RECORD_FILE, record)
    replace_file(out / PAGE_FILE, page_bytes(page(record)))
    replace_file(out / CARD_FILE, data_card(record))


def page(record: Mapping[str, Any]) -> str:
    """The report as one HTML page."""
    after = record["after"]
    values = {
        "report": record,
        "counts": record["counts"],
        "settings": [(name, plain(value) or "—") for name, value in record["settings"].items()],
        "edits": [(step["name"], what, number) for step in record["steps"] for what, number in step["edits"].items()],
        "figure": lambda number: f"{number:,}",
        "size": size,
        "charts": {
            "steps": step_chart(record["steps"]),
            "lengths": length_chart(_by_text(record["before"]["lengths"]), _by_text(after["lengths"])),
            "languages": count_chart(after["languages"], "languages", "Languages of the documents kept"),
            "sources": count_chart(after["sources"], "sources", "Sources of the documents kept"),
            "licences": count_chart(after["licences"], "licences", "Licences of the documents kept"),
        },
    }
    return render_page(TEMPLATE, values)


def _largest_first(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _by_text(lengths: Mapping[Any, int]) -> dict[str, int]:
    """JSON has text for keys, the counts have numbers."""
    return {str(power): number for power, number in lengths.items()}
