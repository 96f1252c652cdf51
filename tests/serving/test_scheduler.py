"""Many clients at once: what is bounded, what is cancelled, and what a failing engine does to whom."""

import asyncio
import dataclasses
import http.client
import json
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest

from sartor.generation.protocol import Sampling
from sartor.serving.engine_thread import EngineThread, Job, Outcome
from sartor.serving.errors import ApiError
from sartor.serving.scheduler import PREPARING_THREADS, Scheduler


def body(content: str = "hello", **options: Any) -> dict[str, Any]:
    return {"model": "echo", "messages": [{"role": "user", "content": content}]} | options


def post(live: Any, **options: Any) -> httpx.Response:
    return httpx.post(f"{live.url}/v1/chat/completions", json=body(**options), timeout=30)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(64) as threads:
        yield threads


def test_one_thread_touches_the_engine(live: Any, pool: ThreadPoolExecutor) -> None:
    answers = list(pool.map(lambda number: post(live, content=f"number {number}").json(), range(32)))
    assert [answer["choices"][0]["message"]["content"] for answer in answers] == [f"number {n}" for n in range(32)]
    assert len(live.engine.threads) == 1 and threading.get_ident() not in live.engine.threads


def test_requests_share_steps(live: Any, pool: ThreadPoolExecutor, eventually: Any) -> None:
    live.engine.gate.clear()
    waiting = [pool.submit(post, live, content="x" * 20) for _ in range(16)]
    eventually(lambda: len(live.engine.rows) >= 1)
    live.engine.gate.set()
    assert all(future.result().status_code == 200 for future in waiting)
    assert sum(live.engine.tokens.values()) == 16 * 21 and live.engine.steps < 16 * 21 / 2


def test_too_many_requests_get_429_and_the_others_are_unharmed(
    start: Any, pool: ThreadPoolExecutor, eventually: Any
) -> None:
    live = start(max_answers=3)
    live.engine.gate.clear()
    kept = pool.submit(post, live, n=3)
    eventually(lambda: len(live.engine.rows) > 0)
    refused = post(live)
    assert refused.status_code == 429 and int(refused.headers["retry-after"]) > 0
    assert refused.json()["error"]["type"] == "rate_limit_error"
    assert httpx.get(f"{live.url}/health").status_code == 200
    live.engine.gate.set()
    assert len(kept.result().json()["choices"]) == 3
    assert post(live, n=3).status_code == 200
    assert post(live, n=4).status_code == 400, "it would never be served, so there is no use in coming back"


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_stops_its_work_within_a_step(live: Any, eventually: Any, stream: bool) -> None:
    live.engine.step_seconds = 0.02
    live.engine.gate.clear()
    connection = http.client.HTTPConnection(live.url.removeprefix("http://"), timeout=30)
    text = json.dumps(body("x" * 150, n=2, max_tokens=40, stream=stream))
    connection.request("POST", "/v1/chat/completions", text, {"Content-Type": "application/json"})
    if stream:
        response = connection.getresponse()
        assert response.read1().startswith(b"data: ")
        response.close()
    eventually(lambda: len(live.engine.rows) == 2)
    connection.close()
    live.engine.gate.set()
    eventually(lambda: sorted(live.engine.cancelled) == [1, 2])
    made, steps = dict(live.engine.tokens), live.engine.steps
    assert max(made.values()) < 40 and not live.engine.rows
    assert post(live, content="still there?").status_code == 200
    assert {number: live.engine.tokens[number] for number in made} == made and live.engine.steps > steps


def test_clients_that_leave_give_their_places_back(start: Any, pool: ThreadPoolExecutor, eventually: Any) -> None:
    live = start(max_answers=8)
    live.engine.step_seconds = 0.01

    def leave(number: int) -> None:
        with httpx.stream(
            "POST",
            f"{live.url}/v1/chat/completions",
            json=body("y" * 60, stream=bool(number % 2)),
            timeout=0.3 if number % 2 == 0 else 30,
        ) as response:
            if number % 2:
                next(response.iter_lines())

    for _ in range(3):
        futures = [pool.submit(leave, number) for number in range(8)]
        for future in futures:
            assert future.exception() is None or isinstance(future.exception(), httpx.ReadTimeout)
        eventually(lambda: not live.engine.rows)
        eventually(lambda: post(live, content="z", n=8).status_code == 200)


