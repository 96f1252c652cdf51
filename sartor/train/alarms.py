"""What goes wrong in alignment while its loss looks well, found in the records of metrics.jsonl and said in words.

Every check reads only the records up to a step, so what it says of a running run is what it says of the finished one.
Thresholds marked "assumed" are set so that made-up healthy runs with noise stay quiet (tests/train/test_alarms.py).
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sartor.reporting.figures import number

WINDOW = 10  # steps that are averaged, here and at the beginning of the run, before anything is said: assumed
SURE = 3.0  # standard errors that a difference of means must have to count as one: assumed

BLOCKS = 10  # that a run is cut into, to correlate reward and length: assumed
LENGTH_STEPS = 30  # before that correlation is looked at: assumed
LENGTH_CORRELATION = 0.8  # assumed; Singhal et al. (2310.03716) see most of the reward's gain explained by length
LENGTH_GROWTH = 1.5  # times as long as at the beginning: assumed
ENTROPY_SHARE = 0.2  # of the entropy at the beginning: assumed; 2505.22617: what is left then can gain little more
KL_PER_TOKEN = 0.5  # nats a token on average: assumed; Gao et al. (2210.10760) see over-optimised rewards below it
KL_GROWTH = 1.5  # times in WINDOW steps, and faster than before: assumed
KL_TO_WATCH = 0.1  # nats a token from which growth matters: assumed
VALUE_STEPS, VALUE_WINDOW = 50, 20  # a value function has this long to explain anything: assumed
CHANGE_NATS = -3.0  # an answer is 20 times less likely than in the reference: assumed; 2402.13228, 2410.08847
FINISHED_FALL = 0.3  # of all answers: assumed
GAP_NATS = 1.0  # of one token: the sampler saw another probability by a factor of e: assumed
GAP_MEAN_NATS = 0.08  # of the mean token: assumed; measured in bfloat16 with the starter, all well: 0.03 to 0.04
GAP_STEPS = 3  # in a row: assumed
ACCURACY_STEPS, CHANCE_ACCURACY = 60, 0.55  # pairs ordered right after so many steps: assumed
RATIO_TOLERANCE = 0.01  # 2403.17031: the ratio must be 1 in the first update of a batch; rounding moves its mean less
SAME_SCORES = 1e-8  # of the score's deviation: all answers of the step got the same


@dataclass(frozen=True)
class Alarm:
    """`step` is where it was first seen; `seen` says what was measured, `cause` what is behind it as a rule, `advice`
    what to do about it."""

    name: str
    step: int
    seen: str
    cause: str
    advice: str

    def sentences(self) -> list[str]:
        return [self.seen, self.cause, self.advice]


class Curves:
    """The steps at which all of some metrics were measured, and their values: `curves["kl"]`."""

    def __init__(self, steps: list[int], columns: dict[str, list[float]]):
        self.steps, self.columns = steps, columns

    def __getitem__(self, name: str) -> list[float]:
        return self.columns[name]

    def growing(self) -> Iterator["Curves"]:
        """The curves as they were after each step: the same ones, which grow, so that long runs are not copied again
        and again."""
        grown = Curves([], {name: [] for name in self.columns})
        for place, step in enumerate(self.steps):
            grown.steps.append(step)
            for name, values in self.columns.items():
                grown.columns[name].append(values[place])
            yield grown


@dataclass(frozen=True)
class Check:
    """`judge` is shown `metrics` as far as they go; it says what it sees, or None. `least` steps must be there; where
    `unless` was measured as well, the metrics mean something else and are not looked at."""

    name: str
    metrics: tuple[str, ...]
    least: int
    judge: Callable[[Curves], str | None]
    cause: str
    advice: str
    unless: str = ""


def alarms(records: Sequence[Mapping[str, Any]]) -> list[Alarm]:
    """Every alarm of a run, each once, at the step where it was first seen; in the order of these steps."""
    found: dict[str, Alarm] = {}
    for check in CHECKS:
        for curves in _curves(records, check).growing():
            alarm = _judged(check, curves) if len(curves.steps) >= check.least else None
            if alarm is not None:
                earlier = found.get(check.name)
                found[check.name] = alarm if earlier is None or alarm.step < earlier.step else earlier
                break
    return sorted(found.values(), key=lambda alarm: alarm.step)


def new_alarms(records: Sequence[Mapping[str, Any]], told: Collection[str]) -> list[Alarm]:
    """The alarms that the last record sets off, without those whose names are in `told`: for a loop that looks after
    each step and says each alarm once."""
    found: dict[str, Alarm] = {}
    for check in CHECKS:
        if check.name in told or not records or not _measured(records[-1], check):
            continue
        curves = _curves(records, check)
        alarm = _judged(check, curves) if len(curves.steps) >= check.least else None
        if alarm is not None:
            found.setdefault(check.name, alarm)
    return list(found.values())


def watched(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of the alarms that could have been set off, because what they watch was measured long enough."""
    names = (check.name for check in CHECKS if len(_curves(records, check).steps) >= check.least)
    return list(dict.fromkeys(names))


