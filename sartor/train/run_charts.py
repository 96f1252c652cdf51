"""Which curves a run is shown by: the losses together, everything else by itself."""

from sartor.reporting.curves import NARROW, WIDE, Curve, Mark, curve_chart, several
from sartor.reporting.drawing import ACCENT, INK
from sartor.reporting.figures import visible
from sartor.train.alignment_charts import in_panels
from sartor.train.history import History, Series

Titled = tuple[str, str]  # (title, svg)
COUNTED = ("step", "seconds", "trained_tokens", "row_tokens")  # they only ever grow, or hardly change: no curve tells
NAMED = {
    "dev_score": "Score of the task's dev questions",
    "dev_bits_per_byte": "Bits a byte of held-out text",
    "learning_rate": "Learning rate",
    "gradient_norm": "Norm of the gradient, before it is bounded",
    "tokens_per_second": "Tokens a second",
}


def loss_charts(history: History) -> list[str]:
    """Training and held-out loss in one picture, for a wide and for a narrow page; empty without any loss."""
    curves = [
        Curve("training, each step", history.series("loss"), faint=True),
        Curve("training, smoothed", history.train_loss, INK),
        Curve("held out", _with_start(history), ACCENT, dots=True),
    ]
    if not any(curve.points for curve in curves):
        return []
    best = history.best_value
    mark = None
    if history.best_step is not None and best is not None:
        mark = Mark(history.best_step, best, f"best: step {history.best_step:,}")
    title = "Training and held-out loss over the steps"
    return [
        curve_chart(curves, f"loss-{word}", title, size, mark) for word, size in (("wide", WIDE), ("narrow", NARROW))
    ]


def small_charts(history: History) -> tuple[list[Titled], list[Titled]]:
    """One small chart a metric: those every run has, then whatever else this one measured and no panel shows."""
    shown = in_panels() | {"reward", "dev_reward"} if history.aligns else set()
    shown |= set() if history.samples else {"loss", "dev_loss"}
    others = [name for name in history.names() if name not in (*COUNTED, *NAMED, *shown)]
    known = [(title, history.series(name)) for name, title in NAMED.items()]
    rest = [(visible(name), history.series(name)) for name in others]
    return _drawn("chart", known, history.best_step), _drawn("other", rest, history.best_step)


def overlaid_charts(histories: dict[str, History]) -> list[tuple[str, list[str]]]:
    """Runs on top of each other, by name: (title, [wide, narrow]) for each metric that at least one of them has."""
    looks = several(len(histories))
    wanted: list[tuple[str, dict[str, Series]]] = [
        ("Held-out loss", {name: _with_start(history) for name, history in histories.items()}),
        ("Training loss, smoothed", {name: history.train_loss for name, history in histories.items()}),
    ]
    measured = dict.fromkeys(metric for history in histories.values() for metric in history.names())
    for metric in [*NAMED, *(each for each in measured if each not in (*COUNTED, *NAMED, "loss", "dev_loss"))]:
        title = NAMED.get(metric, visible(metric))
        wanted.append((title, {name: history.series(metric) for name, history in histories.items()}))
    charts = []
    for index, (title, series) in enumerate(wanted):
        curves = [
            Curve(name, points, colour, dash, dots=True)
            for (name, points), (colour, dash) in zip(series.items(), looks, strict=True)
        ]
        if any(curve.points for curve in curves):
            drawn = [
                curve_chart(curves, f"c{index}-{word}", title, size) for word, size in (("w", WIDE), ("n", NARROW))
            ]
            charts.append((title, drawn))
    return charts


def _with_start(history: History) -> Series:
    """The held-out loss of every evaluation, the untrained model's before them at step 0."""
    before = [] if history.dev_loss_before is None else [(0, history.dev_loss_before)]
    return [*before, *history.dev_loss]


def _drawn(prefix: str, titled: list[tuple[str, Series]], best_step: int | None) -> list[Titled]:
    charts = []
    for index, (title, points) in enumerate(titled):
        if points:
            at_best = dict(points).get(best_step or 0)
            mark = None if at_best is None else Mark(best_step or 0, at_best, f"best: step {best_step:,}")
            curve = Curve(title, points, INK, dots=True)
            charts.append((title, curve_chart([curve], f"{prefix}-{index}", title, mark=mark)))
    return charts
