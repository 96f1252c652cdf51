"""What the curves of a run say, in plain words: overfitted, still learning, unstable, or nothing of the kind."""

import math
from dataclasses import dataclass
from typing import Literal

from sartor.train.history import History, Series

LEAST_EVALUATIONS = 3
NOISE_SHARE, NOISE_NATS = 0.02, 0.01  # assumed: what a held-out loss of some hundred rows moves without a reason
STILL_LEARNING_SHARE = 0.05  # of the whole fall, in the last quarter of the run: assumed
WIDE_GAP_SHARE = 0.5  # of the held-out loss: assumed
REWARD_NOISE_SHARE = 0.1  # of the scores' deviation: the standard error over a hundred held-out prompts (assumed)
Gaps = tuple[float | None, float | None, float]  # at the lowest, at the end; by how much it rose in between
Verdict = Literal["overfitted", "unstable", "nothing learnt", "still learning", "levelled off", "too short to tell"]


@dataclass(frozen=True)
class Diagnosis:
    """`seen` says what the curves show, `meaning` what that means for the model that was kept, `advice` what to do
    (empty: nothing). Gaps are held-out loss minus training loss; None where one of them is not known."""

    verdict: Verdict
    seen: str
    meaning: str
    advice: str
    gap_at_best: float | None = None
    gap_at_end: float | None = None
    rise: float | None = None

    def sentences(self) -> list[str]:
        return [text for text in (self.seen, gap_sentence(self), self.meaning, self.advice) if text]


def diagnose(history: History) -> Diagnosis:
    """Judge by the held-out loss of every evaluation and by the smoothed training loss beside it; a run that learns
    from its own samples by the held-out reward (`_by_reward`).

    A rise within noise (2 % of the loss, at least 0.01) counts as none; a fall counts as learning still while the last
    quarter of the run brings a twentieth of all that was gained.
    """
    if history.samples:
        return _by_reward(history)
    dev = history.dev_loss
    if len(dev) < LEAST_EVALUATIONS:
        return _too_short(dev)
    lowest, low_step = min((value, step) for step, value in dev)
    last_step, last = dev[-1]
    noise = max(NOISE_NATS, NOISE_SHARE * abs(lowest))
    train = dict(history.train_loss)
    at_low, at_end = train.get(low_step), train.get(last_step)
    gaps = (
        None if at_low is None else lowest - at_low,
        None if at_end is None else last - at_end,
        last - lowest,
    )
    before = history.dev_loss_before
    rose = last - lowest > noise
    if rose and at_low is not None and at_end is not None and at_end > at_low + noise:
        return _unstable(history, low_step, gaps)
    if before is not None and lowest > before - noise:
        return _nothing_learnt(before, lowest, gaps)
    if rose:
        return _overfitted(history, low_step, at_low, at_end, gaps)
    recent, whole = _fall_of_last_quarter(dev), (dev[0][1] if before is None else before) - lowest
    if low_step == last_step and recent > max(NOISE_NATS, STILL_LEARNING_SHARE * whole):
        return _still_learning(recent, history, gaps)
    return _levelled_off(lowest, low_step, last, gaps)


def gap_sentence(diagnosis: Diagnosis) -> str:
    """How much better the model knows its training rows than new ones; empty where that was not measured."""
    best, end = diagnosis.gap_at_best, diagnosis.gap_at_end
    if best is None or end is None:
        return ""
    if max(best, end) <= 0:
        return "New rows are predicted no worse than training rows: the held-out loss is not above the training loss."
    places = f"{best:+.3f} where the held-out loss was lowest" + (
        "" if diagnosis.rise == 0 else f", {end:+.3f} at the end"
    )
    return f"Held-out loss minus training loss (the generalisation gap) is {places}."


def _too_short(dev: Series) -> Diagnosis:
    if not dev:
        seen = "No held-out loss was measured, so overfitting cannot be seen."
    else:
        times = "once" if len(dev) == 1 else "twice"
        seen = f"The held-out loss was measured only {times}; a rise or a fall shows from {LEAST_EVALUATIONS} times on."
    return Diagnosis("too short to tell", seen, "", "More steps, or more evaluations in them, would tell.")


def _overfitted(
    history: History, low_step: int, at_low: float | None, at_end: float | None,
    gaps: Gaps,
) -> Diagnosis:  # fmt: skip
    (last_step, last), rise = history.dev_loss[-1], gaps[2]
    lowest = last - rise
    meanwhile = ""
    if at_low is not None and at_end is not None:
        meanwhile = f", while the training loss went from {at_low:.3f} to {at_end:.3f}"
    seen = (
        f"The held-out loss rose from {lowest:.3f} at step {low_step:,} to {last:.3f} at step {last_step:,} "
        f"({_percent(rise, lowest)}){meanwhile}."
    )
    learnt = "From there on the model learnt its training rows by heart rather than what they have in common."
    return Diagnosis(
        "overfitted",
        seen,
        f"{learnt} {_kept(history, low_step)}",
        "To gain from longer training: more rows, fewer epochs, or a smaller learning rate.",
        *gaps,
    )


def _kept(history: History, best_step: int, turn: str = "rise", best: str = "the held-out loss was lowest") -> str:
    if history.best_step == best_step:
        kept = f"The weights of step {best_step:,} were kept, from before the {turn}"
        return f"{kept}, so the model is none the worse for it."
    if history.best_step is None:
        return "Which step's weights were kept is not recorded."
    return f"The weights of step {history.best_step:,} were kept, which is not where {best}."


