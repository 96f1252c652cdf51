"""Every path's score with its interval, on the whole scale from 0 to 100."""

from collections.abc import Sequence
from typing import Any

from matplotlib.ticker import NullLocator

from sartor.choosing.report.chart_parts import FONT, NARROW, SMALL, Point, mark, quiet, shortened, value, write
from sartor.reporting.drawing import ACCENT, GRID, INK, MUTED, drawing, inline

WIDTH = 640
LEFT, RIGHT = 206, 116  # for names and for numbers, beside the scale
MANY = 5  # paths; more of them stand closer together
APART = 1.0  # rows between the paths and the references, with a heading in it


def scores_chart(points: Sequence[Point], name: str, narrow: bool = False) -> str:
    """Best first as given; references, which come last, apart from the others under a heading of their own."""
    name = f"{name}-{'narrow' if narrow else 'wide'}"
    row, top, bottom = (56, 8, 42) if narrow else (36 if len(points) > MANY else 46, 8, 42)
    places, rows = _places(points)
    width, height = (NARROW if narrow else WIDTH), top + bottom + row * rows
    left, right = (8, 12) if narrow else (LEFT, RIGHT)
    box = (left / width, bottom / height, (width - left - right) / width, 1 - (top + bottom) / height)
    words = "; ".join(f"{point.label}: {value(point)}{f', {point.status}' if point.status else ''}" for point in points)
    with drawing(name, width, height) as figure:
        axes = figure.add_axes(box)
        axes.set(xlim=(0, 100), ylim=(rows - 0.5, -0.5))
        quiet(axes)
        axes.yaxis.set_major_locator(NullLocator())
        axes.set_xticks([0, 25, 50, 75, 100])
        axes.xaxis.grid(True, color=GRID, linewidth=1)
        axes.set_xlabel("points of 100", color=MUTED, fontsize=SMALL, labelpad=4)
        _heading(axes, points, places, narrow)
        for place, point in zip(places, points, strict=True):
            _interval(axes, point, place + (0.12 if narrow else 0.0))
            _name(axes, point, place, row, narrow)
        return inline(figure, name, "Score of every path with its 95 % interval", words)


def _places(points: Sequence[Point]) -> tuple[list[float], float]:
    """The row of every point, and the number of rows."""
    both = len({point.reference for point in points}) == 2
    places = [index + (APART if both and point.reference else 0.0) for index, point in enumerate(points)]
    return places, len(points) + (APART if both else 0.0)


def _heading(axes: Any, points: Sequence[Point], places: Sequence[float], narrow: bool) -> None:
    """Over the first reference, where there are others too."""
    first = next((place for place, point in zip(places, points, strict=True) if point.reference), None)
    if first is None or first == 0:
        return
    line = axes.get_yaxis_transform()
    axes.plot(
        [0.0 if narrow else -0.5, 1.0],
        [first - 1.35] * 2,
        transform=line,
        color=MUTED,
        linewidth=1,
        linestyle=(0, (2, 3)),
        clip_on=False,
    )
    axes.text(
        0.0 if narrow else -0.045,
        first - 0.95,
        "for reference, never chosen",
        transform=line,
        color=MUTED,
        fontsize=SMALL,
        fontstyle="italic",
        va="center",
        ha="left" if narrow else "right",
    )


def _interval(axes: Any, point: Point, line: float) -> None:
    if point.score is None:
        axes.text(2, line, "not measured", color=MUTED, fontsize=SMALL, va="center")
        return
    colour = ACCENT if point.marked else MUTED if point.reference else INK
    if point.low is not None and point.high is not None:
        axes.plot(
            [point.low, point.high],
            [line, line],
            color=colour,
            linewidth=4 if point.marked else 2,
            linestyle=(0, (2, 1.5)) if point.reference else "solid",
            solid_capstyle="butt",
            clip_on=False,
        )
        for end in (point.low, point.high):
            axes.plot([end, end], [line - 0.1, line + 0.1], color=colour, linewidth=2, clip_on=False)
    mark(axes, point.score, line, point, lesser=point.barred)


def _name(axes: Any, point: Point, place: float, row: int, narrow: bool) -> None:
    """The path's name, its status and its numbers: beside the interval, or above it on a phone."""
    across = axes.get_yaxis_transform()
    status = "" if point.reference else point.status
    if narrow:
        line = place - 16 / row
        result = " · ".join(filter(None, ("" if point.score is None else f"{point.score:.0f}", status)))
        write(axes, 0, line, shortened(point.label, 42 - len(result)), point, FONT, transform=across, ha="left")
        write(axes, 1, line, result, point, SMALL, transform=across, ha="right")
        return
    shift = 8 / row if status else 0.0
    write(axes, -0.045, place - shift, shortened(point.label, 27), point, FONT, transform=across, ha="right")
    if status:
        write(axes, -0.045, place + shift, status, point, SMALL, transform=across, ha="right")
    if point.score is not None:
        write(axes, 1.05, place, value(point), point, FONT, transform=across, ha="left")
