"""Penalties, bias, constraints and scores of prompts in the engine, against what the definitions say."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sartor.base.errors import DataError, SartorError
from sartor.data.chat import Rendered
from sartor.generation.events import NO_TOKEN
from sartor.generation.protocol import Sampling
from sartor.train.likelihood import row_losses
from tests import tiny_models
from tests.generation.engine_helpers import engine_for, events_of, next_logits, prompts, same, tokens_of

NEW = 12


def greedy_by_definition(
    model: torch.nn.Module, prompt: list[int], frequency: float, presence: float, bias: dict[int, float]
) -> tuple[list[int], list[float]]:
    """Greedy decoding, each token from a forward pass of its own, with OpenAI's definition of the penalties."""
    tokens: list[int] = []
    log_probs: list[float] = []
    for _ in range(NEW):
        logits = next_logits(model, prompt + tokens)[-1].double()
        for token in set(tokens):
            logits[token] -= frequency * tokens.count(token) + presence
        for token, value in bias.items():
            logits[token] += value
        exact = torch.log_softmax(logits, -1)
        tokens.append(int(exact.argmax()))
        log_probs.append(float(exact.max()))
    return tokens, log_probs


@pytest.mark.parametrize(
    "frequency, presence, bias",
    [(0.5, 0.0, {}), (0.0, 2.0, {}), (-1.0, 0.5, {}), (0.0, 0.0, {17: 0.7, 20: -100.0}), (0.3, 0.2, {300: 1.0})],
)
def test_penalties_and_bias_do_what_their_definition_says_and_plain_neighbours_do_not_notice(
    frequency: float, presence: float, bias: dict[int, float]
) -> None:
    model = tiny_models.model(seed=2)
    given = prompts([5, 9])
    plain = events_of(engine := engine_for(model), [engine.add(given[1], Sampling(NEW))])[0]
    wanted = greedy_by_definition(model, given[0], frequency, presence, bias)
    sampling = Sampling(NEW, frequency_penalty=frequency, presence_penalty=presence, logit_bias=tuple(bias.items()))
    changed, beside = events_of(engine, [engine.add(given[0], sampling), engine.add(given[1], Sampling(NEW))])
    assert tokens_of(changed) == wanted[0]
    assert [event.log_prob for event in changed] == pytest.approx(wanted[1], abs=1e-4)
    same(beside, plain)
    unchanged = greedy_by_definition(model, given[0], 0, 0, {})
    assert wanted != unchanged


def test_penalties_change_which_tokens_come() -> None:
    engine = engine_for(tiny_models.model(seed=2))
    prompt = prompts([5])[0]
    free, penalised = events_of(
        engine, [engine.add(prompt, Sampling(40)), engine.add(prompt, Sampling(40, presence_penalty=2.0))]
    )
    assert len(set(tokens_of(penalised))) > len(set(tokens_of(free)))


def test_a_bias_of_an_unknown_token_is_refused() -> None:
    with pytest.raises(DataError, match="no token 400"):
        engine_for(tiny_models.model()).add([5], Sampling(2, logit_bias=((400, 1.0),)))


class OneOf:
    """Answers that are one of given sequences of tokens; a vocabulary shorter than the model's."""

    def __init__(self, sequences: list[list[int]], stop_id: int, size: int = 390):
        self.sequences, self.stop_id, self.size = sequences, stop_id, size
        self.said: list[int] = []

    @property
    def finished(self) -> bool:
        return self._left() == [[]]

    def _left(self) -> list[list[int]]:
        done = len(self.said)
        return [each[done:] for each in self.sequences if each[:done] == self.said]

    def allowed(self) -> NDArray[np.bool_]:
        mask = np.zeros(self.size, dtype=bool)
        for left in self._left():
            mask[left[0] if left else self.stop_id] = True
        return mask

    def accept(self, token_id: int) -> None:
        assert self.allowed()[token_id]
        self.said.append(token_id)


SEQUENCES = [[31, 32, 33], [31, 40], [31, 40, 41], [50]]


def test_constrained_answers_keep_to_the_constraint_and_are_sampled_from_what_it_leaves() -> None:
    model = tiny_models.model(seed=2)
    prompt, stop = prompts([6])[0], 12
    engine = engine_for(model, {stop}, max_cache_tokens=10**6)
    count = 600
    samplings = [Sampling(NEW, 1.0, seed=seed, top_log_probs=4) for seed in range(count)]
    numbers = engine.add_group(prompt, samplings, [OneOf(SEQUENCES, stop) for _ in samplings])
    answers = events_of(engine, numbers)
    first = torch.log_softmax(next_logits(model, prompt)[-1][[31, 50]], -1)
    said = [tokens_of(events) for events in answers]
    assert {tuple(tokens) for tokens in said} == {(31, 32, 33), (31, 40, stop), (31, 40, 41), (50,)}
    assert all(events[-1].finish == "stop" and events[-1].error is None for events in answers)
    share = sum(tokens[0] == 50 for tokens in said) / count
    assert abs(share - float(first[1].exp())) < 4 * (0.25 / count) ** 0.5
    for events in answers[:10]:
        assert events[0].log_prob == pytest.approx(float(first[int(events[0].token_id == 50)]), abs=1e-4)
        assert {token for token, _ in events[0].top} == {31, 50}