def _judged(check: Check, curves: Curves) -> Alarm | None:
    seen = check.judge(curves)
    if seen is None:
        return None
    return Alarm(check.name, curves.steps[-1], f"At step {curves.steps[-1]:,} {seen}", check.cause, check.advice)


def _measured(record: Mapping[str, Any], check: Check) -> bool:
    return check.unless not in record and all(number(record.get(name)) is not None for name in check.metrics)


def _curves(records: Sequence[Mapping[str, Any]], check: Check) -> Curves:
    whole = [record for record in records if _measured(record, check)]
    columns = {name: [float(record[name]) for record in whole] for name in check.metrics}
    return Curves([int(record["step"]) for record in whole], columns)


# --- what is judged -------------------------------------------------------------------------------------------------


def _longer_for_reward(curves: Curves) -> str | None:
    reward, length = curves["reward"], curves["answer_tokens"]
    before, now = _start_and_end(length)
    if now < LENGTH_GROWTH * before or not _rose(length) or not _rose(reward):
        return None
    correlation = _correlation(_blocks(reward), _blocks(length))
    if correlation < LENGTH_CORRELATION:
        return None
    return (
        f"the mean reward had risen from {_mean(reward[:WINDOW]):.3g} to {_mean(reward[-WINDOW:]):.3g} while answers "
        f"grew from {before:.0f} to {now:.0f} tokens; over the run the two rise together (correlation "
        f"{correlation:.2f})."
    )


def _entropy_collapsed(curves: Curves) -> str | None:
    before, now = _start_and_end(curves["entropy"])
    if now >= ENTROPY_SHARE * before:
        return None
    left = 100 * now / before
    return f"the entropy had fallen from {before:.3g} to {now:.3g} nats a token, {left:.0f} % of what it was."


def _kl_ran_away(curves: Curves) -> str | None:
    length = _mean(curves["answer_tokens"][-WINDOW:])
    kl = curves["kl"]
    now = _mean(kl[-WINDOW:])
    a_token = now / max(length, 1.0)
    if a_token > KL_PER_TOKEN:
        return (
            f"answers were {now:.3g} nats away from the reference model on average, {a_token:.2g} a token; more than "
            f"{KL_PER_TOKEN} a token is another model."
        )
    if len(kl) < 3 * WINDOW or a_token < KL_TO_WATCH:
        return None
    earlier, middle = _mean(kl[-3 * WINDOW : -2 * WINDOW]), _mean(kl[-2 * WINDOW : -WINDOW])
    faster = now - middle > 2 * max(middle - earlier, 0.0)
    if not faster or now < KL_GROWTH * middle or not _differ(kl[-2 * WINDOW : -WINDOW], kl[-WINDOW:]):
        return None
    return (
        f"the distance from the reference model was growing ever faster: {earlier:.3g}, {middle:.3g}, {now:.3g} nats "
        f"an answer on average in three stretches of {WINDOW} steps."
    )


def _value_explains_nothing(curves: Curves) -> str | None:
    explained = _mean(curves["explained_variance"][-VALUE_WINDOW:])
    if explained > 0:
        return None
    return (
        f"the value function explained {explained:.2f} of the variance of the returns, on average over "
        f"{VALUE_WINDOW} steps: no more than their mean would."
    )


def _both_fall(curves: Curves) -> str | None:
    chosen, rejected = curves["chosen_change"], curves["rejected_change"]
    ends = _mean(chosen[-WINDOW:]), _mean(rejected[-WINDOW:])
    if max(ends) > CHANGE_NATS or not (_fell_since_halfway(chosen) and _fell_since_halfway(rejected)):
        return None
    return (
        f"chosen answers had lost {-ends[0]:.1f} nats and rejected ones {-ends[1]:.1f} against the reference model, "
        "and both were falling still."
    )


