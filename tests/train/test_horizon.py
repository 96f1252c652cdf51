"""The laws of scale, by hand, and what a user's wishes change."""

import pytest

from sartor.train.horizon import CONTINUED_RATE, Wishes, best_batch_tokens, best_learning_rate, plan_course

MILLION = 10**6


def test_the_laws_at_a_size_of_the_paper() -> None:
    assert best_learning_rate(1e9, 1e11) == pytest.approx(1.79 * 1e9**-0.713 * 1e11**0.307)
    assert best_learning_rate(1e9, 1e11) == pytest.approx(1.6e-3, rel=0.05)
    assert best_batch_tokens(1e11) == pytest.approx(1.11e6, rel=0.02)


def test_twenty_tokens_a_weight_where_there_is_text_enough() -> None:
    course = plan_course(10 * MILLION, 1000 * MILLION, 512, Wishes())
    assert course.tokens == pytest.approx(200 * MILLION, rel=0.01)
    assert course.windows_per_step == round(best_batch_tokens(200e6) / 512)
    assert course.learning_rate == pytest.approx(best_learning_rate(10e6, 200e6), rel=0.05)
    assert course.warmup_steps == round(0.02 * course.num_steps)


def test_at_most_four_times_the_text() -> None:
    course = plan_course(10 * MILLION, 2 * MILLION, 512, Wishes())
    assert course.tokens == pytest.approx(8 * MILLION, rel=0.01)
    source = next(each.source for each in course.derived if each.name == "tokens to train on")
    assert "2203.15556" in source and "2305.16264" in source


def test_wishes_win_and_time_wins_over_all() -> None:
    wishes = Wishes(tokens=MILLION, batch_tokens=2048, learning_rate=0.5)
    course = plan_course(10 * MILLION, 2 * MILLION, 512, wishes)
    assert (course.num_steps, course.windows_per_step, course.learning_rate) == (488, 4, 0.5)
    short = plan_course(10 * MILLION, 2 * MILLION, 512, Wishes(tokens=MILLION, most_tokens=100_000))
    assert short.tokens == pytest.approx(100_000, rel=0.05)
    assert any(each.source == "what the time allows" for each in short.derived)


def test_a_limit_of_time_is_kept() -> None:
    short = plan_course(10 * MILLION, 2 * MILLION, 512, Wishes(batch_tokens=2048, most_tokens=2048 * 9 + 2000))
    assert short.num_steps == 9 and short.warning is None


@pytest.mark.parametrize("least", [{"tokens": 100_000}, {"most_tokens": 100_000}])
def test_one_step_that_reads_more_than_was_to_be_read_is_told(least: dict[str, int]) -> None:
    course = plan_course(10 * MILLION, 10 * MILLION, 512, Wishes(batch_tokens=500_000, **least))
    assert (course.num_steps, course.tokens) == (1, 500_224)
    assert course.derived[0].source == "one step, the least there can be"
    assert course.warning is not None and "500,224 tokens, more than the 100,000" in course.warning
    assert "--batch-tokens" in course.warning
    assert plan_course(10 * MILLION, 10 * MILLION, 512, Wishes(batch_tokens=50_000, **least)).warning is None


def test_a_trained_model_reads_every_text_once_at_a_lower_rate() -> None:
    course = plan_course(10 * MILLION, 2 * MILLION, 512, Wishes(continues=True))
    assert course.tokens == pytest.approx(2 * MILLION, rel=0.01)
    assert course.learning_rate == CONTINUED_RATE


def test_the_smallest_run_has_one_step() -> None:
    course = plan_course(MILLION, 100, 512, Wishes(tokens=10))
    assert course.num_steps == 1 and course.windows_per_step == 1 and course.warmup_steps == 1


def test_a_limit_between_what_was_asked_for_and_whole_steps_is_kept():
    """Otherwise a course is sought again and again that is rounded up to the same number of steps."""
    for most in (1_074_662, 1_000_000, 999_999, 921_600, 153_600):
        wishes = Wishes(tokens=1_000_000, batch_tokens=153_600, most_tokens=most)
        course = plan_course(5_000_000, 2_000_000, 512, wishes)
        assert course.tokens <= most
    short = plan_course(5_000_000, 2_000_000, 512, Wishes(most_tokens=1))
    assert short.num_steps == 1 and short.warning is not None and "raise --max-minutes" in short.warning
