"""A chart of values over steps: one curve or several, the best step marked if there is one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.ticker import FuncFormatter, MaxNLocator

from sartor.reporting.drawing import ACCENT, BAD, GOOD, GRID, INK, MUTED, PAPER, SOME, drawing, inline
from sartor.reporting.figures import visible

WIDE, NARROW = (760, 340), (340, 300)
SMALL = (340, 200)
FONT = 12.0
MOST_POINTS = 400  # of one curve: more cannot be told apart at this width, and a page is to stay small
MANY_POINTS, MOST_DOTS = 200, 40
LONGEST_LABEL = 34
COLOURS = (ACCENT, INK, SOME, GOOD, BAD)
DASHES = ("solid", (0, (5, 2)), (0, (1, 1.5)))

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Curve:
    """`points` are (step, value), steps ascending. A `faint` curve lies behind the others; `dots` shows each point."""

    label: str
    points: Points
    colour: str = INK
    dash: Any = "solid"
    faint: bool = False
    dots: bool = False


@dataclass(frozen=True)
class Mark:
    """A point worth a look, such as the best step."""

    step: float
    value: float
    label: str


def curve_chart(
    curves: Sequence[Curve], name: str, title: str, size: tuple[int, int] = SMALL, mark: Mark | None = None
) -> str:
    """An `<svg>` of `size` CSS pixels with every curve that has a point; `name` begins its ids."""
    drawn = [curve for curve in curves if curve.points]
    width, height = size
    lines = _legend_lines(drawn, mark, width)
    left, right, top, bottom = 62, 14, 8 + 17 * lines, 40
    box = (left / width, bottom / height, (width - left - right) / width, 1 - (top + bottom) / height)
    words = "; ".join(_words(curve) for curve in drawn) + (f"; {mark.label}" if mark else "")
    with drawing(name, width, height) as figure:
        axes = figure.add_axes(box)
        _quiet(axes)
        for curve in drawn:
            _draw(axes, curve)
        if mark is not None:
            _draw_mark(axes, mark)
        if lines:
            _legend(axes, width, height - top - bottom, len(drawn) + (mark is not None), lines)
        return inline(figure, name, visible(title), visible(words))


def several(number: int) -> list[tuple[str, Any]]:
    """Colour and dash of so many curves of one kind: told apart by both, so that no colour is needed."""
    return [(COLOURS[index % len(COLOURS)], DASHES[index // len(COLOURS) % len(DASHES)]) for index in range(number)]


def thinned(points: Points, most: int = MOST_POINTS) -> list[tuple[float, float]]:
    """At most `most` of the points: the lowest and the highest of each stretch, so that every spike is still seen."""
    if len(points) <= most:
        return list(points)
    stretches = most // 2
    kept = []
    for index in range(stretches):
        stretch = points[index * len(points) // stretches : (index + 1) * len(points) // stretches]
        ends = {min(stretch, key=lambda point: point[1]), max(stretch, key=lambda point: point[1])}
        kept += sorted(ends)
    return kept


def short_number(value: float) -> str:
    """Four figures that count, thousands with commas: `0.0002`, `1.235`, `12,300`."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _words(curve: Curve) -> str:
    (first, start), (last, end) = curve.points[0], curve.points[-1]
    low, at = min((value, step) for step, value in curve.points)
    if len(curve.points) == 1:
        return f"{curve.label}: {short_number(start)} at step {first:g}"
    return (
        f"{curve.label}: {short_number(start)} at step {first:g}, {short_number(end)} at step {last:g}, "
        f"lowest {short_number(low)} at step {at:g}"
    )


def _quiet(axes: Any) -> None:
    axes.patch.set_visible(False)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0, labelsize=FONT, labelcolor=MUTED, pad=6)
    axes.set_axisbelow(True)
    axes.grid(True, axis="y", color=GRID, linewidth=1)
    axes.set_xlabel("step", color=MUTED, fontsize=FONT, labelpad=2)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))


def _draw(axes: Any, curve: Curve) -> None:
    points = thinned(curve.points)
    width = 0.8 if curve.faint else 1.2 if len(points) > MANY_POINTS else 2
    dotted = len(points) == 1 or (curve.dots and len(points) <= MOST_DOTS)
    axes.plot(
        [step for step, _ in points], [value for _, value in points], label=_short(curve.label),
        color=MUTED if curve.faint else curve.colour, linestyle=curve.dash, linewidth=width,
        alpha=0.6 if curve.faint else None, zorder=2 if curve.faint else 3, solid_joinstyle="round",
        marker="o" if dotted else None, markersize=5,
    )  # fmt: skip


def _draw_mark(axes: Any, mark: Mark) -> None:
    axes.axvline(mark.step, color=ACCENT, linewidth=1.2, linestyle=(0, (3, 3)), zorder=2)
    axes.plot(
        [mark.step], [mark.value], marker="D", markersize=10, color=ACCENT, markeredgecolor=PAPER, markeredgewidth=1.5,
        linestyle="none", zorder=5, clip_on=False, label=_short(mark.label),
    )  # fmt: skip


def _short(label: str) -> str:
    """Without what no XML may hold, not too long, and not hidden: matplotlib leaves out labels that begin with _."""
    label = visible(label).lstrip("_") or "unnamed"
    return label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"


def _legend_lines(curves: Sequence[Curve], mark: Mark | None, width: int) -> int:
    """How many lines the legend takes; a single curve needs none, since the chart's own title says what it is."""
    entries = len(curves) + (mark is not None)
    return 0 if len(curves) < 2 else math.ceil(entries / _columns(width, entries))


def _columns(width: int, entries: int) -> int:
    return min(entries, max(1, width // 180))


def _legend(axes: Any, width: int, plot_height: float, entries: int, lines: int) -> None:
    axes.legend(
        loc="lower left", bbox_to_anchor=(-44 / width, 1 + 4 / plot_height), ncols=_columns(width, entries),
        frameon=False, fontsize=FONT, labelcolor=MUTED, handlelength=1.8, columnspacing=1.4, handletextpad=0.6,
        labelspacing=0.25, borderpad=0, borderaxespad=0,
    )  # fmt: skip
