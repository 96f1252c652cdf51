"""What the server relies on, of every engine that is installed."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from sartor.base.errors import DataError
from sartor.generation.engine import Engine
from sartor.generation.events import Event
from sartor.generation.llama_context import library
from sartor.generation.llama_engine import LlamaEngine
from sartor.generation.local import LocalModel
from sartor.generation.protocol import Sampling
from sartor.models.hub import locate
from sartor.recipes.exported import exported_gguf
from tests import tiny_folders

MAX_ROWS = 4
TOLERANCE = {"sartor": 1e-4, "llamacpp": 5e-3}  # llama.cpp keeps keys and values in 16 bits
MakeEngine = Callable[[], Any]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> LocalModel:
    folder = tiny_folders.language_model(tmp_path_factory.mktemp("engines") / "tiny")
    return LocalModel.open(locate(str(folder)), torch.float32)


@pytest.fixture(scope="module", params=["sartor", "llamacpp"])
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "llamacpp" and library is None:
        pytest.skip("llama-cpp-python is not installed (extra `llamacpp`)")
    return str(request.param)


@pytest.fixture(scope="module")
def gguf(local: LocalModel, kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path | None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SARTOR_CACHE", str(tmp_path_factory.mktemp("cache")))
        assert local.location is not None
        yield exported_gguf(local.location, "f32") if kind == "llamacpp" else None


@pytest.fixture
def engine(local: LocalModel, gguf: Path | None) -> Any:
    if gguf is not None:
        return LlamaEngine(gguf, local.chat.decode, local.chat.stop_ids, MAX_ROWS, threads=1)
    return Engine(local.model, local.chat.decode, local.chat.stop_ids, 4096, MAX_ROWS, live=True, kept_tokens=1000)


def ids(local: LocalModel, text: str) -> list[int]:
    return local.chat.prompt([{"role": "user", "content": text}])


def finish(engine: Any) -> dict[int, list[Event]]:
    found: dict[int, list[Event]] = {}
    while engine.has_work:
        for event in engine.step():
            found.setdefault(event.request_id, []).append(event)
    return found


def answer(engine: Any, prompt: Sequence[int], **settings: Any) -> list[Event]:
    (request,) = engine.add_group(prompt, [Sampling(**{"max_new_tokens": 12} | settings)])
    return finish(engine)[request]


def text(events: Sequence[Event]) -> str:
    return "".join(event.text for event in events)


def test_a_prompt_is_scored_as_the_model_itself_scores_it(engine: Any, local: LocalModel, kind: str) -> None:
    prompt = ids(local, "the cat sat on the mat and said nothing at all")
    assert local.location is not None
    reference = AutoModelForCausalLM.from_pretrained(local.location.folder, attn_implementation="eager")
    with torch.inference_mode():
        wanted = reference(torch.tensor([prompt])).logits[0].log_softmax(-1)
    (request,) = engine.add_group(prompt, [Sampling(max_new_tokens=0)], prompt_log_probs=3)
    (event,) = finish(engine)[request]
    assert event.finish == "length" and event.prompt is not None
    assert event.prompt.log_probs[0] is None and event.prompt.top[0] == ()
    for place in range(1, len(prompt)):
        expected = float(wanted[place - 1, prompt[place]])
        assert event.prompt.log_probs[place] == pytest.approx(expected, abs=TOLERANCE[kind])
        best = wanted[place - 1].topk(3).values.tolist()
        assert [value for _, value in event.prompt.top[place]] == pytest.approx(best, abs=TOLERANCE[kind])


def test_answers_do_not_depend_on_their_neighbours(engine: Any, local: LocalModel) -> None:
    prompts = [ids(local, "the cat " * count) for count in (1, 3, 2, 9, 5, 4)]
    samplings = [Sampling(max_new_tokens=8 + place, temperature=0.8, seed=place) for place in range(len(prompts))]
    alone = []
    for prompt, sampling in zip(prompts, samplings, strict=True):
        (request,) = engine.add_group(prompt, [sampling])
        alone.append([event.token_id for event in finish(engine)[request]])
    requests = [engine.add_group(prompt, [each])[0] for prompt, each in zip(prompts, samplings, strict=True)]
    assert engine.queued == len(prompts) and engine.active == 0
    together = finish(engine)
    assert [[event.token_id for event in together[request]] for request in requests] == alone
    assert engine.queued == engine.active == 0


def test_seeds_are_kept_and_differ(engine: Any, local: LocalModel) -> None:
    prompt = ids(local, "say")
    found = [text(answer(engine, prompt, temperature=1.0, seed=seed)) for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]


def test_a_group_says_what_its_answers_say_alone(engine: Any, local: LocalModel) -> None:
    prompt = ids(local, "the dog " * 5)
    samplings = [Sampling(max_new_tokens=6 + seed, temperature=1.0, seed=seed) for seed in range(MAX_ROWS + 2)]
    alone = []
    for sampling in samplings:
        (request,) = engine.add_group(prompt, [sampling])
        alone.append([event.token_id for event in finish(engine)[request]])
    group = engine.add_group(prompt, samplings)
    found = finish(engine)
    assert [[event.token_id for event in found[request]] for request in group] == alone


def test_what_ends_an_answer(engine: Any, local: LocalModel) -> None:
    prompt = ids(local, "on")
    whole = answer(engine, prompt, max_new_tokens=20)
    assert whole[-1].finish in ("length", "stop")
    shown = text(whole)
    stop = shown[4:6]
    cut = answer(engine, prompt, max_new_tokens=20, stop=(stop,))
    assert cut[-1].finish == "stop" and text(cut) == shown[: shown.index(stop)]
    assert [event.finish for event in answer(engine, prompt, max_new_tokens=2)] == [None, "length"]


def test_likeliest_tokens_and_biases(engine: Any, local: LocalModel) -> None:
    prompt = ids(local, "mat")
    (first, *_) = answer(engine, prompt, top_log_probs=3)
    assert len(first.top) == 3 and first.top[0][0] == first.token_id
    assert [value for _, value in first.top] == sorted((value for _, value in first.top), reverse=True)
    assert first.top[0][1] == pytest.approx(first.log_prob, abs=1e-5)
    (other, *_) = answer(engine, prompt, logit_bias=((first.top[2][0], 50.0),))
    assert other.token_id == first.top[2][0]


class Alternating:
    """Lets two tokens through, by turns."""

    finished = False

    def __init__(self, tokens: Sequence[int]):
        self.tokens, self.said = list(tokens), 0

    def allowed(self) -> np.ndarray:
        mask = np.zeros(400, dtype=bool)
        mask[self.tokens[self.said % 2]] = True
        return mask

    def accept(self, token_id: int) -> None:
        self.said += 1


def test_constraints_are_kept(engine: Any, local: LocalModel) -> None:
    pair = local.chat.tokenizer("ab", add_special_tokens=False).input_ids[:2]
    requests = engine.add_group(ids(local, "x"), [Sampling(max_new_tokens=5)] * 2, [Alternating(pair), None])
    found = finish(engine)
    expected = [pair[place % len(pair)] for place in range(5)]
    assert [event.token_id for event in found[requests[0]]] == expected
    assert [event.token_id for event in found[requests[1]]] != expected


def test_cancelling_makes_room_at_once(engine: Any, local: LocalModel) -> None:
    long = ids(local, "the cat " * 1000)  # so that reading it takes more than two steps
    running = engine.add_group(ids(local, "a"), [Sampling(max_new_tokens=50, seed=n) for n in range(2)])
    engine.step()
    reading = engine.add_group(long, [Sampling(max_new_tokens=50, temperature=1.0, seed=n) for n in range(2)])
    for _ in range(2):
        engine.step()
    waiting = engine.add_group(ids(local, "b"), [Sampling(max_new_tokens=50)])
    assert engine.active + engine.queued == 5
    engine.cancel(reading[0])  # the first of a group may go while its prompt is being read
    engine.cancel(running[1])
    engine.cancel(waiting[0])
    engine.cancel(10**6)
    found = finish(engine)
    assert set(found) == {running[0], reading[1]}
    (request,) = engine.add_group(long, [Sampling(max_new_tokens=50, temperature=1.0, seed=1)])
    again = [event.token_id for event in finish(engine)[request]]
    assert [event.token_id for event in found[reading[1]]] == again
    assert not engine.has_work and engine.active == engine.queued == 0


def test_a_long_prompt_does_not_hold_up_running_answers(engine: Any, local: LocalModel) -> None:
    (running,) = engine.add_group(ids(local, "a"), [Sampling(max_new_tokens=200, logit_bias=_no_end(local))])
    engine.step()
    (long,) = engine.add_group(ids(local, "the cat sat on the mat " * 330), [Sampling(max_new_tokens=2)])
    before, events = 0, engine.step()
    while not any(event.request_id == long for event in (events or [])):
        events = engine.step()
        before += sum(event.request_id == running for event in events)
    assert before >= 3, "it went on while the long prompt was read"


def _no_end(local: LocalModel) -> tuple[tuple[int, float], ...]:
    return tuple((token, -100.0) for token in local.chat.stop_ids)


def test_what_cannot_be_done_is_refused_and_leaves_nothing_behind(engine: Any, local: LocalModel) -> None:
    prompt = ids(local, "a")
    for wrong, settings in [
        ({"prompt": prompt}, {"max_new_tokens": 100_000}),
        ({"prompt": prompt, "adapter": "none"}, {}),
        ({"prompt": []}, {}),
        ({"prompt": prompt}, {"logit_bias": ((400_000, 1.0),)}),
        ({"prompt": prompt}, {"max_new_tokens": 0}),
    ]:
        with pytest.raises(DataError):
            engine.add_group(**wrong, samplings=[Sampling(**{"max_new_tokens": 5} | settings)])
    assert not engine.has_work
