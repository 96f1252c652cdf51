"""Collecting in a test, and what is in the folder afterwards."""

import json
from pathlib import Path
from typing import Any

from sartor.base.signals import StopRequest
from sartor.data.collecting.collector import Collector, WebSettings
from sartor.data.collecting.entry import ReadingLimits
from sartor.data.collecting.report import CollectReport
from sartor.data.collecting.sources import detect
from sartor.data.collecting.web.polite import Manners
from sartor.data.document_folder import DocumentFolder
from sartor.data.parsers.isolated import IsolatedParser


def collect(out: Path, *sources: Any, stop: StopRequest | None = None, **options: Any) -> CollectReport:
    """One run with quick manners; private addresses are allowed."""
    limits = ReadingLimits(
        options.pop("document_bytes", 2_000_000), options.pop("text_field", "text"), options.pop("licence", None)
    )
    manners = Manners(requests_per_second=options.pop("rate", 1_000.0), attempts=1)
    web = WebSettings(
        manners,
        page_bytes=options.pop("page_bytes", 1_000_000),
        page_seconds=2.0,
        follow=options.pop("follow", 0),
        max_pages=options.pop("max_pages", 1_000),
        allow_private=options.pop("allow_private", True),
        contact="",
    )
    parser = IsolatedParser(seconds=options.pop("parser_seconds", 20))
    assert not options
    found = [detect(str(source)) for source in sources]
    with Collector(found, out, limits, web, parser) as collector:
        return collector.run(stop or StopRequest())


def documents(out: Path) -> list[dict[str, Any]]:
    """The rows of the published folder."""
    return [row for table in DocumentFolder.open(out).tables() for row in table.to_pylist()]


def rejects(out: Path) -> dict[str, str]:
    """Reason by id."""
    rows = [json.loads(line) for line in (out / "rejects.jsonl").read_text().splitlines()]
    assert all(row["detail"] for row in rows)
    return {row["id"]: row["reason"] for row in rows}
