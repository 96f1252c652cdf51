"""Whether more training rows would help: scores against rows, and a forecast with its doubt."""

from functools import partial
from typing import Any

from sartor.choosing.report.blocks import Picture, Row, Section, Table, row, table
from sartor.choosing.report.curve_chart import CurvePoint, curve_chart
from sartor.choosing.report.lines import Line
from sartor.reporting.figures import interval, number


def curve_section(choice: dict[str, Any], lines: list[Line]) -> Section | None:
    sentences, pictures = [], []
    tables: list[Table] = []
    for index, line in enumerate(lines):
        found = line.record.get("learning_curve") or {}
        points, forecast = _points(found.get("points")), _points(found.get("forecast"))
        if not points:
            continue
        if found.get("sentence"):
            sentences.append(_about(line, str(found["sentence"])))
        draw = partial(curve_chart, points, forecast, f"curve-{index}", line.title)
        caption = f"{line.title}. Points are measured, with 95 % intervals"
        pictures.append(
            Picture(
                draw,
                f"{caption}; the dashed line is a forecast, and between the thin lines it may lie."
                if forecast
                else f"{caption}.",
            )
        )
        tables += table(
            f"Learning curve of {line.label}",
            ("Training rows", "Score", "Obtained"),
            [*(_told(point, "measured") for point in points), *(_told(point, "forecast") for point in forecast)],
            folded=f"{line.title} in numbers",
        )
    return (
        Section("curve", "Would more examples help?", tuple(sentences), tuple(pictures), tuple(tables))
        if pictures
        else None
    )


def _about(line: Line, sentence: str) -> str:
    starts = sentence.lower().startswith((line.label.lower(), line.name.lower()))
    return sentence if starts else f"{line.title}: {sentence}"


def _points(listed: Any) -> list[CurvePoint]:
    """In points of 100, by rows; a forecast says `low` and `high`, a measurement `ci`."""
    points = []
    for entry in listed or []:
        rows, score = number(entry.get("rows")), number(entry.get("score"))
        low, high = interval(entry) if "ci" in entry else (number(entry.get("low")), number(entry.get("high")))
        if rows is not None and score is not None:
            points.append(
                CurvePoint(rows, 100 * score, None if low is None else 100 * low, None if high is None else 100 * high)
            )
    return sorted(points, key=lambda point: point.rows)


def _told(point: CurvePoint, obtained: str) -> Row:
    doubt = "" if point.low is None or point.high is None else f"{point.low:.0f} to {point.high:.0f}"
    return row(f"{point.rows:,.0f}", (f"{point.score:.1f}", doubt), obtained)
