"""The remote generator against a real HTTP service on this machine that misbehaves as it is told to."""

import email.utils
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from sartor.base.errors import SartorError, UsageError
from sartor.data.records import Conversation
from sartor.generation.prices import Price, PriceTable
from sartor.generation.protocol import Reply, Sampling
from sartor.generation.remote import Remote
from sartor.generation.retry import RetryPolicy, parse_retry_after
from tests.generation.fake_service import Act, completion, failure, running

KEY = "sk-very-secret-0123456789"
QUICK = RetryPolicy(attempts=4, first_wait_seconds=0.01)
NO_PRICES = PriceTable(())


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("OPENAI_API_KEY", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def remote(url: str, **options: Any) -> Remote:
    settings: dict[str, Any] = {"api_key_env": "TEST_KEY", "prices": NO_PRICES, "retry": QUICK} | options
    return Remote("m", url, **settings)


def questions(count: int) -> list[Conversation]:
    return [
        [{"role": "system", "content": "be brief"}, {"role": "user", "content": f"q{number}"}]
        for number in range(count)
    ]


def test_every_fault_is_survived_and_nothing_is_asked_again_after_its_answer() -> None:
    faults = [
        Act(),
        failure(429, "slow down", retry_after="0.05"),
        failure(500, "oops"),
        failure(503, "busy"),
        Act(drop=True),
        Act(cut=True, body=b'{"choices": ['),
        Act(body=b"{not json"),
        Act(body=b"<html>gateway</html>", headers={}),
        Act(body={"object": "chat.completion", "choices": []}),
        Act(body={"choices": [{"index": 0, "message": {"role": "assistant", "content": 3}}]}),
        Act(body=b"[]"),
        Act(body=b"null"),
    ]

    def plan(question: str, attempt: int) -> Act:
        return faults[int(question[1:]) % len(faults)] if attempt == 1 else Act()

    with running(plan) as service:
        replies = remote(service.url).generate(questions(36), Sampling())
        assert [reply.text for reply in replies] == [f"echo q{number}" for number in range(36)]
        assert {reply.finish for reply in replies} == {"stop"}
        assert set(service.succeeded.values()) == {1} and len(service.succeeded) == 36
        assert all(service.attempts[f"q{n}"] == (1 if n % len(faults) == 0 else 2) for n in range(36))


def test_a_row_that_never_works_leaves_its_neighbours_alone() -> None:
    bad = {
        "q1": failure(500, "broken"),
        "q2": failure(400, "too long", "context_length_exceeded"),
        "q4": Act(drop=True),
    }
    with running(lambda question, _: bad.get(question, Act())) as service:
        replies = remote(service.url).generate(questions(6), Sampling())
        assert [reply.finish for reply in replies] == ["stop", "error", "error", "stop", "error", "stop"]
        assert [replies[n].text for n in (1, 2, 4)] == ["", "", ""]
        assert replies[1].error == "HTTP 500: broken (4 attempts)"
        assert replies[2].error == "HTTP 400: too long"
        assert service.attempts == {"q0": 1, "q1": 4, "q2": 1, "q3": 1, "q4": 4, "q5": 1}


def test_retry_after_is_obeyed_by_all_threads() -> None:
    def plan(question: str, attempt: int) -> Act:
        return failure(429, "wait", retry_after="0.4") if question == "q0" and attempt == 1 else Act(seconds=0.02)

    with running(plan) as service:
        replies = remote(service.url, concurrency=2).generate(questions(30), Sampling())
        assert all(reply.finish == "stop" for reply in replies)
        gaps = [later - earlier for earlier, later in zip(service.times, service.times[1:], strict=False)]
        assert max(gaps) > 0.3, "somebody went on asking during the wait"
        assert replies[0].seconds >= 0.4


def test_a_service_that_asks_for_too_long_a_wait_is_not_waited_for() -> None:
    with running(lambda *_: failure(429, "come back tomorrow", retry_after="86400")) as service:
        reply = remote(service.url).generate(questions(1), Sampling())[0]
        assert reply.finish == "error" and "come back tomorrow" in (reply.error or "")
        assert len(service.requests) == 1


def test_slow_answers_time_out_and_are_asked_again() -> None:
    with running(lambda _, attempt: Act(seconds=1.0 if attempt == 1 else 0.0)) as service:
        replies = remote(service.url, timeout_seconds=0.3).generate(questions(2), Sampling())
        assert [reply.text for reply in replies] == ["echo q0", "echo q1"]
        assert all(reply.seconds >= 0.3 for reply in replies)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (failure(401, f"Incorrect API key provided: {KEY}"), "401"),
        (failure(404, "The model `m` does not exist", "model_not_found"), "does not exist"),
        (failure(403, "no access"), "403"),
        (failure(429, "You exceeded your current quota", "insufficient_quota"), "quota"),
        (failure(307, "moved", location="http://127.0.0.1:1/"), "307"),
        (failure(400, "no temperature here", "unsupported_value", "temperature"), "temperature"),
    ],
)
def test_what_no_request_can_survive_stops_everything_at_once(act: Act, words: str) -> None:
    with running(lambda *_: act) as service:
        with pytest.raises(UsageError, match=words) as caught:
            remote(service.url, concurrency=3).generate(questions(200), Sampling())
        assert caught.value.hint and KEY not in str(caught.value)
        assert len(service.requests) <= 6


