"""The charts of a report on prepared documents."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.ticker import FuncFormatter, MaxNLocator

from sartor.reporting.curves import short_number
from sartor.reporting.drawing import ACCENT, BAD, GRID, INK, MUTED, PAPER, drawing, inline
from sartor.reporting.figures import visible

WIDTH = 760
ROW_HEIGHT, MARGIN = 26, 44
LABEL_WIDTH, FIGURE_WIDTH = 190, 110
LENGTHS_HEIGHT = 260
FONT = 12.0
LONGEST_LABEL = 30

Bars = Sequence[tuple[str, float, float, str]]
"""From the top: label, solid part, part in another colour, what is written behind."""


def step_chart(steps: Sequence[Mapping[str, Any]]) -> str:
    """For each step the documents that it kept and those that it dropped."""
    bars = []
    for step in steps:
        dropped = sum(step["dropped"].values())
        said = f"−{short_number(dropped)}" if dropped else "none dropped"
        bars.append((step["name"], step["documents"] - dropped, dropped, said))
    words = "; ".join(f"{name}: {kept:,} kept, {dropped:,} dropped" for name, kept, dropped, _ in bars)
    return bar_chart(bars, "steps", "Documents kept and dropped by each step", words)


def count_chart(counts: Mapping[str, int], name: str, title: str, most: int = 12) -> str:
    """The largest counts as bars, the others as one."""
    largest = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = largest[:most]
    if rest := sum(number for _, number in largest[most:]):
        shown.append((f"{len(largest) - most:,} others", rest))
    total = max(sum(counts.values()), 1)
    bars = [(label, number, 0, f"{short_number(number)} ({number / total:.1%})") for label, number in shown]
    return bar_chart(bars, name, title, "; ".join(f"{label}: {number:,}" for label, number in shown))


def length_chart(before: Mapping[str, int], after: Mapping[str, int]) -> str:
    """How many documents have which length, in characters, before and after."""
    powers = sorted({int(power) for power in (*before, *after)})
    if not powers:
        return ""
    ticks = range(powers[0], powers[-1] + 1)
    box = (64 / WIDTH, 46 / LENGTHS_HEIGHT, (WIDTH - 84) / WIDTH, (LENGTHS_HEIGHT - 76) / LENGTHS_HEIGHT)
    with drawing("lengths", WIDTH, LENGTHS_HEIGHT) as figure:
        axes = figure.add_axes(box)
        _quiet(axes)
        axes.grid(True, axis="y", color=GRID, linewidth=1)
        for shift, (counts, label, colour) in zip(
            (-0.2, 0.2), ((before, "before", MUTED), (after, "after", ACCENT)), strict=True
        ):
            heights = [counts.get(str(power), 0) for power in ticks]
            axes.bar([tick + shift for tick in ticks], heights, width=0.38, color=colour, label=label, linewidth=0)
        axes.set_xticks(list(ticks), ["0" if power < 0 else short_number(2**power) for power in ticks])
        axes.set_xlabel("characters in a document, at least", color=MUTED, fontsize=FONT)
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.02), ncols=2, frameon=False, fontsize=FONT, labelcolor=MUTED)
        words = "; ".join(
            f"{0 if power < 0 else 2**power}: {before.get(str(power), 0)} before, {after.get(str(power), 0)} after"
            for power in ticks
        )
        return inline(figure, "lengths", "Lengths of documents before and after", words)


def bar_chart(bars: Bars, name: str, title: str, words: str) -> str:
    """Lying bars, the first at the top."""
    if not bars:
        return ""
    height = ROW_HEIGHT * len(bars) + MARGIN
    box = (
        LABEL_WIDTH / WIDTH, 30 / height, (WIDTH - LABEL_WIDTH - FIGURE_WIDTH) / WIDTH, (height - MARGIN) / height
    )  # fmt: skip
    longest = max(solid + other for _, solid, other, _ in bars) or 1
    places = range(len(bars))
    with drawing(name, WIDTH, height) as figure:
        axes = figure.add_axes(box)
        _quiet(axes)
        axes.grid(True, axis="x", color=GRID, linewidth=1)
        axes.barh(places, [solid for _, solid, _, _ in bars], height=0.62, color=INK, edgecolor=PAPER, linewidth=0)
        axes.barh(
            places, [other for _, _, other, _ in bars], left=[solid for _, solid, _, _ in bars], height=0.62,
            color=BAD, edgecolor=PAPER, linewidth=0,
        )  # fmt: skip
        for place, (_, solid, other, said) in zip(places, bars, strict=True):
            axes.annotate(
                visible(said), (solid + other, place), (6, 0), textcoords="offset points", va="center",
                color=MUTED, fontsize=FONT, annotation_clip=False,
            )  # fmt: skip
        axes.set_xlim(0, longest)
        axes.set_ylim(len(bars) - 0.5, -0.5)
        axes.set_yticks(list(places), [_short(label) for label, _, _, _ in bars])
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))
        return inline(figure, name, title, visible(words))


def _quiet(axes: Any) -> None:
    axes.patch.set_visible(False)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0, labelsize=FONT, labelcolor=MUTED, pad=6)
    axes.set_axisbelow(True)


def _short(label: str) -> str:
    """Of a long one the end, where names of hosts and folders differ."""
    label = visible(label)
    return label if len(label) <= LONGEST_LABEL else "…" + label[1 - LONGEST_LABEL :]
