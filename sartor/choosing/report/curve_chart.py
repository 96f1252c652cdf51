"""A learning curve: what was measured as points, what is guessed from them as dashed lines."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.ticker import FuncFormatter, MaxNLocator

from sartor.choosing.report.chart_parts import NARROW, SMALL, quiet
from sartor.reporting.drawing import ACCENT, GRID, INK, MUTED, drawing, inline

WIDTH, HEIGHT = 640, 280


@dataclass(frozen=True)
class CurvePoint:
    """A score in points of 100 after training on so many rows, with its range."""

    rows: float
    score: float
    low: float | None = None
    high: float | None = None


def curve_chart(
    points: Sequence[CurvePoint], forecast: Sequence[CurvePoint], name: str, label: str, narrow: bool = False
) -> str:
    """Points and forecast each in the order of their rows; the forecast goes on from the last point."""
    name = f"{name}-{'narrow' if narrow else 'wide'}"
    width = NARROW if narrow else WIDTH
    told = [f"{point.rows:,.0f} rows {point.score:.0f} points" for point in points]
    guessed = [f"{point.rows:,.0f} rows {point.score:.0f} points, forecast" for point in forecast]
    with drawing(name, width, HEIGHT) as figure:
        axes = figure.add_axes((40 / width, 48 / HEIGHT, (width - 72) / width, (HEIGHT - 84) / HEIGHT))
        quiet(axes)
        axes.grid(True, color=GRID, linewidth=1)
        drawn = [value for point in (*points, *forecast) for value in (point.score, point.low, point.high)]
        known = [value for value in drawn if value is not None]
        axes.set_ylim(max(0.0, min(known) - 5), min(100.0, max(known) + 5))
        axes.set_xlim(0, 1.03 * max(point.rows for point in (*points, *forecast)))
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.xaxis.set_major_locator(MaxNLocator(4 if narrow else 7, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.set_xlabel("training rows", color=MUTED, fontsize=SMALL, labelpad=6)
        axes.annotate(
            "points of 100",
            (0, 1),
            (-30, 14),
            xycoords="axes fraction",
            textcoords="offset points",
            color=MUTED,
            fontsize=SMALL,
            annotation_clip=False,
        )
        ahead = [point for point in forecast if point.rows > points[-1].rows]
        path = [points[-1], *ahead]
        axes.plot(
            [point.rows for point in path],
            [point.score for point in path],
            color=ACCENT,
            linewidth=2,
            linestyle=(0, (4, 3)),
        )
        for bound in ("low", "high"):
            limits = [(point.rows, value) for point in path if (value := getattr(point, bound)) is not None]
            axes.plot([rows for rows, _ in limits], [value for _, value in limits], color=MUTED, linewidth=1)
        axes.plot(
            [point.rows for point in points],
            [point.score for point in points],
            color=INK,
            linewidth=2,
            marker="o",
            markersize=8,
            zorder=4,
        )
        for point in points:
            if point.low is not None and point.high is not None:
                axes.plot([point.rows, point.rows], [point.low, point.high], color=INK, linewidth=2)
        if ahead:
            axes.annotate(
                "forecast",
                (ahead[-1].rows, ahead[-1].score),
                (-4, 8),
                textcoords="offset points",
                color=ACCENT,
                fontsize=SMALL,
                ha="right",
            )
        axes.annotate(
            "measured",
            (points[0].rows, points[0].score),
            (10, -12),
            textcoords="offset points",
            color=INK,
            fontsize=SMALL,
        )
        return inline(figure, name, f"Learning curve of {label}", "; ".join((*told, *guessed)))