def test_a_fatal_error_does_not_wait_for_sleeping_neighbours() -> None:
    asked = threading.Event()
    wrong, wait = failure(401, "no"), failure(429, "wait", retry_after="60")
    wrong.seconds, wait.after = 0.2, asked

    def plan(question: str, _: int) -> Act:
        if question == "q0":
            return wait
        asked.set()
        return wrong

    started = time.monotonic()
    with running(plan) as service:
        with pytest.raises(UsageError):
            remote(service.url, concurrency=2).generate(questions(2), Sampling())
        assert time.monotonic() - started < 30
        time.sleep(0.5)  # the neighbour has awoken
        assert service.attempts == {"q0": 1, "q1": 1}, "an answer was asked for that nobody reads"


def test_a_refusal_later_on_concerns_one_conversation() -> None:
    def plan(question: str, _: int) -> Act:
        return failure(403, "flagged by moderation") if question == "q3" else Act()

    with running(plan) as service:
        replies = remote(service.url, concurrency=1).generate(questions(5), Sampling())
        assert [reply.finish for reply in replies] == ["stop", "stop", "stop", "error", "stop"]


def test_a_host_that_cannot_be_reached_stops_everything() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(SartorError, match="cannot connect") as caught:
        remote(f"http://127.0.0.1:{port}/v1").generate(questions(50), Sampling())
    assert not isinstance(caught.value, UsageError) and caught.value.hint


def test_what_is_sent() -> None:
    with running(lambda *_: Act()) as service:
        sampling = Sampling(max_new_tokens=7, temperature=0.5, top_p=0.9, stop=("\n", "END"), seed=42)
        reply = remote(service.url).generate(questions(1), sampling)[0]
        assert service.requests == [
            {
                "model": "m",
                "messages": questions(1)[0],
                "max_tokens": 7,
                "temperature": 0.5,
                "top_p": 0.9,
                "stop": ["\n", "END"],
                "seed": 42,
            }
        ]
        assert service.headers[0]["authorization"] == f"Bearer {KEY}"
        assert not [name for name in service.headers[0] if name.startswith("x-stainless")]
        assert reply.messages == questions(1)[0]
        remote(service.url, omit=("seed", "temperature")).generate(questions(1), Sampling())
        assert service.requests[1] == {"model": "m", "messages": questions(1)[0], "max_tokens": 256}


def test_no_key_is_sent_unless_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another-service")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-another-service")
    with running(lambda *_: Act()) as service:
        remote(service.url, api_key_env=None).generate(questions(1), Sampling())
        assert "authorization" not in service.headers[0]
        assert "another-service" not in str(service.headers[0])


def test_a_model_that_wants_the_newer_name_of_the_limit_gets_it() -> None:
    with running(lambda *_: Act()) as service:
        service.plan = lambda *_: (
            Act()
            if "max_completion_tokens" in service.requests[-1]
            else failure(400, "Unsupported parameter", "unsupported_parameter", "max_tokens")
        )
        replies = remote(service.url, concurrency=1).generate(questions(3), Sampling(max_new_tokens=9))
        assert [reply.finish for reply in replies] == ["stop"] * 3
        assert [request.get("max_completion_tokens") for request in service.requests] == [None, 9, 9, 9]


def test_bytes_are_those_that_arrived_retries_included() -> None:
    with running(lambda question, attempt: failure(500, "again") if attempt < 3 else Act()) as service:
        replies = remote(service.url).generate(questions(3) + [[{"role": "user", "content": "ünïcode"}]], Sampling())
        received = [service.bytes_received[f"q{n}"] for n in range(3)] + [service.bytes_received["ünïcode"]]
        assert [reply.bytes_sent for reply in replies] == received
        assert {reply.hosts for reply in replies} == {(service.url.split("/")[2],)}


def test_cost_comes_from_the_price_table_and_is_unknown_without(capsys: pytest.CaptureFixture[str]) -> None:
    with running(lambda *_: Act(body=completion("a", "length", 1000, 200))) as service:
        host = service.url.split("/")[2]
        price = Price.model_validate(
            {
                "host": host,
                "models": ["m"],
                "input_per_million": 2.0,
                "output_per_million": 8.0,
                "as_of": "2026-01-01",
            }
        )
        known = remote(service.url, prices=PriceTable((price,))).generate(questions(1), Sampling())[0]
        assert known.cost == pytest.approx(1000 * 2e-6 + 200 * 8e-6)
        assert (known.prompt_tokens, known.completion_tokens, known.finish) == (1000, 200, "length")
        assert "no price" not in capsys.readouterr().err
        assert remote(service.url).generate(questions(1), Sampling())[0].cost is None
        assert f"no price is known for m at {host}" in capsys.readouterr().err
        service.plan = lambda *_: Act(body={**completion("a"), "usage": None})
        assert remote(service.url, prices=PriceTable((price,))).generate(questions(1), Sampling())[0].cost is None