def _finishing_less(curves: Curves) -> str | None:
    before, now = _start_and_end(curves["finished_share"])
    if before - now < FINISHED_FALL:
        return None
    return f"only {100 * now:.0f} % of the answers came to their end, {100 * before:.0f} % at the beginning."


def _one_token_apart(curves: Curves) -> str | None:
    largest = curves["log_prob_gap"][-GAP_STEPS:]
    if min(largest) <= GAP_NATS:
        return None
    return (
        f"sampler and trainer had disagreed on some token's log-probability by {min(largest):.2g} nats or more in "
        f"{GAP_STEPS} steps in a row."
    )


def _mean_token_apart(curves: Curves) -> str | None:
    mean = curves["log_prob_gap_mean"][-GAP_STEPS:]
    if min(mean) <= GAP_MEAN_NATS:
        return None
    return (
        f"sampler and trainer had disagreed on a token's log-probability by {min(mean):.2g} nats or more on average in "
        f"{GAP_STEPS} steps in a row."
    )


def _at_chance(curves: Curves) -> str | None:
    late = _late_at_chance(curves["accuracy"])
    return late and (
        f"{late} of the pairs were ordered right on average since half of the steps so far; a coin gets 50 %."
    )


def _rated_at_chance(curves: Curves) -> str | None:
    late = _late_at_chance(curves["accuracy"])
    return late and (
        f"{late} of the answers were on their right side on average since half of the steps so far: likelier than in "
        "the reference by more than answers to other prompts if desirable, by less if not. Where both kinds are "
        "equally many, a policy that moves all alike gets 50 %."
    )