def _unstable(history: History, low_step: int, gaps: Gaps) -> Diagnosis:
    last_step, last = history.dev_loss[-1]
    return Diagnosis(
        "unstable",
        f"After step {low_step:,} the held-out loss rose by {gaps[2]:.3f} to {last:.3f}; the training loss rose, too.",
        f"That is not overfitting: training came apart. {_kept(history, low_step)}",
        "Try a smaller learning rate, a longer warm-up, or a lower bound of the gradient's norm.",
        *gaps,
    )


def _nothing_learnt(before: float, lowest: float, gaps: Gaps) -> Diagnosis:
    return Diagnosis(
        "nothing learnt",
        f"The held-out loss was {before:.3f} before training and {lowest:.3f} at best: no better beyond noise.",
        "Nothing was learnt that helps with new rows.",
        "Look at the rows below and at whether they can be predicted at all; then try a larger learning rate, "
        "a higher rank, or more rows.",
        *gaps,
    )


def _still_learning(recent: float, history: History, gaps: Gaps) -> Diagnosis:
    halted = ""
    if history.planned_steps is not None and history.steps < history.planned_steps:
        halted = f" It stopped at step {history.steps:,} of {history.planned_steps:,}."
    return Diagnosis(
        "still learning",
        f"The held-out loss was still falling at the end, by {recent:.3f} in the last quarter of the run.{halted}",
        "The model has not learnt all that these rows hold (it is underfitted).",
        "More epochs would probably help; so might a larger learning rate.",
        *gaps,
    )


def _levelled_off(lowest: float, low_step: int, last: float, gaps: Gaps) -> Diagnosis:
    seen = (
        f"The held-out loss was lowest at step {low_step:,} ({lowest:.3f}) and ended at {last:.3f}: it did not rise "
        "beyond noise, so no overfitting was seen."
    )
    if gaps[1] is not None and gaps[1] > WIDE_GAP_SHARE * last:
        return Diagnosis(
            "levelled off",
            seen,
            "The model knows its training rows much better than new ones, though new ones have not got worse.",
            "More rows would narrow that gap; more steps on the same ones will not.",
            *gaps,
        )
    return Diagnosis("levelled off", seen, "More of the same training would probably change little.", "", *gaps)


def _by_reward(history: History) -> Diagnosis:
    """Judge a run that learns from its own samples by the held-out reward of every evaluation.

    What an evaluation of a hundred prompts moves without a reason counts as nothing, twice that for a fall, since the
    highest of several evaluations is in part luck.
    """
    dev = history.series("dev_reward")
    if len(dev) < LEAST_EVALUATIONS:
        return _too_few_rewards(history, dev)
    highest, minus_step = max((value, -step) for step, value in dev)
    (last_step, last), high_step = dev[-1], -minus_step
    before = history.before.get("dev_reward")
    first = dev[0][1] if before is None else before
    noise = _reward_noise(history, highest)
    if highest - last > 2 * noise:
        return Diagnosis(
            "unstable",
            f"The held-out reward was highest at step {high_step:,} ({highest:.3f}) and fell to {last:.3f} by step "
            f"{last_step:,}.",
            f"Training went past its best. {_kept(history, high_step, 'fall', 'the held-out reward was highest')}",
            "Try a smaller learning rate, a larger KL coefficient, or fewer steps.",
        )
    if highest - first <= noise:
        return Diagnosis(
            "nothing learnt",
            f"The held-out reward was {first:.3f} at first and {highest:.3f} at best: no better beyond noise.",
            "Nothing was learnt that earns more on new prompts.",
            "Look at whether answers to one prompt score differently at all; then try a larger learning rate, a "
            "smaller KL coefficient, or more answers a prompt.",
        )
    recent = -_fall_of_last_quarter(dev)
    if high_step == last_step and recent > max(noise, STILL_LEARNING_SHARE * (highest - first)):
        return Diagnosis(
            "still learning",
            f"The held-out reward was still rising at the end, by {recent:.3f} in the last quarter of the run.",
            "The policy has not learnt all that this reward can teach it.",
            "More steps would probably help, if the answers are still good to read and no alarm is raised.",
        )
    return Diagnosis(
        "levelled off",
        f"The held-out reward rose from {first:.3f} to {highest:.3f} at step {high_step:,} and ended at {last:.3f}.",
        "More of the same training would probably change little.",
        "",
    )


def _too_few_rewards(history: History, dev: Series) -> Diagnosis:
    times = ("never", "only once", "only twice")[len(dev)]
    seen = f"The held-out reward was measured {times}; what becomes of it shows from {LEAST_EVALUATIONS} times on."
    sampled = history.smoothed("reward")
    if sampled:
        seen += f" The mean reward of the sampled answers went from {sampled[0][1]:.3f} to {sampled[-1][1]:.3f}."
    return Diagnosis("too short to tell", seen, "", "More steps, or more evaluations in them, would tell.")


def _reward_noise(history: History, highest: float) -> float:
    """What an evaluation moves without a reason; NOISE_SHARE of the reward where the scores' spread is not known."""
    spread = [value for _, value in history.series("reward_deviation")]
    return REWARD_NOISE_SHARE * sum(spread) / len(spread) if spread else NOISE_SHARE * abs(highest)


def _fall_of_last_quarter(dev: Series) -> float:
    """By how much the held-out loss fell since the last evaluation that lies three quarters of the way or earlier."""
    end_step, end = dev[-1]
    earlier = [value for step, value in dev[:-1] if step <= 0.75 * end_step] or [dev[0][1]]
    return earlier[-1] - end


def _percent(part: float, whole: float) -> str:
    return f"{part:+.3f}, {100 * part / whole:+.0f} %" if whole > 0 and math.isfinite(whole) else f"{part:+.3f}"
