"""The curves of alignment, a panel a family of metrics that share a unit, each with what to look for."""

from collections.abc import Sequence
from dataclasses import dataclass

from sartor.reporting.curves import NARROW, WIDE, Curve, Mark, curve_chart, several
from sartor.reporting.drawing import ACCENT, INK
from sartor.train.history import History, Series

HELD_OUT = "dev_"
RATED_ONLY = "divergence"  # a metric of learning from answers that were rated one by one, and of nothing else
SIZE = (340, 240)  # a little higher than a chart without a legend


@dataclass(frozen=True)
class Family:
    """`metrics` (label, name) are drawn into one chart, and so is `dev_name`, the same figure of held-out rows."""

    title: str
    metrics: tuple[tuple[str, str], ...]
    note: str


@dataclass(frozen=True)
class Panel:
    title: str
    svg: str
    note: str


FAMILIES = (
    Family(
        "Pairs ordered right", (("training", "accuracy"),),
        "Share of pairs whose chosen answer gets the higher reward. A coin gets 0.5.",
    ),
    Family(
        "Margin", (("training", "margin"),),
        "Reward of the chosen answer minus that of the rejected one. Training far above held out is learning by heart.",
    ),
    Family(
        "Rewards of both answers", (("chosen", "chosen_reward"), ("rejected", "rejected_reward")),
        "They are to part; their common height means nothing.",
    ),
    Family(
        "Change of both answers", (("chosen", "chosen_change"), ("rejected", "rejected_change")),
        "Log-probability against the reference, nats an answer. The rejected one may fall; the chosen one falling as "
        "well means that probability goes elsewhere.",
    ),
    Family(
        "Distance from the reference", (("KL", "kl"),),
        "Nats an answer. It grows and then settles; growing ever faster is running away.",
    ),
    Family(
        "Entropy", (("entropy", "entropy"),),
        "Nats a token: how undecided the policy is. It falls slowly; near 0 nothing new is tried.",
    ),
    Family(
        "Length of answers", (("tokens", "answer_tokens"),),
        "Tokens. Compare with the reward: growing together may be reward for length.",
    ),
    Family(
        "Answers that finish", (("share", "finished_share"),),
        "Share that comes to its end of turn within the limit.",
    ),
    Family(
        "Spread of the scores", (("deviation", "reward_deviation"),),
        "Standard deviation of the scores of a step's answers. At 0 there is nothing to learn from.",
    ),
    Family(
        "Clipped tokens", (("policy", "clip_share"), ("value", "value_clip_share")),
        "Share of tokens whose update was cut. Far above 0.2 the steps are too large.",
    ),
    Family(
        "Ratio", (("ratio", "ratio"),),
        "Mean of the probability now over that at sampling. 1 in the first update of a batch.",
    ),
    Family(
        "Variance that the value function explains", (("explained", "explained_variance"),),
        "1 is perfect; 0 or less is no better than the mean.",
    ),
    Family("Loss of the policy", (("loss", "policy_loss"),), "Its height says little; jumps say something."),
    Family("Loss of the value function", (("loss", "value_loss"),), "It is to fall and stay low."),
    Family(
        "Sampler against trainer", (("largest", "log_prob_gap"), ("mean", "log_prob_gap_mean")),
        "Nats between both log-probabilities of a token. Only rounding should be seen.",
    ),
    Family("KL coefficient", (("coefficient", "kl_coefficient"),), "The price of a nat of distance."),
)  # fmt: skip


RATED = Family(  # where answers are rated one by one, accuracy is not of pairs
    "Answers on their right side", FAMILIES[0].metrics,
    "Share of rated answers that have become likelier than in the reference by more (desirable) or by less "
    "(undesirable) than answers to other prompts. A policy that moves all alike gets the share of one kind: compare "
    "with the larger one.",
)  # fmt: skip


def panels(history: History) -> list[Panel]:
    """A panel for each family of which something was measured."""
    drawn = []
    families = (RATED, *FAMILIES[1:]) if history.series(RATED_ONLY) else FAMILIES
    for index, family in enumerate(families):
        curves = _curves(history, family)
        if curves:
            svg = curve_chart(curves, f"family-{index}", family.title, SIZE, _mark(history, family))
            drawn.append(Panel(family.title, svg, family.note))
    return drawn


def in_panels() -> set[str]:
    """The metrics that panels show."""
    names = {name for family in FAMILIES for _, name in family.metrics}
    return names | {HELD_OUT + name for name in names}


def reward_charts(history: History) -> list[str]:
    """The reward of sampled and of held-out answers in one picture, for a wide and a narrow page; empty without one."""
    curves = [
        Curve("sampled, each step", history.series("reward"), faint=True),
        Curve("sampled, smoothed", history.smoothed("reward"), INK),
        Curve("held out", _held_out(history, "reward"), ACCENT, dots=True),
    ]
    if not any(curve.points for curve in curves):
        return []
    mark = _mark_at(history, history.series("dev_reward"))
    title = "Mean reward of sampled and of held-out answers over the steps"
    return [
        curve_chart(curves, f"reward-{word}", title, size, mark) for word, size in (("wide", WIDE), ("narrow", NARROW))
    ]


def _curves(history: History, family: Family) -> list[Curve]:
    """A single metric as it is and smoothed; several of them smoothed, so that they can be told apart. What was
    measured of held-out rows as dots."""
    measured = [(label, name) for label, name in family.metrics if history.series(name)]
    if len(measured) == 1:
        label, name = measured[0]
        alone = len(family.metrics) == 1 and not history.series(HELD_OUT + name)
        curves = [
            Curve("each step", history.series(name), faint=True),
            Curve("smoothed" if alone else label, history.smoothed(name), INK),
            Curve("held out", _held_out(history, name), ACCENT, dots=True),
        ]
        return [curve for curve in curves if curve.points]
    drawn = [(label, history.smoothed(name), False) for label, name in measured]
    drawn += [(f"{label}, held out", _held_out(history, name), True) for label, name in measured]
    drawn = [each for each in drawn if each[1]]
    return [
        Curve(label, points, colour, dash, dots=dots)
        for (label, points, dots), (colour, dash) in zip(drawn, several(len(drawn)), strict=True)
    ]


def _held_out(history: History, name: str) -> Series:
    """Every evaluation, the untrained model's before them at step 0."""
    found, before = history.series(HELD_OUT + name), history.before.get(HELD_OUT + name)
    return found if before is None or not found else [(0, before), *found]


def _mark(history: History, family: Family) -> Mark | None:
    """The best step, on a chart with a single held-out curve."""
    return _mark_at(history, history.series(HELD_OUT + family.metrics[0][1])) if len(family.metrics) == 1 else None


def _mark_at(history: History, points: Sequence[tuple[int, float]]) -> Mark | None:
    value = dict(points).get(history.best_step or 0)
    return (
        None
        if value is None or not history.best_step
        else Mark(history.best_step, value, f"best: step {history.best_step:,}")
    )