def test_free_rows_beside_constrained_ones_say_what_they_say_alone() -> None:
    engine = engine_for(tiny_models.model(seed=2))
    given = prompts([6, 9])
    (alone,) = events_of(engine, [engine.add(given[1], Sampling(NEW))])
    _, beside = events_of(
        engine, [engine.add(given[0], Sampling(NEW), OneOf(SEQUENCES, 12)), engine.add(given[1], Sampling(NEW))]
    )
    same(beside, alone)


class Failing(OneOf):
    def accept(self, token_id: int) -> None:
        raise RuntimeError("no such state")


class TooLarge(OneOf):
    def allowed(self) -> NDArray[np.bool_]:
        raise SartorError("the constraint became too large")


class Nothing(OneOf):
    def allowed(self) -> NDArray[np.bool_]:
        return np.zeros(self.size, dtype=bool)


@pytest.mark.parametrize("kind", [Failing, TooLarge, Nothing])
def test_a_constraint_that_fails_ends_its_own_answer_only(kind: type[OneOf]) -> None:
    engine = engine_for(tiny_models.model(seed=2))
    given = prompts([6, 9])
    (alone,) = events_of(engine, [engine.add(given[1], Sampling(NEW))])
    failed, beside = events_of(
        engine, [engine.add(given[0], Sampling(NEW), kind(SEQUENCES, 12)), engine.add(given[1], Sampling(NEW))]
    )
    same(beside, alone)
    (event,) = failed
    assert (event.finish, event.token_id) == ("error", NO_TOKEN) and "constrain" in str(event.error)


# --- scores of prompts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
@pytest.mark.parametrize("live", [False, True])
def test_scores_of_a_prompt_are_those_of_training_and_of_transformers(
    family: str, live: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sartor.generation.engine.PIECE_TOKENS", 7)  # the live engine reads in pieces
    monkeypatch.setattr("sartor.generation.prompt_scores.LOGITS_AT_ONCE", 5 * tiny_models.VOCABULARY)
    model = tiny_models.model(family, seed=2)
    given = prompts([30, 3, 1, 18])
    exact = [torch.log_softmax(next_logits(model, prompt), -1) for prompt in given]
    engine = engine_for(model, live=live)
    numbers = [
        engine.add(prompt, Sampling(0 if index % 2 else 3), prompt_log_probs=4) for index, prompt in enumerate(given)
    ]
    for index, events in enumerate(events_of(engine, numbers)):
        prompt, scores = given[index], events[0].prompt
        assert scores is not None and all(event.prompt is None for event in events[1:])
        assert len(events) == (1 if index % 2 else 3) and events[-1].finish == "length"
        assert (events[0].token_id == NO_TOKEN) == (index % 2 == 1)
        assert scores.log_probs[0] is None and scores.top[0] == () and len(scores.top) == len(prompt)
        rows = [Rendered(prompt, [False] + [True] * (len(prompt) - 1))]
        total = sum(value for value in scores.log_probs if value is not None)
        assert total == pytest.approx(-row_losses(model, rows, 256)[0] if len(prompt) > 1 else 0, abs=1e-3)
        for place in range(1, len(prompt)):
            assert scores.log_probs[place] == pytest.approx(float(exact[index][place - 1, prompt[place]]), abs=1e-3)
            wanted = exact[index][place - 1].topk(4)
            assert [value for _, value in scores.top[place]] == pytest.approx(wanted.values.tolist(), abs=1e-3)
            assert {token for token, _ in scores.top[place]} == set(wanted.indices.tolist())


def test_each_answer_of_a_group_gets_the_scores_and_they_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, scored = engine_for(tiny_models.model(), max_rows=2), []
    from sartor.generation.prompt_scores import PromptScoring

    add = PromptScoring.add
    monkeypatch.setattr(PromptScoring, "add", lambda self, *rest: (scored.append(1), add(self, *rest))[1])
    prompt = prompts([9])[0]
    numbers = engine.add_group(prompt, [Sampling(2)] * 5, prompt_log_probs=0)
    found = events_of(engine, numbers)
    assert len(scored) == 1
    assert len({events[0].prompt for events in found}) == 1 and found[0][0].prompt is not None
    assert set(found[0][0].prompt.top) == {()}


def test_what_cannot_be_scored_is_refused() -> None:
    engine = engine_for(tiny_models.model())
    with pytest.raises(DataError, match="no tokens"):
        engine.add([5, 6], Sampling(0))
    with pytest.raises(DataError, match="empty"):
        engine.add([], Sampling(1))
    engine.share([5] * 9)
    with pytest.raises(DataError, match="shared prefix"):
        engine.add([5] * 12, Sampling(0), prompt_log_probs=1)