def test_a_failing_step_ends_those_requests_and_no_others(live: Any) -> None:
    live.engine.failures_to_come = 1
    failed = post(live)
    assert failed.status_code == 500 and failed.json()["error"]["code"] == "engine_failed"
    assert "secret" not in failed.text
    assert post(live).json()["choices"][0]["message"]["content"] == "hello"
    assert httpx.get(f"{live.url}/health").json() == {"status": "ok"}


def test_a_failure_in_the_middle_of_a_stream_is_an_event(live: Any) -> None:
    live.engine.failures_to_come = 1
    streamed = post(live, stream=True)
    assert streamed.status_code == 200
    *_, error, done, end = streamed.text.split("\n\n")
    assert json.loads(error.removeprefix("data: "))["error"]["code"] == "engine_failed"
    assert (done, end) == ("data: [DONE]", "")


@pytest.mark.parametrize("unclean", [False, True])
def test_an_engine_that_stays_broken_makes_the_server_unhealthy(live: Any, unclean: bool) -> None:
    live.engine.failures_to_come, live.engine.unclean = 100, unclean
    statuses = [post(live).status_code for _ in range(5)]
    assert statuses == ([500] + [503] * 4 if unclean else [500] * 3 + [503] * 2)
    health = httpx.get(f"{live.url}/health")
    assert health.status_code == 503 and health.json()["status"] != "ok"


def test_shutting_down_lets_short_answers_end(live: Any, pool: ThreadPoolExecutor, eventually: Any) -> None:
    live.engine.step_seconds = 0.01
    streaming = pool.submit(post, live, content="x" * 60, stream=True)
    eventually(lambda: live.engine.steps > 2)
    live.stop()
    assert streaming.result(timeout=30).text.endswith("data: [DONE]\n\n")
    assert live.engine.steps == 61


# --- the thread by itself ---------------------------------------------------------------------------------


class Inbox:
    """Collects what the thread hands out."""

    def __init__(self) -> None:
        self.outcomes: list[tuple[Job, Outcome]] = []

    def of(self, job: Job) -> list[Outcome]:
        return [outcome for owner, outcome in self.outcomes if owner is job]


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


def job(engine: Any, text: str = "user: abc", samplings: int = 1) -> Job:
    return Job(
        engine,
        [ord(character) for character in text],
        [Sampling(seed=n) for n in range(samplings)],
        asyncio.Queue(),
    )


def test_two_engines_take_turns_and_one_that_breaks_leaves_the_other(
    engine: Any, inbox: Inbox, eventually: Any
) -> None:
    other = type(engine)()
    other.failures_to_come = 100
    thread = EngineThread(inbox.outcomes.extend)
    good, bad = [job(engine) for _ in range(4)], [job(other) for _ in range(4)]
    thread.start()
    for first, second in zip(good, bad, strict=True):
        thread.add(first)
        thread.add(second)
        eventually(lambda second=second: len(inbox.of(second)) == 1)
    eventually(lambda: all(len(inbox.of(first)) == 4 for first in good))
    errors = [inbox.of(second)[-1] for second in bad]
    assert [error.status for error in errors if isinstance(error, ApiError)] == [500, 500, 500, 503]
    assert thread.problem and not thread.ended
    thread.stop()
    assert thread.ended


def test_a_refused_prompt_cancels_what_was_added_with_it(engine: Any, inbox: Inbox, eventually: Any) -> None:
    thread = EngineThread(inbox.outcomes.extend)
    refused = job(engine, "user: REFUSE", samplings=2)
    thread.add(refused)
    thread.start()
    eventually(lambda: len(inbox.of(refused)) == 1)
    outcome = inbox.of(refused)[0]
    assert isinstance(outcome, ApiError) and outcome.status == 400 and not engine.rows
    thread.stop()


def test_stopping_answers_everybody(engine: Any, inbox: Inbox, eventually: Any) -> None:
    thread = EngineThread(inbox.outcomes.extend)
    engine.gate.clear()
    under_way, late = job(engine, "user: " + "x" * 50, samplings=2), job(engine)
    thread.add(under_way)
    thread.start()
    eventually(lambda: len(engine.rows) == 2)
    ending = threading.Thread(target=thread.stop)
    ending.start()
    thread.add(late)
    engine.gate.set()
    ending.join(20)
    for ended in (under_way, late):
        outcome = inbox.of(ended)[-1]
        assert isinstance(outcome, ApiError) and outcome.status == 503


