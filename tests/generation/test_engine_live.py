"""A live engine: prompts are read in pieces between decoding steps, and nobody's answer changes by it."""

import random

import pytest
import torch

from sartor.generation import engine as engine_module
from sartor.generation.events import Event
from sartor.generation.protocol import Sampling
from tests import tiny_models
from tests.generation.engine_helpers import engine_for, events_of, prompts, same, tokens_of

NEW = 12
PIECE = 16


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "PIECE_TOKENS", PIECE)


def alone(model: torch.nn.Module, given: list[list[int]], samplings: list[Sampling]) -> list[list[Event]]:
    """What each says by itself, its prompt read at once."""
    engine = engine_for(model)
    return [events_of(engine, [engine.add(prompt, each)])[0] for prompt, each in zip(given, samplings, strict=True)]


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_running_answers_get_a_token_between_the_pieces_of_a_long_prompt(family: str) -> None:
    model = tiny_models.model(family, seed=2)
    given = prompts([5, 11, 150])
    samplings = [Sampling(40), Sampling(40, 1.0, seed=3), Sampling(NEW, 1.0, seed=4)]
    wanted = alone(model, given, samplings)
    engine = engine_for(model, live=True)
    numbers = [engine.add(prompt, each) for prompt, each in zip(given[:2], samplings[:2], strict=True)]
    found: dict[int, list[Event]] = {}
    steps_without: int | None = None
    for turn in range(400):
        if turn == 3:
            numbers.append(engine.add(given[2], samplings[2]))
            steps_without = 0
        events = engine.step()
        for event in events:
            found.setdefault(event.request_id, []).append(event)
        running = any(len(found.get(number, ())) < 40 for number in numbers[:2])
        if steps_without is not None and running:
            steps_without = 0 if any(event.request_id in numbers[:2] for event in events) else steps_without + 1
            assert steps_without <= 1
        if numbers[-1] in found and turn > 3 and not engine.has_work:
            break
    pieces = -(-len(given[2]) // PIECE)
    # While the long prompt was read, those that ran said a token after every piece.
    assert pieces >= 9 and len(found[numbers[0]]) == 40
    for number, expected in zip(numbers, wanted, strict=True):
        same(found[number], expected)


def test_a_prompt_is_read_in_pieces_and_short_ones_share_a_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, computed = engine_for(tiny_models.model(), live=True), []
    run_tokens = engine._run

    def counted(ids: list[int], *rest: object) -> torch.Tensor:
        computed.append(len(ids))
        return run_tokens(ids, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "_run", counted)
    for length in (5, 6, 40, 3):
        engine.add([7] * length, Sampling(4))
    events_of(engine, list(range(4)))
    # 5 and 6 together, then a token each between the pieces of 40, whose last one has room for 3.
    assert computed[:7] == [11, 2, 16, 2, 16, 2, 11]


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2"])
def test_whatever_comes_and_goes_every_answer_is_that_of_an_undisturbed_run(family: str) -> None:
    model, draw = tiny_models.model(family, seed=2), random.Random(0)
    given = prompts([draw.choice([3, 8, 20, 70]) + draw.randrange(9) for _ in range(14)], shared=20)
    samplings = [Sampling(draw.randrange(1, NEW), temperature=index % 2, seed=index) for index in range(14)]
    wanted = alone(model, given, samplings)
    engine = engine_for(model, live=True, max_rows=5, kept_tokens=400, max_cache_tokens=600)
    waiting, owners, cancelled = list(range(14)), {}, set()
    found: dict[int, list[Event]] = {index: [] for index in range(14)}
    while waiting or engine.has_work:
        if waiting and draw.random() < 0.3:
            index = waiting.pop(0)
            owners[engine.add(given[index], samplings[index])] = index
        if owners and draw.random() < 0.05:
            number = draw.choice(list(owners))
            engine.cancel(number)
            cancelled.add(owners[number])
        for event in engine.step():
            found[owners[event.request_id]].append(event)
    assert engine.active == engine.queued == 0 and 0 < len(cancelled) < 8
    for index in range(14):
        if index in cancelled:
            assert tokens_of(found[index]) == tokens_of(wanted[index])[: len(found[index])]
        else:
            same(found[index], wanted[index])
    assert engine.prefix_cache.counts.hits > 0


def test_counts_say_who_is_worked_on_and_who_waits() -> None:
    engine = engine_for(tiny_models.model(), live=True, max_rows=2)
    numbers = [engine.add([7] * length, Sampling(3)) for length in (40, 5, 6)]
    assert (engine.active, engine.queued) == (0, 3)
    engine.step()
    assert (engine.active, engine.queued) == (1, 2)  # the first is partly read
    engine.cancel(numbers[0])
    assert (engine.active, engine.queued) == (0, 2)
    engine.step()
    assert (engine.active, engine.queued) == (2, 0)
    engine.clear()
    assert (engine.active, engine.queued, engine.has_work) == (0, 0, False)


def test_a_long_row_does_not_leave_the_cache_wide_for_those_who_come_later() -> None:
    engine = engine_for(tiny_models.model(), live=True)
    events_of(engine, [engine.add([7] * 200, Sampling(3))])
    assert engine.cache.store.shape[4] >= 200
    events_of(engine, [engine.add([8] * 10, Sampling(3))])
    assert engine.cache.store.shape[4] == 64


def test_rows_that_are_gone_do_not_make_a_long_ones_cache_as_many_times_larger() -> None:
    engine = engine_for(tiny_models.model(), live=True)
    events_of(engine, [engine.add([7] * 10, Sampling(50)) for _ in range(32)])
    assert engine.cache.store.shape[2] == 32
    events_of(engine, [engine.add([8] * 200, Sampling(3))])
    slots, capacity = engine.cache.store.shape[2], engine.cache.store.shape[4]
    assert slots == 1 and 200 < capacity <= 256


def test_a_cache_that_grows_keeps_the_slot_of_a_prompt_that_is_partly_read() -> None:
    model = tiny_models.model(seed=2)
    given, samplings = prompts([189, 100]), [Sampling(40), Sampling(NEW)]
    wanted = alone(model, given, samplings)
    engine = engine_for(model, live=True)
    found: dict[int, list[Event]] = {0: [], 1: []}
    engine.add(given[0], samplings[0])
    while not found[0]:
        found[0] += engine.step()
    engine.add(given[1], samplings[1])
    grew = False
    while engine.has_work:
        before = engine.cache.store.shape[4]
        for event in engine.step():
            found[event.request_id].append(event)
        grew = grew or (engine._reading is not None and engine.cache.store.shape[4] > before > 0)
    assert grew
    for number in (0, 1):
        same(found[number], wanted[number])
