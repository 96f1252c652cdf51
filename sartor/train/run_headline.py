"""The first sentences of a run's report: what was trained on what, what came out, how far it went."""

from collections.abc import Mapping
from typing import Any

from sartor.reporting.figures import visible
from sartor.train.history import History

ADAPTERS = {"lora": "A LoRA adapter for", "qlora": "A LoRA adapter for the 4-bit", "none": "All weights of"}
REWARD_ADAPTERS = {"qlora": "A reward model on the 4-bit"}
METHODS = {"dpo": "by DPO ", "ppo": "by PPO ", "grpo": "by GRPO "}
LOSSES = {  # of `sartor dpo`
    "ipo": "by IPO ", "hinge": "by SLiC ", "simpo": "by SimPO ", "orpo": "by ORPO ", "kto": "by KTO ",
}  # fmt: skip
SOURCES = ("data", "prefs", "prompts", "task")
ROWS = {"reward": ("pairs", "rows"), "dpo": ("pairs", "rows"), "ppo": ("prompts", "rows"), "grpo": ("prompts", "rows")}
RATED_ROWS = ("rated_answers", "rows")  # of KTO
HELD_OUT = {
    "dev_loss": "held-out loss",
    "dev_accuracy": "held-out accuracy",
    "dev_margin": "held-out margin",
    "dev_reward": "mean reward of held-out prompts",
}


def headline(history: History, settings: Mapping[str, Any], certificate: Mapping[str, Any]) -> str:
    """What was trained on what, and what became of its held-out figure, in one sentence."""
    adapters, fallback = (
        (REWARD_ADAPTERS, "A reward model on") if history.kind == "reward" else (ADAPTERS, "A model from")
    )
    if history.kind == "pretrain":
        return _pretrained(history, settings)
    what = f"{adapters.get(str(settings.get('adapter')), fallback)} {last_name(settings.get('base', 'a base'))}"
    method = (
        LOSSES.get(str(settings.get("loss")), METHODS["dpo"])
        if history.kind == "dpo"
        else METHODS.get(history.kind, "")
    )
    learnt_from = " of ".join(filter(None, (_amount(history, settings, certificate), _source(settings))))
    start = f"{what}, trained {method}on {learnt_from}" if learnt_from else f"{what}, trained {method}".rstrip()
    if history.samples and settings.get("reward"):
        start += f", rewarded by {' and '.join(last_name(each) for each in settings['reward'])}"
    outcome = outcome_words(history)
    return f"{start}: {outcome}." if outcome else f"{start}."


def _pretrained(history: History, settings: Mapping[str, Any]) -> str:
    base = settings.get("base")
    size = settings.get("preset") or "10m"
    what = f"A new model of size {size}" if base is None else f"{last_name(base)}, trained further"
    texts = ", ".join(last_name(each) for each in settings.get("data") or ["texts"])
    before, bits = history.before.get("dev_bits_per_byte"), history.kept("dev_bits_per_byte")
    outcome = "" if bits is None else f": held-out text {_went(before, bits)} bits a byte"
    return f"{what} on {texts}{outcome}."


def outcome_words(history: History) -> str:
    """What became of the figure that the run is judged by; without one, of the loss or of the sampled rewards. Empty
    where none was measured."""
    for name in dict.fromkeys((history.outcome_name, "dev_loss")):
        after, before = history.kept(name), history.before.get(name, _loss_before(history, name))
        if after is not None:
            return f"the {HELD_OUT[name]} {_went(before, after)}"
    sampled = history.smoothed("reward") if history.samples else []
    return f"the mean reward of sampled answers {_went(sampled[0][1], sampled[-1][1])}" if len(sampled) > 1 else ""


def summary(history: History) -> str:
    """How long it went and which step was kept."""
    if not history.steps:
        return "No step has been taken yet."
    planned = history.planned_steps
    steps = (
        f"{history.steps:,} steps" if planned in (None, history.steps) else f"{history.steps:,} of {planned:,} steps"
    )
    kept = "" if history.best_step is None else f"; the best was step {history.best_step:,}, and its weights were kept"
    if history.stopped_early:
        return f"{steps}{kept}. It stopped early, because the held-out figures had not improved for a while."
    if not history.finished:
        best = "" if history.best_step is None else f"; the best so far is step {history.best_step:,}"
        return f"{steps} so far{best}. The run has not ended: the same command goes on with it."
    return f"{steps}{kept}."


def last_name(value: Any) -> str:
    """The last part of a path or Hub id: what people call it."""
    return visible(str(value).rstrip("/").rpartition("/")[2] or str(value))


def _amount(history: History, settings: Mapping[str, Any], certificate: Mapping[str, Any]) -> str:
    """How many rows, pairs, rated answers or prompts were learnt from; empty where that is not known."""
    rated = history.kind == "dpo" and settings.get("loss") == "kto"
    names = RATED_ROWS if rated else ROWS.get(history.kind, ("rows",))
    found = next((certificate[name] for name in names if isinstance(certificate.get(name), int)), None)
    return "" if found is None else f"{found:,} {names[0].replace('_', ' ')}"


def _source(settings: Mapping[str, Any]) -> str:
    return next((last_name(settings[key]) for key in SOURCES if settings.get(key)), "")


def _loss_before(history: History, name: str) -> float | None:
    return history.dev_loss_before if name == "dev_loss" else None


def _went(before: float | None, after: float) -> str:
    if before is None:
        return f"came to {after:.3f}"
    if f"{before:.3f}" == f"{after:.3f}":
        return f"stayed at {after:.3f}"
    return f"{'fell' if after < before else 'rose'} from {before:.3f} to {after:.3f}"
