"""What a search for a learning rate came to: a record, sentences, a chart and a page."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from sartor.base.console import format_seconds
from sartor.base.durable import Content, replace_folder
from sartor.recipes.rate_trials import RateSearch
from sartor.recipes.supervised import SupervisedConfig
from sartor.reporting.drawing import ACCENT, GRID, INK, MUTED, PAPER, drawing, inline
from sartor.reporting.figures import number
from sartor.reporting.page import page_bytes, render_page

CHART_FILE, PAGE_FILE, RECORD_FILE = "find-lr.svg", "report.html", "find-lr.json"
TEMPLATE = Path(__file__).parent / "rate_report.html.jinja"
WIDTH, HEIGHT, SMALL = 760, 380, 12.0
STANDALONE_STYLE = (
    "svg{font-family:sans-serif;background:#fff}.fill-ink{fill:#1c1d1f}.fill-muted{fill:#5a5f66}"
    ".fill-accent{fill:#0a5a8c}.fill-paper{fill:#fff}.fill-grid{fill:#f0ede5}.stroke-ink{stroke:#1c1d1f}.stroke-muted{stroke:#5a5f66}"
    ".stroke-grid{stroke:#dcd8ce}.stroke-accent{stroke:#0a5a8c}.stroke-paper{stroke:#fff}"
)


def describe(config: SupervisedConfig, search: RateSearch) -> dict[str, Any]:
    """The whole search as JSON. Losses are means in nats a trained token of the held-out rows; `noise` is one standard
    error of the difference `behind` to the best rate."""
    found = search.found
    return {
        "learning_rate": search.learning_rate,
        "plateau": list(found.plateau),
        "plateau_for_planned_steps": list(found.plateau_for(search.planned_steps)),
        "best": found.best,
        "at_edge": found.at_edge,
        "expected": search.expected,
        "start_loss": found.start_loss,
        "seed_noise": found.seed_noise,
        "steps": found.steps,
        "planned_steps": search.planned_steps,
        "held_out_rows": search.held_out_rows,
        "seconds": search.seconds,
        "seed": config.seed,
        "adapter": config.adapter,
        "base": config.base,
        "data": config.data,
        "rates": [
            {
                "rate": each.rate,
                "steps": each.steps,
                "held_out_loss": each.losses.get(each.steps),
                "losses": {str(steps): loss for steps, loss in sorted(each.losses.items())},
                "behind": number(each.behind),
                "noise": number(each.noise),
                "state": each.state,
            }
            for each in found.tried
        ],
    }


def notes(record: dict[str, Any]) -> list[str]:
    """What a reader must know beside the table."""
    low, high = record["plateau"]
    said = [
        f"Rates from {low:.2g} to {high:.2g} cannot be told apart from the best within a standard error; of them the "
        f"one nearest to the rate to expect, {record['expected']:.2g}, is taken."
        if low < high
        else f"No other rate that was tried is within a standard error of {low:.2g}, the best."
    ]
    steps, planned = record["steps"], record["planned_steps"]
    if planned > steps:
        below, above = record["plateau_for_planned_steps"]
        said.append(
            f"The longest trials had {steps} steps and the run will have {planned}: longer runs prefer lower rates "
            f"(Bjorck et al., 2409.19913), so the range counts as {below:.2g} to {above:.2g}."
        )
    if record["at_edge"]:
        said.append("The best rate is at the end of those tried: a better one may lie beyond it.")
    if record["seed_noise"] is None:
        said.append("The best rate was not repeated with another seed, so noise is that of the held-out rows alone.")
    else:
        said.append(f"With another seed the best rate's loss differs by about {record['seed_noise']:.2g}.")
    dropped = [f"{each['rate']:.2g}" for each in record["rates"] if each["state"] == "diverged"]
    if dropped:
        said.append(f"Diverged, or made held-out rows less likely than before training: {', '.join(dropped)}.")
    return said


def write_report(record: dict[str, Any], folder: Path) -> Path:
    """The folder with page, chart and record; returns the page."""
    svg = rate_chart(record)
    standalone = svg.replace(">", f' xmlns="http://www.w3.org/2000/svg"><style>{STANDALONE_STYLE}</style>', 1)
    values = {
        "record": record,
        "chart": svg,
        "notes": notes(record),
        "took": format_seconds(record["seconds"]),
    }
    files: dict[str, Content] = {
        PAGE_FILE: page_bytes(render_page(TEMPLATE, values)),
        CHART_FILE: standalone,
        RECORD_FILE: json.dumps(record, indent=2),
    }
    replace_folder(folder, files)
    return folder / PAGE_FILE


def rate_chart(record: dict[str, Any]) -> str:
    """Held-out loss against rate, a line for each length of training; the plateau shaded, the expected rate dashed."""
    rates = record["rates"]
    lengths = sorted({int(steps) for each in rates for steps in each["losses"]})
    shown = [loss for each in rates for loss in each["losses"].values()] + [record["start_loss"]]
    room = 0.08 * (max(shown) - min(shown)) or 0.1
    low, high = record["plateau"]
    with drawing("find-lr", WIDTH, HEIGHT) as figure:
        axes = figure.add_axes((64 / WIDTH, 52 / HEIGHT, (WIDTH - 150) / WIDTH, (HEIGHT - 72) / HEIGHT))
        axes.set_xscale("log")
        axes.set_xlim(rates[0]["rate"] / 1.4, rates[-1]["rate"] * 1.4)
        axes.set_ylim(min(shown) - room, max(shown) + room)
        _quiet(axes, [each["rate"] for each in rates])
        axes.axvspan(low / 1.08, high * 1.08, facecolor=GRID, edgecolor="none", zorder=0)
        axes.axhline(record["start_loss"], color=MUTED, linewidth=1, linestyle=(0, (1, 3)))
        axes.axvline(record["expected"], color=MUTED, linewidth=1.5, linestyle=(0, (4, 3)))
        axes.axvline(record["learning_rate"], color=ACCENT, linewidth=2)
        for rung, steps in enumerate(lengths):
            _line(axes, rates, steps, last=rung == len(lengths) - 1)
        axes.set_xlabel("learning rate", color=MUTED, fontsize=SMALL, labelpad=6)
        axes.set_ylabel("held-out loss (nats a token)", color=MUTED, fontsize=SMALL, labelpad=8)
        return inline(figure, "find-lr", "Held-out loss against learning rate", _in_words(record, lengths))


def _quiet(axes: Any, ticks: Sequence[float]) -> None:
    axes.patch.set_visible(False)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.tick_params(which="both", length=0, labelsize=SMALL, labelcolor=MUTED, pad=6)
    axes.set_axisbelow(True)
    axes.set_xticks(ticks)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.2g}"))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.grid(True, color=GRID, linewidth=1)


def _line(axes: Any, rates: Sequence[dict[str, Any]], steps: int, last: bool) -> None:
    """The rates that were measured after `steps`; the longest trials bold, their points filled."""
    points = [(each["rate"], each["losses"][str(steps)]) for each in rates if str(steps) in each["losses"]]
    if not points:
        return
    places, losses = zip(*points, strict=True)
    colour = INK if last else MUTED
    axes.plot(places, losses, color=colour, linewidth=2 if last else 1.2, marker="o", markersize=8 if last else 6,
              markerfacecolor=INK if last else PAPER, markeredgecolor=colour, zorder=3)  # fmt: skip
    axes.annotate(
        f"{steps} steps", (places[-1], losses[-1]), (10, 0), textcoords="offset points", va="center", color=colour,
        fontsize=SMALL, annotation_clip=False,
    )  # fmt: skip


def _in_words(record: dict[str, Any], lengths: Sequence[int]) -> str:
    parts = []
    for steps in lengths:
        losses = [
            f"{each['losses'][str(steps)]:.3f} at {each['rate']:.2g}"
            for each in record["rates"]
            if str(steps) in each["losses"]
        ]
        parts.append(f"After {steps} steps: {', '.join(losses)}.")
    low, high = record["plateau"]
    return " ".join([*parts, f"Shaded from {low:.2g} to {high:.2g}. Expected {record['expected']:.2g}."])
