"""What a point costs: score against time and against money, with the frontier."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from sartor.choosing.report.chart_labels import Placed, put_labels
from sartor.choosing.report.chart_parts import NARROW, SMALL, WIDE, Point, mark, quiet, shortened
from sartor.reporting.drawing import ACCENT, GRID, INK, MUTED, drawing, inline

CROWDED = 4  # points; more of them need the whole width
LABEL_CHARACTERS = 28
KEY_LINE = 19  # pixels


def dominated(placed: Sequence[Placed]) -> dict[str, str]:
    """The label of every path within the limits that another such path equals or beats on both score and x, and beats
    on one, with the label of the best one that does."""
    allowed = [(x, point) for x, point in placed if not point.barred]
    beaten = {}
    for x, point in allowed:
        better = [
            (other.score or 0.0, -other_x, other.label)
            for other_x, other in allowed
            if other_x <= x
            and (other.score or 0.0) >= (point.score or 0.0)
            and (other_x, other.score) != (x, point.score)
        ]
        if better:
            beaten[point.label] = max(better)[2]
    return beaten


def placed_by(points: Sequence[Point], reach: Callable[[Point], float | None]) -> list[Placed]:
    return [
        (x, point)
        for point in points
        if point.score is not None and not point.reference and (x := reach(point)) is not None
    ]


@dataclass(frozen=True)
class Axis:
    """What is given for the score: how it is read off a point, and how a value of it is written."""

    what: str
    label: str
    reach: Callable[[Point], float | None]
    tick: Callable[[float], str]


COST = Axis("cost", "US$ for 1,000 questions", lambda point: point.dollars, lambda value: f"${value:g}")
TIME = Axis(
    "time", "seconds a question (95 of 100 are faster)", lambda point: point.seconds, lambda value: f"{value:g} s"
)


def trade_axes(points: Sequence[Point]) -> list[list[Axis]]:
    """The axes of every chart to draw: one with both side by side where the paths are few, else one for each."""
    axes = [axis for axis in (COST, TIME) if len(placed_by(points, axis.reach)) > 1]
    together = all(len(placed_by(points, axis.reach)) <= CROWDED for axis in axes)
    return [axes] * bool(axes) if together else [[axis] for axis in axes]


def trade_chart(points: Sequence[Point], wanted: Sequence[Axis], narrow: bool = False) -> str:
    """A panel for each axis. The line joins the paths within the limits that no other such path beats on both. On a
    phone the paths are numbered, and a key under the panel names them."""
    name = "-".join(("trade", *(axis.what for axis in wanted), "narrow" if narrow else "wide"))
    panels = [(axis.label, placed_by(points, axis.reach), axis.tick) for axis in wanted]
    columns = 1 if narrow or len(panels) == 1 else 2
    rows = -(-len(panels) // columns)
    crowd = max(len(shown) for _, shown, _ in panels)
    key = KEY_LINE * crowd + 12 if narrow else 0
    width, panel_height = (NARROW if narrow else WIDE), 290 + key
    words = ". ".join(
        f"{label}: "
        + "; ".join(f"{point.label} {point.score:.0f} points at {tick(float(f'{x:.3g}'))}" for x, point in shown)
        for label, shown, tick in panels
    )
    with drawing(name, width, panel_height * rows) as figure:
        for index, (label, shown, tick) in enumerate(panels):
            x, y = (index % columns) * width / columns, (rows - 1 - index // columns) * panel_height
            height = panel_height * rows
            box = ((x + 36) / width, (y + 52 + key) / height, (width / columns - 56) / width, 204 / height)
            axes = figure.add_axes(box)
            steps = _panel(axes, shown, label, tick)
            named = {point.label: shortened(point.label, LABEL_CHARACTERS) for _, point in shown}
            if key:
                named = {point.label: str(number + 1) for number, (_, point) in enumerate(shown)}
                _key(axes, shown)
            put_labels(axes, shown, named, steps)
        return inline(figure, name, f"Score against {' and '.join(axis.what for axis in wanted)}", words)


def _panel(axes: Any, placed: list[Placed], label: str, tick: Callable[[float], str]) -> list[tuple[float, float]]:
    """Draws everything but the names; the corners of the frontier."""
    quiet(axes)
    axes.annotate(
        "points of 100",
        (0, 1),
        (-30, 18),
        xycoords="axes fraction",
        textcoords="offset points",
        color=MUTED,
        fontsize=SMALL,
        annotation_clip=False,
    )
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
    beaten = dominated(placed)
    steps = sorted({(x, point.score or 0.0) for x, point in placed if not point.barred and point.label not in beaten})
    axes.plot(
        [x for x, _ in steps],
        [score for _, score in steps],
        color=MUTED,
        linewidth=1.5,
        linestyle=(0, (4, 3)),
        drawstyle="steps-post",
    )
    for x, point in placed:
        if point.low is not None and point.high is not None:
            axes.plot([x, x], [point.low, point.high], color=ACCENT if point.marked else INK, linewidth=1.2)
        mark(axes, x, point.score or 0.0, point, lesser=point.barred or point.label in beaten)
    return steps


def _key(axes: Any, placed: list[Placed]) -> None:
    """Which number stands for which path."""
    for at, (_, point) in enumerate(placed):
        place = (-24, -(58 + KEY_LINE * at))
        axes.annotate(
            f"{at + 1}  {shortened(point.label, 44)}", (0, 0), place, xycoords="axes fraction",
            textcoords="offset points", fontsize=SMALL, va="center", annotation_clip=False,
            color=ACCENT if point.marked else INK, fontweight="bold" if point.marked else "normal",
        )  # fmt: skip


def _scale(axes: Any, values: list[float]) -> None:
    """Logarithmic where the values span more than a factor of ten, else from zero."""
    smallest, largest = min(values), max(values)
    if smallest > 0 and largest / smallest > 10:
        axes.set_xscale("log")
        axes.set_xlim(smallest / 4, largest * 2.5)
        wide = largest / smallest > 200
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 3.0)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_xlim(0, largest * 1.35 or 1.0)
        axes.xaxis.set_major_locator(MaxNLocator(4))
