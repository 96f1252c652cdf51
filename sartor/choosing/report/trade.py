"""Quality against cost and against time: which paths another one makes superfluous."""

from functools import partial
from typing import Any

from sartor.choosing.report.blocks import Picture, Section
from sartor.choosing.report.chart_parts import Point
from sartor.choosing.report.lines import Line
from sartor.choosing.report.scores import point
from sartor.choosing.report.trade_chart import COST, TIME, Axis, dominated, placed_by, trade_axes, trade_chart

CAPTION = (
    "Up is better, left is cheaper or quicker. The dashed line is the frontier: the paths that no other path within "
    "the limits beats on both. Small squares are dominated or break a limit; vertical bars are 95 % intervals."
)


def trade_section(choice: dict[str, Any], lines: list[Line]) -> Section | None:
    points = [point(line) for line in lines]
    pictures = [
        Picture(partial(trade_chart, points, axes), CAPTION if index == 0 else "")
        for index, axes in enumerate(trade_axes(points))
    ]
    if not pictures:
        return None
    inside = {line.title: line.label for line in lines}
    sentences = [_told(points, inside, axis) for axis in (COST, TIME)]
    sentences += _off_the_front(lines)
    return Section("trade", "What a point costs", tuple(filter(None, sentences)), tuple(pictures))


def _off_the_front(lines: list[Line]) -> list[str]:
    """What the verdict itself leaves out: paths that another one equals or beats in everything that counts."""
    inside = {line.record["name"]: line.label for line in lines}
    beaten = [(line, str(line.record["dominated_by"])) for line in lines if line.record.get("dominated_by")]
    named = "; ".join(f"{line.label} (by {inside.get(by, by)})" for line, by in beaten)
    everything = "In score, cost, time, what leaves this machine and how soon changes are known, all together"
    return [f"{everything}, dominated and so never chosen: {named}."] if named else []


def _told(points: list[Point], inside: dict[str, str], axis: Axis) -> str:
    placed = placed_by(points, axis.reach)
    if len(placed) < 2:
        return ""
    beaten = dominated(placed)
    if not beaten:
        return f"By score and {axis.what}, no path is dominated: each has a better score or a lower {axis.what}."
    named = "; ".join(f"{inside[each]} (by {inside[by]})" for each, by in beaten.items())
    return f"By score and {axis.what}, dominated as observed: {named}."
