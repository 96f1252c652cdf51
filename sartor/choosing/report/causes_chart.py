"""What became of each path's questions: a column of bars for each cause, so that like stands under like."""

from collections.abc import Sequence

from matplotlib.patches import Rectangle

from sartor.choosing.report.chart_parts import FONT, NARROW, SMALL, quiet, shortened
from sartor.reporting.drawing import ACCENT, GRID, INK, MUTED, drawing, inline

Shares = tuple[str, list[float | None]]  # a path, and its share of 100 for every cause
WIDTH, LEFT = 640, 206


def causes_chart(paths: Sequence[Shares], causes: Sequence[str], name: str, narrow: bool = False) -> str:
    """The first cause, right, is filled; what went wrong is drawn as outlines."""
    name = f"{name}-{'narrow' if narrow else 'wide'}"
    words = "; ".join(
        f"{path}: "
        + ", ".join(f"{cause.lower()} {_figure(share)}" for cause, share in zip(causes, shares, strict=True))
        for path, shares in paths
    )
    spoken = "What became of each path's questions, as shares of 100"
    lines = len(paths) * (len(causes) + 1) if narrow else len(paths)
    line, top = (22, 4) if narrow else (34, 30)
    width, height = (NARROW if narrow else WIDTH), top + line * lines + 4
    with drawing(name, width, height) as figure:
        axes = figure.add_axes((0, 0, 1, 1))
        quiet(axes)
        axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
        start, column = (150, width - 196) if narrow else (LEFT, (width - LEFT) / len(causes))
        if not narrow:
            for index, cause in enumerate(causes):
                axes.text(start + index * column, 14, cause, fontsize=SMALL, color=MUTED, va="center")
        for at, (path, shares) in enumerate(paths):
            y = top + line * ((len(causes) + 1) * at if narrow else at) + line / 2
            axes.text(
                0 if narrow else LEFT - 16,
                y,
                shortened(path, 40 if narrow else 27),
                fontsize=FONT,
                color=INK,
                va="center",
                ha="left" if narrow else "right",
                fontweight="bold" if narrow else "normal",
            )
            for index, share in enumerate(shares):
                x = start if narrow else start + index * column
                place = y + line * (index + 1) if narrow else y
                if narrow:
                    axes.text(start - 10, place, causes[index], fontsize=SMALL, color=MUTED, va="center", ha="right")
                room = column if narrow else column - 48
                axes.add_patch(Rectangle((x, place - 6), room, 12, fill=False, edgecolor=GRID, linewidth=1))
                if share:
                    axes.add_patch(
                        Rectangle(
                            (x, place - 6),
                            room * share / 100,
                            12,
                            linewidth=1.5,
                            facecolor=ACCENT if index == 0 else GRID,
                            edgecolor=ACCENT if index == 0 else INK,
                        )
                    )
                axes.text(x + room + 8, place, _figure(share), fontsize=SMALL, color=INK, va="center")
        return inline(figure, name, spoken, words)


def _figure(share: float | None) -> str:
    return "–" if share is None else f"{share:.0f}"
