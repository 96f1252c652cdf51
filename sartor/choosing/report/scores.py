"""All paths with all their measures, and the references beside them."""

from typing import Any

from sartor.choosing.report.blocks import Picture, Row, Section, table
from sartor.choosing.report.chart_parts import Point
from sartor.choosing.report.lines import COLUMNS, Line
from sartor.choosing.report.scores_chart import scores_chart

CAPTION = "Score on the test questions, with 95 % intervals."


def point(line: Line) -> Point:
    return Point(
        line.title,
        line.score,
        line.low,
        line.high,
        line.seconds,
        line.dollars,
        line.status,
        marked=line.marked,
        barred=bool(line.ruled_out),
        reference=line.reference,
    )


def first_picture(lines: list[Line]) -> Picture:
    """The one chart of the first page: the paths that could be chosen."""
    points = [point(line) for line in lines if not line.reference] or [point(line) for line in lines]
    named = " The filled diamond is the path that the verdict names." if any(line.marked for line in lines) else ""
    named += " Small squares break a limit." if any(each.barred for each in points) else ""
    return Picture(lambda narrow: scores_chart(points, "scores", narrow), CAPTION + named)


def scores_section(choice: dict[str, Any], lines: list[Line]) -> Section:
    """A chart only where references stand beside the paths: else it is that of the first page."""
    exactly = f"In exact terms: {choice['why']}" if choice.get("why") else ""
    rows = [
        Row(((f"◆ {line.title}" if line.marked else line.title, _remark(line)), *line.cells), line.marked)
        for line in lines
    ]
    return Section(
        "paths",
        "All paths",
        (exactly,) if exactly else (),
        _with_references(lines),
        table("All paths", ("Path", *COLUMNS), rows),
    )


def _remark(line: Line) -> str:
    return ", ".join(filter(None, (line.name if line.title != line.name else "", line.status)))


def _with_references(lines: list[Line]) -> tuple[Picture, ...]:
    points = [point(line) for line in lines]
    if not any(each.reference for each in points) or all(each.reference for each in points):
        return ()
    return (
        Picture(
            lambda narrow: scores_chart(points, "references", narrow),
            f"{CAPTION} Open triangles are references: they tell where errors come from and are never chosen.",
        ),
    )
