"""What the charts of a report share: a path as a point, its mark, its texts, and axes without a frame.

One unit of a chart is one CSS pixel at its natural width.
"""

import textwrap
from dataclasses import dataclass
from typing import Any

from sartor.reporting.drawing import ACCENT, INK, MUTED, PAPER

WIDE, NARROW = 760, 328
FONT, SMALL = 14.0, 12.0


@dataclass(frozen=True)
class Point:
    """One path in a chart.

    `score`, `low` and `high` are points of 100 (None: not measured), `seconds` are for one question,
    `dollars` for 1,000. `status` is a word under the name; `marked` is the path that the verdict names, and a
    `barred` one breaks a limit. A `reference` is never chosen and is drawn apart.
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
    reference: bool = False


def quiet(axes: Any) -> None:
    """No frame and no ticks: grid lines and numbers are enough."""
    axes.patch.set_visible(False)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0, labelsize=SMALL, labelcolor=MUTED, pad=6)
    axes.set_axisbelow(True)


def value(point: Point) -> str:
    if point.score is None:
        return "not measured"
    interval = "" if point.low is None or point.high is None else f" ({point.low:.0f} to {point.high:.0f})"
    return f"{point.score:.0f}{interval}"


def mark(axes: Any, x: float, y: float, point: Point, lesser: bool = False) -> None:
    """A filled diamond for the path the verdict names, an open triangle for a reference, an open circle for the
    others, and a small square for a `lesser` one: shapes tell them apart, colour only helps."""
    shape, size = ("D", 12) if point.marked else ("^", 10) if point.reference else ("s", 7) if lesser else ("o", 9)
    edge = ACCENT if point.marked else MUTED if point.reference or lesser else INK
    axes.plot(
        [x],
        [y],
        marker=shape,
        markersize=size,
        color=ACCENT if point.marked else PAPER,
        markeredgecolor=edge,
        markeredgewidth=2,
        linestyle="none",
        clip_on=False,
        zorder=4,
    )


def write(axes: Any, x: float, y: float, text: str, point: Point, size: float, **options: Any) -> None:
    """Text about `point`: the path that the verdict names is bold and in the accent colour."""
    colour, weight = (ACCENT, "bold") if point.marked else (MUTED if point.reference else INK, "normal")
    axes.text(x, y, text, fontsize=size, va="center", color=colour, fontweight=weight, **options)


def shortened(text: str, characters: int) -> str:
    """At a space where there is one, else within the word."""
    if len(text) <= characters:
        return text
    return (
        textwrap.shorten(text, characters, placeholder="…")
        if " " in text[:characters]
        else f"{text[: characters - 1]}…"
    )