def test_an_answer_the_service_broke_off_is_an_error_that_was_paid_for() -> None:
    with running(lambda *_: Act(body=completion("half an ans", "content_filter", 10, 3))) as service:
        reply = remote(service.url).generate(questions(1), Sampling())[0]
        assert (reply.finish, reply.text, reply.completion_tokens) == ("error", "", 3)
        assert "content_filter" in (reply.error or "") and len(service.requests) == 1


def test_on_reply_comes_in_the_order_of_finishing_in_the_callers_thread() -> None:
    order: list[int] = []
    threads: set[int] = set()
    others = threading.Event()

    def note(index: int, reply: Reply) -> None:
        order.append(index)
        if len(order) == 4:
            others.set()
        threads.add(threading.get_ident())
        assert reply.text == f"echo q{index}"

    with running(lambda question, _: Act(after=others if question == "q0" else None)) as service:
        remote(service.url).generate(questions(5), Sampling(), note)
    assert order[-1] == 0 and sorted(order) == list(range(5))
    assert threads == {threading.get_ident()}


def test_no_more_requests_at_once_than_allowed() -> None:
    with running(lambda *_: Act(seconds=0.03)) as service:
        remote(service.url, concurrency=3).generate(questions(20), Sampling())
        assert service.busiest == 3


def test_keys_never_show(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with running(lambda *_: failure(500, f"your key {KEY} broke us")) as service:
        reply = remote(service.url).generate(questions(1), Sampling())[0]
        assert KEY not in repr(reply) and "your key (key) broke us" in (reply.error or "")
    with pytest.raises(UsageError) as given_as_name:
        remote("http://127.0.0.1/v1", api_key_env="sk-pasted-by-mistake")
    assert "pasted" not in str(given_as_name.value)
    monkeypatch.setenv("SPLIT_KEY", f"{KEY} {KEY}")
    with pytest.raises(UsageError) as split:
        remote("http://127.0.0.1/v1", api_key_env="SPLIT_KEY")
    assert KEY not in str(split.value) and "SPLIT_KEY" in str(split.value)
    with pytest.raises(UsageError, match="EMPTY_KEY"):
        remote("http://127.0.0.1/v1", api_key_env="EMPTY_KEY")
    with pytest.raises(UsageError, match="cannot be read"):
        remote("http://127.0.0.1/v1", api_key_env=None, api_key_file=str(tmp_path / "none"))


def test_a_key_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    with running(lambda *_: Act()) as service:
        remote(service.url, api_key_env=None, api_key_file=str(tmp_path / "key")).generate(questions(1), Sampling())
        assert service.headers[0]["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("url", [
    "", "host/v1", "ftp://host/v1", "https:///v1", "https://me:secret@host/v1", "http://localhost:abc/v1", "http://[::1/v1",
    "http://localhost:80800/v1", "http://localhost:0/v1", "http://local host/v1", "http://localhost/v1 ", "http://x/v\n1",
])
def test_base_urls_that_are_none(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        remote(url)
    assert "secret" not in str(caught.value) and caught.value.hint


def test_a_key_in_the_open_is_warned_about(capsys: pytest.CaptureFixture[str]) -> None:
    remote("http://models.example/v1")
    assert "unencrypted" in capsys.readouterr().err


def test_waits_double_up_to_a_limit_and_end() -> None:
    policy = RetryPolicy(attempts=12, first_wait_seconds=1.0)
    waits = [policy.wait_seconds(attempt, None) for attempt in range(1, 13)]
    limits = [1, 2, 4, 8, 16, 30, 30, 30, 30, 30, 30]
    assert waits[-1] is None
    assert all(wait is not None and limit / 2 <= wait <= limit for wait, limit in zip(waits[:-1], limits, strict=True))


@pytest.mark.parametrize("asked", ["0", "-3", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_a_service_that_asks_for_no_wait_is_not_asked_at_once_again_and_again(asked: str) -> None:
    policy = RetryPolicy(attempts=6, first_wait_seconds=1.0)
    for attempt, limit in enumerate([1, 2, 4, 8, 16], start=1):
        assert limit / 2 <= (policy.wait_seconds(attempt, asked) or 0) <= limit
    assert policy.wait_seconds(5, "60") == 60


def test_retry_after_forms() -> None:
    assert parse_retry_after("7") == 7 and parse_retry_after("-3") == 0
    assert parse_retry_after(None) is None and parse_retry_after("soon") is None and parse_retry_after("nan") is None
    date = email.utils.formatdate(time.time() + 20, usegmt=True)
    assert 15 < (parse_retry_after(date) or 0) <= 20


def test_nothing_to_ask() -> None:
    assert remote("http://127.0.0.1:1/v1").generate([], Sampling()) == []
