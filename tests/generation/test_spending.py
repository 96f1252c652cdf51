"""The cap on what a service may cost holds with many threads, and says what was spent."""

import datetime
from pathlib import Path

import pytest

from sartor.base.errors import SartorError, UsageError
from sartor.generation.answer_cache import Cached
from sartor.generation.prices import Price, PriceTable
from sartor.generation.protocol import Sampling
from sartor.generation.remote import Remote
from sartor.generation.retry import RetryPolicy
from sartor.generation.spending import Spending, worst_cost
from tests.generation.fake_service import Act, completion, failure, running


def price(host: str) -> Price:
    return Price(
        host=host, models=("m",), input_per_million=1000, output_per_million=10_000, as_of=datetime.date(2026, 1, 1)
    )


def remote(url: str, spending: Spending, concurrency: int = 8) -> Remote:
    table = PriceTable((price(url.split("/")[2]),))
    retry = RetryPolicy(attempts=3, first_wait_seconds=0.01)
    return Remote("m", url, prices=table, spending=spending, concurrency=concurrency, retry=retry)


QUESTIONS = [[{"role": "user", "content": f"question number {number}"}] for number in range(100)]


@pytest.mark.parametrize("concurrency", [1, 16])
def test_the_cap_holds_and_what_was_answered_is_kept(tmp_path: Path, concurrency: int) -> None:
    """An answer costs 10 x $.001 + 5 x $.01 = $.06, at most 26 x $.001 + 10 x $.01."""
    with running(lambda *_: Act(body=completion("a", "stop", 10, 5))) as service:
        spending = Spending(1.0)
        generator = Cached(remote(service.url, spending, concurrency), "m", tmp_path / "a.jsonl")
        with pytest.raises(SartorError, match=r"of the budget of \$1") as caught:
            generator.generate(QUESTIONS, Sampling(max_new_tokens=10))
        assert "raise the budget" in str(caught.value.hint)
        paid = len(service.requests)
        assert 0 < spending.spent <= 1.0 and spending.spent == pytest.approx(0.06 * paid)
        assert concurrency > 1 or paid >= 14, "most of the budget is used"
        more = Cached(remote(service.url, Spending(100.0)), "m", tmp_path / "a.jsonl")
        assert len(more.generate(QUESTIONS, Sampling(max_new_tokens=10))) == 100
        assert len(service.requests) <= 100 + concurrency, "answers were bought twice"


def test_a_refused_request_costs_nothing_and_one_that_timed_out_its_worst() -> None:
    worst = worst_cost(price("h"), QUESTIONS[0], 10)
    with running(lambda *_: failure(400, "no")) as service:
        spending = Spending(1.0)
        remote(service.url, spending).generate(QUESTIONS[:3], Sampling(max_new_tokens=10))
        assert spending.spent == 0
    with running(lambda *_: Act(body=b"not json")) as service:
        spending = Spending(5.0)
        remote(service.url, spending).generate(QUESTIONS[:1], Sampling(max_new_tokens=10))
        assert spending.spent == pytest.approx(3 * worst)


def test_a_cap_without_a_price_and_a_cap_of_nothing_are_refused() -> None:
    with pytest.raises(UsageError, match="no price is known"):
        Remote("m", "http://127.0.0.1:9/v1", prices=PriceTable(()), spending=Spending(1.0))
    for limit in (0.0, -1.0, float("nan")):
        with pytest.raises(UsageError, match="above 0"):
            Spending(limit)
