"""What a run says of the quality of what it trained (`quality` of result.json): figures under their names, and a chart
of calibration where there are bins for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.ticker import FuncFormatter

from sartor.reporting.drawing import ACCENT, GRID, MUTED, PAPER, drawing, inline
from sartor.reporting.figures import number, plain, visible

INTERVAL = ("mean", "low", "high")
DIFFERENCE = {"difference", "low", "high"}
SIZE = (340, 300)
FONT = 12.0


@dataclass(frozen=True)
class QualityView:
    """`parts` are (heading, [(what, figure)]); the first heading is empty. `calibration` is an svg or empty."""

    parts: list[tuple[str, list[tuple[str, str]]]]
    calibration: str


def quality_view(quality: Mapping[str, Any]) -> QualityView:
    """Every figure of a nested mapping; an interval is one figure."""
    top: list[tuple[str, str]] = []
    parts: list[tuple[str, list[tuple[str, str]]]] = []
    calibration = ""
    for key, value in quality.items():
        if isinstance(value, Mapping) and not _is_interval(value):
            parts.append((words(key), _figures(value)))
        else:
            top.append((words(key), figure(value)))
        if key == "calibration" and isinstance(value, Mapping):
            calibration = calibration_chart(value.get("bins") or [])
    return QualityView([("", top), *parts] if top else parts, calibration)


def figure(value: Any) -> str:
    """Four figures that count; `0.71 (0.66 to 0.76), n 200` for a mean with limits."""
    if isinstance(value, Mapping) and _is_interval(value):
        rows = "" if value.get("n") is None else f", n {plain(value['n'])}"
        return f"{figure(value['mean'])} (95 % interval {figure(value['low'])} to {figure(value['high'])}){rows}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{words(key).lower()} {figure(item)}" for key, item in value.items())
    return "; ".join(figure(item) for item in value) if isinstance(value, list | tuple) else visible(plain(value))


def words(key: str) -> str:
    """`length_bias` -> `Length bias`."""
    text = visible(str(key)).replace("_", " ")
    return text[:1].upper() + text[1:]


def calibration_chart(bins: Sequence[Mapping[str, Any]]) -> str:
    """How often the model was right where it was so sure, with 95 % limits, beside the line of honest probabilities;
    empty without a bin that has both figures."""
    points = [_bin(each) for each in bins if isinstance(each, Mapping)]
    found = [each for each in points if each is not None]
    if not found:
        return ""
    width, height = SIZE
    described = "; ".join(
        f"said {said:.2f}, right {mean:.2f} ({low:.2f} to {high:.2f})" for said, mean, low, high in found
    )
    with drawing("calibration", width, height) as canvas:
        axes = canvas.add_axes((58 / width, 44 / height, 1 - 74 / width, 1 - 58 / height))
        _quiet(axes)
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)), zorder=2)
        for said, mean, low, high in found:
            axes.plot([said, said], [low, high], color=ACCENT, linewidth=1.5, zorder=3)
            axes.plot([said], [mean], marker="o", markersize=7, color=ACCENT, markeredgecolor=PAPER, zorder=4)
        axes.set_xlim(min(0.5, *(said for said, *_ in found)) - 0.03, 1.02)
        axes.set_ylim(min(0.5, *(low for _, _, low, _ in found)) - 0.03, 1.03)
        return inline(canvas, "calibration", "Calibration: how sure it was, and how often it was right", described)


def _bin(each: Mapping[str, Any]) -> tuple[float, float, float, float] | None:
    """(confidence, accuracy, its lower and upper limit)."""
    accuracy = each.get("accuracy")
    limits = accuracy if isinstance(accuracy, Mapping) else {"mean": accuracy, "low": accuracy, "high": accuracy}
    said, figures = number(each.get("confidence")), [number(limits.get(name)) for name in INTERVAL]
    if said is None or None in figures:
        return None
    mean, low, high = (value or 0.0 for value in figures)
    return said, mean, low, high


def _figures(value: Mapping[str, Any]) -> list[tuple[str, str]]:
    if value.keys() >= DIFFERENCE and value["difference"] is not None:
        limits = {"mean": value["difference"], "low": value["low"], "high": value["high"]}
        value = {key: limits if key == "difference" else item for key, item in value.items() if key not in limits}
    return [(words(key), figure(item)) for key, item in value.items() if key != "bins"]


def _is_interval(value: Mapping[str, Any]) -> bool:
    return value.keys() == {*INTERVAL, "n"} or value.keys() == set(INTERVAL)


def _quiet(axes: Any) -> None:
    axes.patch.set_visible(False)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(length=0, labelsize=FONT, labelcolor=MUTED, pad=6)
    axes.set_axisbelow(True)
    axes.grid(True, color=GRID, linewidth=1)
    axes.set_xlabel("probability that it gives", color=MUTED, fontsize=FONT)
    axes.set_ylabel("share that is right", color=MUTED, fontsize=FONT)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.1f}"))
