"""What was answered once is not asked again: across runs, inside a batch, and after a crash."""

from datetime import date
from pathlib import Path

import pytest

from sartor.base.errors import UsageError
from sartor.data.records import Conversation
from sartor.generation.answer_cache import Cached
from sartor.generation.prices import Price, PriceTable
from sartor.generation.protocol import Passage, Reply, Sampling
from sartor.generation.remote import Remote
from sartor.generation.retry import RetryPolicy
from tests.generation.fake_service import Act, failure, running


def asked(text: str) -> Conversation:
    return [{"role": "user", "content": text}]


def cached(url: str, file: Path, identity: str = "m at host") -> Cached:
    retry = RetryPolicy(attempts=1, first_wait_seconds=0.01)
    return Cached(Remote("m", url, prices=PriceTable(()), retry=retry), identity, file)


def test_a_second_time_nothing_is_sent_and_the_same_comes_back(tmp_path: Path) -> None:
    conversations = [asked(f"q{number}") for number in range(5)]
    with running(lambda *_: Act()) as service:
        first = cached(service.url, tmp_path / "answers.jsonl").generate(conversations, Sampling())
        order: list[int] = []
        again = cached(service.url, tmp_path / "answers.jsonl").generate(
            conversations, Sampling(), lambda index, reply: order.append(index)
        )
        assert again == first and order == [0, 1, 2, 3, 4]
        assert sum(service.attempts.values()) == 5


def test_other_messages_samplings_and_models_are_other_questions(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    with running(lambda *_: Act()) as service:
        cached(service.url, file).generate([asked("q")], Sampling())
        cached(service.url, file).generate([asked("q")], Sampling(seed=1))
        cached(service.url, file).generate([asked("q")], Sampling(max_new_tokens=3))
        cached(service.url, file, "another").generate([asked("q")], Sampling())
        cached(service.url, file).generate([[{"role": "system", "content": "s"}, *asked("q")]], Sampling())
        assert service.attempts["q"] == 5


def test_equal_conversations_are_asked_once(tmp_path: Path) -> None:
    with running(lambda *_: Act()) as service:
        replies = cached(service.url, tmp_path / "a.jsonl").generate([asked("q"), asked("p"), asked("q")], Sampling())
        assert [reply.text for reply in replies] == ["echo q", "echo p", "echo q"]
        assert service.attempts == {"q": 1, "p": 1}


def test_errors_are_asked_again_and_neighbours_are_not(tmp_path: Path) -> None:
    broken = {"q1"}
    with running(lambda question, _: failure(500, "no") if question in broken else Act()) as service:
        questions = [asked(f"q{number}") for number in range(3)]
        first = cached(service.url, tmp_path / "a.jsonl").generate(questions, Sampling())
        assert [reply.finish for reply in first] == ["stop", "error", "stop"]
        broken.clear()
        second = cached(service.url, tmp_path / "a.jsonl").generate(questions, Sampling())
        assert [reply.text for reply in second] == ["echo q0", "echo q1", "echo q2"]
        assert service.attempts == {"q0": 1, "q1": 2, "q2": 1}


def test_a_batch_that_was_stopped_and_a_torn_line_lose_nothing_that_was_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    questions = [asked(f"q{number}") for number in range(6)]

    def plan(question: str, _: int) -> Act:
        return failure(401, "wrong key") if stopping and question == "q3" else Act()

    with running(plan) as service:
        stopping = True
        generator = Cached(Remote("m", service.url, prices=PriceTable(()), concurrency=1), "m", file)
        with pytest.raises(UsageError):
            generator.generate(questions, Sampling())
        generator.close()
        file.write_bytes(file.read_bytes() + b'{"key": "torn')
        stopping = False
        Cached(Remote("m", service.url, prices=PriceTable(())), "m", file).generate(questions, Sampling())
        assert service.attempts == {"q0": 1, "q1": 1, "q2": 1, "q3": 2, "q4": 1, "q5": 1}


def test_a_reply_comes_back_with_all_it_had(tmp_path: Path) -> None:
    reply = Reply(
        "text",
        "length",
        prompt_tokens=3,
        completion_tokens=2,
        seconds=0.5,
        passages=[Passage("d#0", "d", "words", 0.5, 1, 6, "title")],
        hosts=("host:1",),
        bytes_sent=7,
        cost=None,
        messages=asked("q"),
    )

    class Once:
        def generate(self, conversations, sampling, on_reply=None):  # type: ignore[no-untyped-def]
            on_reply(0, reply)
            return [reply]

    Cached(Once(), "m", tmp_path / "a.jsonl").generate([asked("q")], Sampling())
    (again,) = Cached(Once(), "m", tmp_path / "a.jsonl").generate([asked("q")], Sampling())
    assert again == reply


def test_what_was_paid_and_sent_is_known_across_runs(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    with running(lambda *_: Act()) as service:
        host = service.url.removeprefix("http://").removesuffix("/v1")
        price = Price(host=host, models=("m",), input_per_million=2, output_per_million=4, as_of=date(2026, 1, 31))
        remote = Remote("m", service.url, prices=PriceTable((price,)))
        first = Cached(remote, "m at host", file)
        first.generate([asked("q"), asked("p"), asked("q")], Sampling())
        assert first.traffic.paid == pytest.approx(2 * (10 * 2 + 5 * 4) / 1e6)  # the same question is paid for once
        again = Cached(remote, "m at host", file)
        again.generate([asked("q"), asked("r")], Sampling())
        assert again.traffic.paid == pytest.approx(3 * 40e-6)
        assert again.traffic.bytes_sent == sum(service.bytes_received.values())
        assert again.traffic.since(first.traffic).bytes_sent == service.bytes_received["r"]
