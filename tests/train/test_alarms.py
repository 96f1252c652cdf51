"""Alarms: each is set off by its own ill curve, none by a healthy one, live or afterwards."""

import time

import pytest

from sartor.train.alarms import CHECKS, alarms, new_alarms, watched
from tests.train.made_up_alignment import DPO, METRICS, records, settling

ILL = {
    "reward follows length": ("grpo", {"answer_tokens": lambda s: 70 + 1.2 * s, "reward": lambda s: 0.2 + 0.004 * s}),
    "entropy collapse": ("grpo", {"entropy": lambda s: settling(s, 1.6, 0.0)}),
    "KL runs away": ("ppo", {"kl": lambda s: 1.0 * 1.04**s}),
    "value learns nothing": ("ppo", {"explained_variance": lambda s: -0.4}),
    "chosen and rejected both fall": (
        "dpo", {"chosen_change": lambda s: -0.08 * s, "rejected_change": lambda s: -0.15 * s},
    ),
    "answers no longer finish": ("grpo", {"finished_share": lambda s: settling(s, 0.95, 0.2)}),
    "sampler and trainer disagree": ("grpo", {"log_prob_gap_mean": lambda s: 0.15}),
    "accuracy at chance": ("reward", {"accuracy": lambda s: 0.5}),
    "ratio is not 1 at first": ("ppo", {"ratio": lambda s: 1.0 if s < 50 else 1.06}),
    "all answers score the same": ("grpo", {"reward_deviation": lambda s: 0.0}),
}  # fmt: skip


def ill(name: str, num_steps: int = 200, seed: int = 0):
    kind, changed = ILL[name]
    made = records(kind, num_steps, seed, **changed)
    if name == "all answers score the same":
        made = [record | {"reward_deviation": 0.0} for record in made]
    return made


def names(found) -> list[str]:
    return [alarm.name for alarm in found]


def test_there_is_an_ill_curve_for_every_alarm():
    assert {check.name for check in CHECKS} == set(ILL)


@pytest.mark.parametrize("name", ILL)
@pytest.mark.parametrize("seed", range(3))
def test_each_ill_curve_sets_off_its_alarm_and_no_other(name, seed):
    found = alarms(ill(name, seed=seed))
    assert names(found) == [name]
    assert 1 <= found[0].step <= 200 and found[0].seen.startswith(f"At step {found[0].step:,} ")
    assert all(sentence.endswith(".") for sentence in found[0].sentences())


@pytest.mark.parametrize("kind", METRICS)
@pytest.mark.parametrize("seed", range(12))
def test_a_healthy_run_sets_off_none(kind, seed):
    assert alarms(records(kind, 300, seed)) == []


def test_one_token_far_off_is_enough_in_several_steps_in_a_row():
    assert names(alarms(records("grpo", 60, log_prob_gap=lambda s: 2.0))) == ["sampler and trainer disagree"]
    assert alarms(records("grpo", 60, log_prob_gap=lambda s: 2.0 if s % 3 == 0 else 0.1)) == []


def test_a_great_distance_is_told_however_slowly_it_was_reached():
    found = alarms(records("grpo", 200, kl=lambda s: 0.4 * s))
    assert names(found) == ["KL runs away"] and "a token" in found[0].seen


def test_only_the_first_update_of_a_batch_must_have_a_ratio_of_one():
    once = records("ppo", 100)
    four_updates = [
        batch | {"step": 4 * place + update + 1, "ratio": 1.0 + 0.03 * update}
        for place, batch in enumerate(once)
        for update in range(4)
    ]
    assert alarms(four_updates) == []
    assert names(alarms([each | {"ratio": each["ratio"] + 0.02} for each in four_updates])) == [
        "ratio is not 1 at first"
    ]


def test_longer_answers_that_do_not_pay_are_no_alarm():
    longer = records("grpo", 200, answer_tokens=lambda s: 70 + s, reward=lambda s: 0.4)
    paid_at_first = records("grpo", 200, reward=lambda s: settling(s, 0.2, 0.7, 8), answer_tokens=lambda s: 70.0)
    assert alarms(longer) == alarms(paid_at_first) == []


def test_a_margin_that_grows_by_the_rejected_answers_alone_is_no_alarm():
    assert alarms(records("dpo", 200, chosen_change=lambda s: 1.0, rejected_change=lambda s: -0.3 * s)) == []


@pytest.mark.parametrize("name", ILL)
def test_live_each_alarm_is_told_once_and_as_afterwards(name):
    metrics = ill(name, 120)
    told: dict[str, object] = {}
    for end in range(1, len(metrics) + 1):
        for alarm in new_alarms(metrics[:end], told):
            assert alarm.name not in told
            told[alarm.name] = alarm
    assert list(told.values()) == alarms(metrics)


def test_what_was_not_measured_or_not_long_enough_is_not_judged():
    assert alarms([]) == [] and watched([]) == []
    assert alarms([{"step": step, "loss": 1.0} for step in range(1, 300)]) == []
    assert alarms(records("reward", 59, accuracy=lambda s: 0.5)) == []
    assert alarms([{"step": 1, "ratio": "NaN", "reward": None}]) == []
    assert watched(records("dpo", 100)) == ["chosen and rejected both fall", "accuracy at chance"]


def test_answers_rated_one_by_one_are_not_called_pairs():
    rated = [record | {"divergence": 0.5} for record in records("reward", 100, accuracy=lambda s: 0.5)]
    (alarm,) = alarms(rated)
    assert alarm.name == "accuracy at chance" and "pairs" not in " ".join(alarm.sentences())
    assert "answers were on their right side" in alarm.seen and "desirable" in alarm.cause
    assert watched(rated) == ["accuracy at chance"] and new_alarms(rated[: alarm.step], ()) == [alarm]
    assert alarms([record | {"accuracy": 0.8} for record in rated]) == []


def test_gaps_in_a_curve_do_no_harm():
    metrics = [each if each["step"] % 3 else {"step": each["step"], "loss": 1.0} for each in ill("entropy collapse")]
    assert names(alarms(metrics)) == ["entropy collapse"]


def test_the_figures_are_told():
    (alarm,) = alarms(ill("answers no longer finish"))
    assert " % of the answers came to their end, 9" in alarm.seen
    (alarm,) = alarms(ill("chosen and rejected both fall"))
    assert "nats" in alarm.seen and "beta" in alarm.advice and set(DPO) >= {"chosen_change", "rejected_change"}


def test_thousands_of_steps_are_judged_in_seconds():
    """Copying the curves for every step would take more than ten times as long."""
    for kind in ("ppo", "dpo"):
        metrics = records(kind, 16_000)
        begun = time.process_time()
        alarms(metrics)
        assert time.process_time() - begun < 4
