"""The two pictures of a report: every path's score, and what a point costs in time and money.

One unit of a chart is one CSS pixel at its natural width.
"""

import itertools
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from sartor.reporting.drawing import ACCENT, GRID, INK, MUTED, PAPER, drawing, inline

WIDE, NARROW = 760, 340
FONT, SMALL = 14.0, 12.0
SECONDS = "seconds a question (95 of 100 are faster)"
DOLLARS = "US$ for 1,000 questions"

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Point:
    """One path in a chart.

    `score`, `low` and `high` are points of 100 (None: not measured), `seconds` are for one question,
    `dollars` for 1,000. `status` is a word under the name; `marked` is the path that the verdict names, and a
    `barred` one breaks a limit.
    """

    label: str
    score: float | None
    low: float | None = None
    high: float | None = None
    seconds: float | None = None
    dollars: float | None = None
    status: str = ""
    marked: bool = False
    barred: bool = False


Placed = tuple[float, Point]


def scores_chart(points: Sequence[Point], name: str, narrow: bool = False) -> str:
    """Every path's score with its 95 % interval on the whole scale from 0 to 100, best first as given."""
    row, top, bottom = (58, 8, 42) if narrow else (50, 8, 42)
    width, height = (NARROW if narrow else WIDE), top + bottom + row * len(points)
    left, right = (8, 12) if narrow else (216, 124)
    box = (left / width, bottom / height, (width - left - right) / width, 1 - (top + bottom) / height)
    words = "; ".join(
        f"{point.label}: {_value(point)}{f', {point.status}' if point.status else ''}" for point in points
    )
    with drawing(name, width, height) as figure:
        axes = figure.add_axes(box)
        axes.set(xlim=(0, 100), ylim=(len(points) - 0.5, -0.5))
        _quiet(axes)
        axes.yaxis.set_major_locator(NullLocator())
        axes.set_xticks([0, 25, 50, 75, 100])
        axes.xaxis.grid(True, color=GRID, linewidth=1)
        axes.set_xlabel("points of 100", color=MUTED, fontsize=SMALL, labelpad=4)
        for index, point in enumerate(points):
            _interval(axes, point, index + (0.12 if narrow else 0.0))
            _name(axes, point, index, row, narrow)
        return inline(figure, name, "Score of every path with its 95 % interval", words)


def trade_chart(points: Sequence[Point], name: str, narrow: bool = False) -> str:
    """Score against time and against cost, one panel each; an empty string where there is no panel to draw.

    The line joins the paths within the limits that no other such path beats on both; a panel needs two paths.
    """
    wanted: list[tuple[str, Callable[[Point], float | None], Callable[[float], str]]] = [
        (SECONDS, lambda point: point.seconds, lambda value: f"{value:g} s"),
        (DOLLARS, lambda point: point.dollars, lambda value: f"${value:g}"),
    ]
    panels = []
    for label, reach, tick in wanted:
        shown = [(x, point) for point in points
                 if point.score is not None and (x := reach(point)) is not None]
        if len(shown) > 1:
            panels.append((label, shown, tick))
    if not panels:
        return ""
    width, panel_height = (NARROW if narrow else WIDE), 290
    columns, rows = (1, len(panels)) if narrow else (2, 1)
    words = ". ".join(
        f"{label}: " + "; ".join(f"{point.label} {point.score:.0f} points at {tick(float(f'{x:.3g}'))}"
                                 for x, point in shown)
        for label, shown, tick in panels
    )
    with drawing(name, width, panel_height * rows) as figure:
        for index, (label, shown, tick) in enumerate(panels):
            x, y = (index % columns) * width / columns, (rows - 1 - index // columns) * panel_height
            height = panel_height * rows
            box = ((x + 36) / width, (y + 48) / height, (width / columns - 56) / width, 208 / height)
            _panel(figure.add_axes(box), shown, label, tick)
        return inline(figure, name, "Score against time and cost", words)


def _quiet(axes: Any) -> None:
    axes.patch.set_visible(False)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0, labelsize=SMALL, labelcolor=MUTED, pad=6)
    axes.set_axisbelow(True)


def _value(point: Point) -> str:
    if point.score is None:
        return "not measured"
    interval = "" if point.low is None or point.high is None else f" ({point.low:.0f} to {point.high:.0f})"
    return f"{point.score:.0f}{interval}"


def _interval(axes: Any, point: Point, line: float) -> None:
    if point.score is None:
        axes.text(2, line, "not measured", color=MUTED, fontsize=SMALL, va="center")
        return
    colour = ACCENT if point.marked else INK
    if point.low is not None and point.high is not None:
        axes.plot([point.low, point.high], [line, line], color=colour, linewidth=4 if point.marked else 2,
                  solid_capstyle="butt", clip_on=False)
        for end in (point.low, point.high):
            axes.plot([end, end], [line - 0.1, line + 0.1], color=colour, linewidth=2, clip_on=False)
    _marker(axes, point.score, line, point)


def _marker(axes: Any, x: float, y: float, point: Point) -> None:
    """A filled diamond for the path the verdict names, an open circle for the others: no colour needed."""
    axes.plot([x], [y], marker="D" if point.marked else "o", markersize=12 if point.marked else 9,
              color=ACCENT if point.marked else PAPER, markeredgecolor=ACCENT if point.marked else INK,
              markeredgewidth=2, linestyle="none", clip_on=False, zorder=4)