def test_cancelling_what_is_unknown_or_finished_is_harmless(engine: Any, inbox: Inbox, eventually: Any) -> None:
    thread = EngineThread(inbox.outcomes.extend)
    finished, stranger = job(engine), job(engine)
    thread.start()
    thread.cancel(stranger)
    thread.add(finished)
    eventually(lambda: len(inbox.of(finished)) == 4)
    thread.cancel(finished)
    thread.stop()
    assert engine.cancelled == [] and inbox.of(stranger) == []


# --- fairness and embeddings ------------------------------------------------------------------------------


def test_a_client_that_asks_often_does_not_hold_up_another(engine: Any, inbox: Inbox, eventually: Any) -> None:
    engine.max_rows = 2
    greedy = [dataclasses.replace(job(engine, f"user: {n}"), client="greedy") for n in range(20)]
    modest = dataclasses.replace(job(engine, "user: one"), client="modest")
    thread = EngineThread(inbox.outcomes.extend)
    for each in (*greedy, modest):
        thread.add(each)
    thread.start()
    eventually(lambda: len({id(owner) for owner, _ in inbox.outcomes}) == 21)
    thread.stop()
    order = list(dict.fromkeys(id(owner) for owner, _ in inbox.outcomes))
    assert order.index(id(modest)) < 3, "it comes second, whatever the other has waiting"
    assert [id(each) for each in greedy] == [each for each in order if each != id(modest)]


def test_what_waits_for_the_engine_is_cancelled_before_it_is_begun(engine: Any, inbox: Inbox, eventually: Any) -> None:
    engine.max_rows = 1
    engine.gate.clear()
    first, second, third = (job(engine, f"user: {n}") for n in range(3))
    thread = EngineThread(inbox.outcomes.extend)
    for each in (first, second, third):
        thread.add(each)
    thread.start()
    thread.cancel(second)
    engine.gate.set()
    eventually(lambda: len(inbox.of(third)) == 2)
    thread.stop()
    assert inbox.of(second) == [] and len(engine.samplings) == 2


def test_a_broken_engine_refuses_what_was_waiting_for_it(engine: Any, inbox: Inbox, eventually: Any) -> None:
    engine.max_rows, engine.unclean, engine.failures_to_come = 1, True, 100
    jobs = [job(engine) for _ in range(3)]
    thread = EngineThread(inbox.outcomes.extend)
    for each in jobs:
        thread.add(each)
    thread.start()
    eventually(lambda: all(inbox.of(each) for each in jobs))
    thread.stop()
    statuses = [inbox.of(each)[-1].status for each in jobs]  # type: ignore[union-attr]
    assert statuses == [500, 503, 503]


class SlowEmbedder:
    name, dimension, max_tokens = "slow", 2, 64

    def __init__(self) -> None:
        self.texts: list[str] = []

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        time.sleep(0.01)
        self.texts += texts
        return np.array([[len(text), 1.0] for text in texts], dtype=np.float32)

    embed_queries = embed

    def count_tokens(self, text: str) -> int:
        return len(text)


def test_embedding_goes_by_turns_beside_the_loop_and_ends_with_its_client(make_model: Any) -> None:
    embedder = SlowEmbedder()
    model = make_model(None, id="vectors", embedder=embedder)

    async def scenario() -> None:
        scheduler = Scheduler()
        scheduler.start()
        many = asyncio.create_task(scheduler.embed(model, ["a" * (n % 7) for n in range(400)], client="greedy"))
        leaver = asyncio.create_task(scheduler.embed(model, ["b"] * 400, client="leaver"))
        await asyncio.sleep(0.03)
        few = await scheduler.embed(model, ["cc"], client="modest")
        assert few.tolist() == [[2.0, 1.0]] and not many.done(), "one turn each, not all of one's first"
        leaver.cancel()
        assert (await many)[:, 0].tolist() == [n % 7 for n in range(400)]
        assert (await scheduler.embed(model, [], client="x")).shape == (0, 2)
        await scheduler.close()

    asyncio.run(scenario())
    assert embedder.texts.count("b") < 400, "what was left of it is not embedded for nobody"


def test_slow_searches_do_not_hold_up_each_other(make_model: Any, engine: Any) -> None:
    together = threading.Barrier(PREPARING_THREADS, timeout=20)

    def prepare(messages: Any, tools: Any) -> tuple[list[int], None]:
        together.wait()  # passes only when as many are here at once
        return [1], None

    async def scenario() -> None:
        scheduler = Scheduler()
        scheduler.start()
        model = make_model(engine, prepare=prepare)
        await asyncio.gather(*(scheduler.prepare(model, []) for _ in range(PREPARING_THREADS)))
        await scheduler.close()

    asyncio.run(scenario())
