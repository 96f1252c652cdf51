"""Where the names of points go in a crowded chart."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from sartor.choosing.report.chart_parts import SMALL, Point, write
from sartor.reporting.drawing import MUTED

LIFTS = (0, 13, -13, 26, -26, 39, -39)  # pixels above the point
FAR = 20  # pixels from which on a name could be taken for that of another point

Box = tuple[float, float, float, float]
Placed = tuple[float, Point]


def put_labels(axes: Any, placed: list[Placed], named: Mapping[str, str], steps: Sequence[tuple[float, float]]) -> None:
    """Names beside their points, each where it covers least: it stays in the frame, covers no other name and no mark if
    there is a place left, then no line, and is as near as can be. One that is away from its point gets a line to it.
    `steps` are the corners of a line that is drawn, too."""
    frame, at = axes.bbox, axes.transData.transform
    solid: list[Box] = []
    thin: list[Box] = []
    for x, point in placed:
        px, py = at((x, point.score or 0.0))
        solid.append((px - 8, py - 8, px + 8, py + 8))
        if point.low is not None and point.high is not None:
            thin.append((px - 2, at((x, point.low))[1], px + 2, at((x, point.high))[1]))
    for (x, y), (next_x, next_y) in itertools.pairwise(steps):
        (left, low), (right, high) = at((x, y)), at((next_x, next_y))
        thin += [(left, low - 2, right, low + 2), (right - 2, low, right + 2, high)]
    for x, point in sorted(placed, key=lambda pair: not pair[1].marked):
        px, py = at((x, point.score or 0.0))
        shown = named[point.label]
        width = len(shown) * (7.8 if point.marked else 6.6)
        places = [(side, px + 11 * side, py + lift) for lift in LIFTS for side in (1, -1)]
        boxes = [
            (min(left, left + side * width), middle - 7, max(left, left + side * width), middle + 7)
            for side, left, middle in places
        ]

        def covered(index: int, boxes: list[Box] = boxes) -> tuple[float, int, int, int]:
            box = boxes[index]
            beyond = (frame.x0 - box[0], box[2] - frame.x1 - 20, frame.y0 - box[1], box[3] - frame.y1 - 12)
            return (
                max(0.0, *beyond),
                sum(_overlap(box, other) for other in solid),
                sum(_overlap(box, other) for other in thin),
                index,
            )

        best = min(range(len(boxes)), key=covered)
        solid.append(boxes[best])
        side, left, middle = places[best]
        name_x, name_y = axes.transData.inverted().transform((left, middle))
        if abs(middle - py) >= FAR:
            axes.plot([x, name_x], [point.score or 0.0, name_y], color=MUTED, linewidth=0.8, zorder=3)
        write(axes, name_x, name_y, shown, point, SMALL, ha="left" if side > 0 else "right", zorder=5)


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
