"""Runs side by side on one self-contained page: what was set differently, what came out, and their curves overlaid."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from sartor.base.durable import replace_file
from sartor.reporting.page import page_bytes, render_page
from sartor.train.history import History
from sartor.train.run_charts import overlaid_charts

Table = Mapping[str, Sequence[str]]  # name of a line -> a cell for each run


def write_comparison(file: Path, histories: dict[str, History], settings: Table, results: Table) -> Path:
    """Write the page to `file` and return it; the tables' cells are in the order of `histories`."""
    values = {
        "names": list(histories),
        "settings": list(settings.items()),
        "results": list(results.items()),
        "charts": overlaid_charts(histories),
    }
    replace_file(file, page_bytes(render_page(Path(__file__).with_name("comparison.html.jinja"), values)))
    return file