def _name(axes: Any, point: Point, index: int, row: int, narrow: bool) -> None:
    """The path's name, its status and its numbers: beside the interval, or above it on a phone."""
    place = axes.get_yaxis_transform()
    if narrow:
        line = index - 16 / row
        result = " · ".join(filter(None, ("" if point.score is None else f"{point.score:.0f}", point.status)))
        shown = textwrap.shorten(point.label, 36 - len(result), placeholder="…")
        _write(axes, 0, line, shown, point, FONT, transform=place, ha="left")
        _write(axes, 1, line, result, point, SMALL, transform=place, ha="right")
        return
    shift = 9 / row if point.status else 0.0
    shown = textwrap.shorten(point.label, 26, placeholder="…")
    _write(axes, -0.045, index - shift, shown, point, FONT, transform=place, ha="right")
    if point.status:
        _write(axes, -0.045, index + shift, point.status, point, SMALL, transform=place, ha="right")
    if point.score is not None:
        _write(axes, 1.04, index, _value(point), point, FONT, transform=place, ha="left")


def _panel(axes: Any, placed: list[Placed], label: str, tick: Callable[[float], str]) -> None:
    _quiet(axes)
    axes.text(-0.06, 1.05, "points of 100", transform=axes.transAxes, color=MUTED, fontsize=SMALL)
    drawn = [score for _, point in placed for score in (point.score, point.low, point.high)]
    scores = [score for score in drawn if score is not None]
    low, high = 10 * (min(scores) // 10), 10 * -(-max(scores) // 10)
    room = 10 if high - low < 20 else 0
    axes.set_ylim(max(0.0, low - room), min(100.0, high + room))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    _scale(axes, [x for x, _ in placed])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(float(f"{value:.6g}"))))
    axes.grid(True, color=GRID, linewidth=1)
    axes.set_xlabel(label, color=MUTED, fontsize=SMALL, labelpad=6)
    best, steps = float("-inf"), []
    for x, point in sorted(placed, key=lambda pair: (pair[0], -(pair[1].score or 0.0))):
        if not point.barred and (point.score or 0.0) > best:
            best = point.score or 0.0
            steps.append((x, best))
    axes.plot([x for x, _ in steps], [score for _, score in steps], color=MUTED, linewidth=1.5,
              linestyle=(0, (4, 3)), drawstyle="steps-post")
    for x, point in placed:
        if point.low is not None and point.high is not None:
            axes.plot([x, x], [point.low, point.high], color=ACCENT if point.marked else INK, linewidth=1.2)
        _marker(axes, x, point.score or 0.0, point)
    _labels(axes, placed, steps)


def _scale(axes: Any, values: list[float]) -> None:
    """Logarithmic where the values span more than a factor of ten, else from zero."""
    smallest, largest = min(values), max(values)
    if smallest > 0 and largest / smallest > 10:
        axes.set_xscale("log")
        axes.set_xlim(smallest / 2, largest * 2.5)
        wide = largest / smallest > 200
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 3.0)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_xlim(0, largest * 1.35 or 1.0)
        axes.xaxis.set_major_locator(MaxNLocator(4))


def _labels(axes: Any, placed: list[Placed], steps: list[tuple[float, float]]) -> None:
    """Names beside their points, each at the nearest place where it covers nothing that is drawn."""
    frame, at = axes.bbox, axes.transData.transform
    taken: list[Box] = []
    for x, point in placed:
        px, py = at((x, point.score or 0.0))
        taken.append((px - 8, py - 8, px + 8, py + 8))
        if point.low is not None and point.high is not None:
            taken.append((px - 2, at((x, point.low))[1], px + 2, at((x, point.high))[1]))
    for (x, y), (next_x, next_y) in itertools.pairwise(steps):
        (left, low), (right, high) = at((x, y)), at((next_x, next_y))
        taken += [(left, low - 2, right, low + 2), (right - 2, low, right + 2, high)]
    for x, point in sorted(placed, key=lambda pair: not pair[1].marked):
        px, py = at((x, point.score or 0.0))
        shown = textwrap.shorten(point.label, 24, placeholder="…")
        width = len(shown) * (7.4 if point.marked else 6.6)
        sides = (1, -1) if px + width + 10 < frame.x1 + 12 else (-1, 1)
        lifts = (0, 13, -13, 26, -26, 39, -39)
        places = [(side, px + 11 * side, py + lift) for lift in lifts for side in sides]
        boxes = [(min(left, left + side * width), middle - 7, max(left, left + side * width), middle + 7)
                 for side, left, middle in places]
        inside = [box[0] >= frame.x0 - 30 and box[2] <= frame.x1 + 20 for box in boxes]
        free = [not any(_overlap(box, other) for other in taken) for box in boxes]
        index = next((i for i in range(len(boxes)) if inside[i] and free[i]), 0)
        taken.append(boxes[index])
        side, left, middle = places[index]
        x, y = axes.transData.inverted().transform((left, middle))
        _write(axes, x, y, shown, point, SMALL, ha="left" if side > 0 else "right", zorder=5)


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _write(axes: Any, x: float, y: float, text: str, point: Point, size: float, **options: Any) -> None:
    """Text about `point`: the path that the verdict names is bold and in the accent colour."""
    colour, weight = (ACCENT, "bold") if point.marked else (INK, "normal")
    axes.text(x, y, text, fontsize=size, va="center", color=colour, fontweight=weight, **options)