def _late_at_chance(accuracy: Sequence[float]) -> str | None:
    """The mean since half of the steps, if that is no better than chance; looked at every WINDOW steps."""
    if len(accuracy) % WINDOW:
        return None
    settled, late = _mean(accuracy[WINDOW:]), _mean(accuracy[-len(accuracy) // 2 :])
    return None if max(settled, late) > CHANCE_ACCURACY else f"{100 * late:.0f} %"


def _ratio_is_off(curves: Curves) -> str | None:
    batch = ("reward", "reward_deviation", "answer_tokens", "finished_share")
    first = len(curves.steps) == 1 or any(curves[name][-1] != curves[name][-2] for name in batch)
    ratio = curves["ratio"][-1]
    if not first or abs(ratio - 1) <= RATIO_TOLERANCE:
        return None
    return (
        f"the policy's probabilities were {ratio:.3f} times those that the answers were sampled with, in the first "
        "update of a batch, where nothing has been learnt from it yet and the ratio must be 1."
    )


def _all_score_the_same(curves: Curves) -> str | None:
    if max(curves["reward_deviation"][-WINDOW:]) > SAME_SCORES:
        return None
    score = curves["reward"][-1]
    return f"all answers of a step had got the same score for {WINDOW} steps, lately {score:.3g}."


CHECKS = (
    Check(
        "reward follows length", ("reward", "answer_tokens"), LENGTH_STEPS, _longer_for_reward,
        "The policy may be paid for length rather than for being better (reward hacking).",
        "Read some traces, and compare the reward at equal lengths; then train the reward model on pairs whose longer "
        "answer is not mostly the better one, or let long answers cost something.",
    ),
    Check(
        "entropy collapse", ("entropy",), 2 * WINDOW, _entropy_collapsed,
        "The policy says nearly the same whatever is sampled, so it finds nothing better any more.",
        "Lower the learning rate, raise the KL coefficient, or sample more answers a prompt at temperature 1; go back "
        "to a checkpoint from before the fall.",
    ),
    Check(
        "KL runs away", ("kl", "answer_tokens"), WINDOW, _kl_ran_away,
        "The policy leaves the model that it began as; rewards out there are often not worth what they say.",
        "Raise the KL coefficient or lower the learning rate, and read what the answers have become.",
    ),
    Check(
        "value learns nothing", ("explained_variance",), VALUE_STEPS, _value_explains_nothing,
        "Advantages are then as noisy as without a value function.",
        "Begin the value function from the reward model, warm it up before the policy moves, raise its learning rate; "
        "or use GRPO, which needs none.",
    ),
    Check(
        "chosen and rejected both fall", ("chosen_change", "rejected_change"), 2 * WINDOW, _both_fall,
        "The margin grows by making both answers unlikely, so probability goes to answers that nobody has rated.",
        "Raise beta, lower the learning rate, stop earlier, or add the likelihood of the chosen answer to the loss.",
    ),
    Check(
        "answers no longer finish", ("finished_share",), 2 * WINDOW, _finishing_less,
        "Answers run into the length limit, so what is scored is cut off.",
        "Give unfinished answers a fixed penalty, see that the end of turn is scored, or allow longer answers.",
    ),
    Check(
        "sampler and trainer disagree", ("log_prob_gap_mean",), GAP_STEPS, _mean_token_apart,
        "Answers come from another distribution than the one that is updated: number format, template or weights "
        "differ between the two.",
        "Run `sartor check` on this model; sample in the number format that is trained in.",
    ),
    Check(
        "sampler and trainer disagree", ("log_prob_gap",), GAP_STEPS, _one_token_apart,
        "Answers come from another distribution than the one that is updated: number format, template or weights "
        "differ between the two.",
        "Run `sartor check` on this model; sample in the number format that is trained in.",
    ),
    Check(
        "accuracy at chance", ("accuracy",), ACCURACY_STEPS, _at_chance,
        "Nothing is learnt that tells chosen from rejected answers.",
        "See that chosen and rejected are not mixed up and differ in what matters; then try a larger learning rate or "
        "a larger base model.",
        unless="divergence",
    ),
    Check(
        "accuracy at chance", ("accuracy", "divergence"), ACCURACY_STEPS, _rated_at_chance,
        "Nothing is learnt that tells desirable from undesirable answers.",
        "See that the labels are not mixed up, and how many answers of each kind there are: where one kind is rare, "
        "raise its weight; then try a larger learning rate or a larger base model.",
    ),
    Check(
        "ratio is not 1 at first", ("ratio", "reward", "reward_deviation", "answer_tokens", "finished_share"), 1,
        _ratio_is_off,
        "Log-probabilities of the sampled answers are computed differently from those of the update: dropout, "
        "temperature, or a sampler that disagrees with the trainer.",
        "Do not trust this run. See that the temperature is the same in both, that dropout is off, and run "
        "`sartor check`.",
    ),
    Check(
        "all answers score the same", ("reward", "reward_deviation"), WINDOW, _all_score_the_same,
        "Without differences between answers there is nothing to learn from.",
        "Choose prompts that the model answers right now and then, a reward with more than two levels, or a larger "
        "base model; see that the scorer reads the answers as it should.",
    ),
)  # fmt: skip


# --- figures --------------------------------------------------------------------------------------------------------


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _start_and_end(values: Sequence[float]) -> tuple[float, float]:
    """Means over the first and the last WINDOW steps."""
    return _mean(values[:WINDOW]), _mean(values[-WINDOW:])


def _differ(before: Sequence[float], after: Sequence[float]) -> bool:
    """Whether the means differ by more than chance, as far as the spread of neighbouring steps tells."""
    error = math.sqrt(_variance(before) / len(before) + _variance(after) / len(after))
    return abs(_mean(after) - _mean(before)) > SURE * error


def _rose(values: Sequence[float]) -> bool:
    start, end = values[:WINDOW], values[-WINDOW:]
    return _mean(end) > _mean(start) and _differ(start, end)


def _fell_since_halfway(values: Sequence[float]) -> bool:
    middle = max(WINDOW, len(values) // 2)
    before, now = values[middle - WINDOW : middle], values[-WINDOW:]
    return _mean(now) < _mean(before) and _differ(before, now)


def _variance(values: Sequence[float]) -> float:
    mean = _mean(values)
    return math.fsum((value - mean) ** 2 for value in values) / max(1, len(values) - 1)


def _blocks(values: Sequence[float]) -> list[float]:
    count = len(values)
    return [_mean(values[place * count // BLOCKS : (place + 1) * count // BLOCKS]) for place in range(BLOCKS)]


def _correlation(left: Sequence[float], right: Sequence[float]) -> float:
    """Pearson's; 0 where one of them does not move."""
    spread = math.sqrt(_variance(left) * _variance(right))
    mean_left, mean_right = _mean(left), _mean(right)
    together = math.fsum((a - mean_left) * (b - mean_right) for a, b in zip(left, right, strict=True))
    return together / (len(left) - 1) / spread if spread > 0 else 0.0
