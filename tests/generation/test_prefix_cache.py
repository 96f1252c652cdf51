"""What earlier prompts and answers have in common with a new one is copied, and nothing that is said changes by it."""

import pytest
import torch

from sartor.generation.engine import Engine
from sartor.generation.events import Event
from sartor.generation.prefix_cache import PrefixCache
from sartor.generation.protocol import Sampling
from tests import tiny_models
from tests.generation.engine_helpers import engine_for, events_of, prompts, same, tokens_of

NEW = 12


def states(tokens: int, value: float = 0.0) -> torch.Tensor:
    return torch.full((1, 2, 1, tokens, 1), value)


def test_the_longest_beginning_is_found_and_leaves_a_token_to_compute() -> None:
    cache = PrefixCache(1000)
    cache.keep(None, range(30), torch.arange(30.0).view(1, 1, 1, 30, 1))
    cache.keep(None, [*range(20), *range(100, 130)], states(50, 7.0))
    found = cache.find(None, [*range(25), 500, 501])
    assert found is not None and found.flatten().tolist() == list(range(25))
    whole = cache.find(None, list(range(30)))
    assert whole is not None and whole.shape[3] == 29
    assert cache.find(None, [500, *range(30)]) is None
    assert cache.find("adapter", list(range(40))) is None
    assert cache.find(None, list(range(15))) is None  # too few to be worth it
    counts = cache.counts
    assert (counts.prompts, counts.hits, counts.reused_tokens) == (5, 2, 54)


def test_what_was_not_used_for_the_longest_time_goes_and_memory_is_bounded() -> None:
    cache = PrefixCache(100)
    for first in (0, 1000, 2000):
        cache.keep(None, range(first, first + 30), states(30))
    assert cache.find(None, range(40)) is not None  # the oldest is used
    cache.keep(None, range(3000, 3030), states(30))
    assert cache.num_tokens == 90
    assert cache.find(None, range(1000, 1040)) is None
    assert cache.find(None, range(40)) is not None and cache.find(None, range(2000, 2040)) is not None
    cache.keep(None, range(5000, 5101), states(101))  # more than all there is room for
    assert cache.num_tokens == 90 and cache.find(None, range(5000, 5101)) is None


def test_one_that_goes_on_takes_the_place_of_its_beginning_and_nothing_is_kept_twice() -> None:
    cache = PrefixCache(1000)
    cache.keep(None, range(30), states(30))
    cache.keep(None, range(50), states(50))
    cache.keep(None, range(40), states(40))
    assert cache.num_tokens == 50
    cache.keep("adapter", range(50), states(50))
    assert cache.num_tokens == 100


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_conversation_that_goes_on_says_the_same_and_computes_only_what_is_new(
    family: str, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_models.model(family, seed=2)
    turns = prompts([21, 9, 14])
    engine, fresh = engine_for(model, live=True, kept_tokens=1000), engine_for(model)
    computed: list[int] = []
    run_tokens = engine._run

    def counted(ids: list[int], *rest: object) -> torch.Tensor:
        computed.append(len(ids))
        return run_tokens(ids, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "_run", counted)
    history: list[int] = []
    for number, turn in enumerate(turns):
        history += turn
        sampling = Sampling(NEW, temperature, seed=number)
        computed.clear()
        (got,) = events_of(engine, [engine.add(history, sampling)])
        (wanted,) = events_of(fresh, [fresh.add(history, sampling)])
        same(got, wanted)
        # The answer's last token was never run: nobody needed what follows it.
        assert computed[0] == len(turn) + (1 if number else 0)
        history += tokens_of(got)
    assert engine.prefix_cache.counts.hits == 2


def test_requests_that_begin_alike_profit_while_the_first_still_answers() -> None:
    model = tiny_models.model(seed=2)
    given = prompts([5, 7, 9, 4], shared=40)
    engine = engine_for(model, live=True, kept_tokens=1000)
    numbers = [engine.add(given[0], Sampling(30))]
    found: dict[int, list[Event]] = {}
    for _ in range(3):
        for event in engine.step():
            found.setdefault(event.request_id, []).append(event)
    numbers += [engine.add(prompt, Sampling(NEW)) for prompt in given[1:]]
    while engine.has_work:
        for event in engine.step():
            found.setdefault(event.request_id, []).append(event)
    fresh = engine_for(model)
    assert engine.prefix_cache.counts.reused_tokens >= 3 * 40
    for number, prompt in zip(numbers[1:], given[1:], strict=True):
        same(found[number], events_of(fresh, [fresh.add(prompt, Sampling(NEW))])[0])


def test_scored_prompts_are_computed_and_right_although_their_beginning_is_kept() -> None:
    model = tiny_models.model(seed=2)
    prompt = prompts([40])[0]
    engine = engine_for(model, live=True, kept_tokens=1000)
    events_of(engine, [engine.add(prompt, Sampling(3))])
    (again,) = events_of(engine, [engine.add(prompt, Sampling(0), prompt_log_probs=1)])
    fresh = engine_for(model)
    (wanted,) = events_of(fresh, [fresh.add(prompt, Sampling(0), prompt_log_probs=1)])
    assert again[0].prompt is not None and wanted[0].prompt is not None
    assert again[0].prompt.log_probs[1:] == pytest.approx(wanted[0].prompt.log_probs[1:], abs=1e-5)


@pytest.mark.parametrize("forget", [lambda engine: engine.share(()), Engine.clear])
def test_what_is_kept_is_forgotten_when_the_weights_change(forget: object) -> None:
    model = tiny_models.model(seed=2)
    prompt = prompts([40])[0]
    engine = engine_for(model, live=True, kept_tokens=1000)
    events_of(engine, [engine.add(prompt, Sampling(3))])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.1)
    forget(engine)  # type: ignore[operator]
    assert engine.prefix_cache.num_tokens == 0
    (got,) = events_of(engine, [engine.add(prompt, Sampling(NEW))])
    fresh = engine_for(model)
    same(got, events_of(fresh, [fresh.add(prompt, Sampling(NEW))])[0])


def test_batches_keep_nothing() -> None:
    engine = engine_for(tiny_models.model(), kept_tokens=1000)
    events_of(engine, [engine.add([7] * 40, Sampling(3))])
    engine.live = True
    engine.share([7] * 20)
    events_of(engine, [engine.add([7] * 40, Sampling(3))])
    assert engine.prefix_cache.num_tokens == 0 and engine.prefix_cache.counts.prompts == 0
