"""The engine says what the model says: token for token as transformers' own generate, whatever runs beside it."""

import random

import pytest
import torch
from transformers import DynamicCache

from sartor.base.errors import DataError, UsageError
from sartor.generation.engine import Engine
from sartor.generation.protocol import Sampling
from sartor.models.forward import use_packed_attention
from tests import odd_models, tiny_models

NEW = 12


def prompts(lengths: list[int], shared: int = 0, seed: int = 0) -> list[list[int]]:
    return [row.ids for row in tiny_models.rows(lengths, shared, seed)]


def expected_tokens(model: torch.nn.Module, prompt: list[int], count: int) -> tuple[list[int], list[float]]:
    """Greedy decoding with transformers' eager attention and its own cache."""
    model.set_attn_implementation("eager")
    ids, cache = torch.tensor([prompt]), DynamicCache(config=model.config)
    tokens, log_probs = [], []
    with torch.no_grad():
        for _ in range(count):
            output = model(input_ids=ids, past_key_values=cache, use_cache=True)
            row = torch.log_softmax(output.logits[0, -1], -1)
            tokens.append(int(row.argmax()))
            log_probs.append(float(row.max()))
            ids = torch.tensor([[tokens[-1]]])
    use_packed_attention(model)
    return tokens, log_probs


def collect(engine: Engine, numbers: list[int]) -> list[tuple[list[int], list[float]]]:
    """Step to the end: tokens and log-probabilities of the requests, in order."""
    found: dict[int, tuple[list[int], list[float]]] = {number: ([], []) for number in numbers}
    while engine.has_work:
        for event in engine.step():
            found[event.request_id][0].append(event.token_id)
            found[event.request_id][1].append(event.log_prob)
    return [found[number] for number in numbers]


def engine_for(model: torch.nn.Module, stop_ids: set[int] = frozenset(), **settings: int) -> Engine:  # type: ignore[assignment]
    return Engine(use_packed_attention(model), tiny_models.tokenizer().decode, stop_ids, 256, **settings)


def run(
    engine: Engine, given: list[list[int]], sampling: Sampling | list[Sampling]
) -> list[tuple[list[int], list[float]]]:
    samplings = sampling if isinstance(sampling, list) else [sampling] * len(given)
    return collect(engine, [engine.add(prompt, each) for prompt, each in zip(given, samplings, strict=True)])


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
@pytest.mark.parametrize("shared", [0, 11])
def test_greedy_tokens_and_log_probs_equal_transformers(family: str, shared: int) -> None:
    model = tiny_models.model(family, seed=2)
    given = prompts([3, 17, 8, 8, 30], shared)
    expected = [expected_tokens(model, prompt, NEW) for prompt in given]
    engine = engine_for(model, max_rows=3)  # fewer places than prompts: rows wait, retire and make room
    engine.share(given[0][:shared])
    for (tokens, log_probs), (want_tokens, want_log_probs) in zip(
        run(engine, given, Sampling(NEW)), expected, strict=True
    ):
        assert tokens == want_tokens
        torch.testing.assert_close(torch.tensor(log_probs), torch.tensor(want_log_probs), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["gemma3", "gemma4", "gemma4_text", "gpt_bigcode", "deepseek_v3", "exaone4"])
@pytest.mark.parametrize("shared", [0, 11])
@pytest.mark.parametrize("live", [False, True])
def test_keys_and_values_of_every_size_are_kept(kind: str, shared: int, live: bool) -> None:
    """Layers that differ, one key head for all queries, values narrower than keys."""
    model = odd_models.model(kind)
    given = prompts([3, 17, 8, 30], shared)
    expected = []
    for prompt in given:
        said = list(prompt)
        for _ in range(6):
            with torch.no_grad():
                said.append(int(model(input_ids=torch.tensor([said]), use_cache=False).logits[0, -1].argmax()))
        expected.append(said[len(prompt) :])
    engine = engine_for(model, max_rows=3, live=live)
    engine.share(given[0][:shared])
    assert [tokens for tokens, _ in run(engine, given, Sampling(6))] == expected


@pytest.mark.parametrize("kind", ["doge", "stablelm"])
def test_a_model_that_cannot_be_computed_is_refused_when_it_is_opened(kind: str) -> None:
    with pytest.raises(UsageError, match="cannot be computed here"):
        engine_for(odd_models.model(kind))


def test_rows_leave_at_the_end_token_and_others_go_on() -> None:
    model = tiny_models.model(seed=2)
    given = prompts([5, 9, 14])
    whole = run(engine_for(model), given, Sampling(NEW))
    end = whole[1][0][4]
    engine = engine_for(model, {end})
    for (tokens, _), (all_tokens, _) in zip(run(engine, given, Sampling(NEW)), whole, strict=True):
        cut = all_tokens.index(end) + 1 if end in all_tokens else NEW
        assert tokens == all_tokens[:cut]


def test_what_a_row_samples_does_not_depend_on_its_neighbours() -> None:
    model = tiny_models.model(seed=2)
    given = prompts([5, 9, 14, 6])
    samplings = [Sampling(NEW, temperature=1.0, seed=seed) for seed in range(3)] + [Sampling(NEW)]
    together = run(engine_for(model), given, samplings)
    alone = [run(engine_for(model), [prompt], [each])[0] for prompt, each in zip(given, samplings, strict=True)]
    assert [tokens for tokens, _ in together] == [tokens for tokens, _ in alone]


def test_samples_follow_the_models_distribution() -> None:
    """2,000 first tokens against the exact probabilities, by a chi-squared statistic."""
    model = tiny_models.model(seed=2)
    prompt = prompts([6])[0]
    temperature = 0.5
    with torch.no_grad():
        model.set_attn_implementation("eager")
        logits = model(input_ids=torch.tensor([prompt])).logits[0, -1]
    exact = torch.softmax(logits / temperature, -1)
    count = 2000
    samplings = [Sampling(1, temperature, seed=seed) for seed in range(count)]
    drawn = run(engine_for(model, max_cache_tokens=10**6), [prompt] * count, samplings)
    top = exact.topk(8)
    tokens = torch.tensor([tokens[0] for tokens, _ in drawn])
    seen = torch.tensor([int((tokens == token).sum()) for token in top.indices])
    wanted = top.values * count
    chi_squared = float(((seen - wanted) ** 2 / wanted).sum())
    assert chi_squared < 26.1  # 0.999 quantile with 8 degrees of freedom
    for each, log_probs in ((tokens[0], log_probs) for tokens, log_probs in drawn[:20]):
        assert log_probs[0] == pytest.approx(float(exact[each].log()), abs=1e-4)


def test_top_p_keeps_the_fewest_likeliest_tokens() -> None:
    model = tiny_models.model(seed=2)
    prompt = prompts([6])[0]
    with torch.no_grad():
        model.set_attn_implementation("eager")
        exact = torch.softmax(model(input_ids=torch.tensor([prompt])).logits[0, -1], -1)
    ordered = exact.sort(descending=True)
    kept = int((ordered.values.cumsum(0) - ordered.values < 0.3).sum())
    samplings = [Sampling(1, 1.0, top_p=0.3, seed=seed) for seed in range(300)]
    drawn = {tokens[0] for tokens, _ in run(engine_for(model, max_cache_tokens=10**6), [prompt] * 300, samplings)}
    assert drawn <= set(ordered.indices[:kept].tolist())
    assert len(drawn) > kept / 3


def test_cancelled_rows_leave_and_the_others_are_untouched() -> None:
    model = tiny_models.model(seed=2)
    given = prompts([5, 9, 14, 7])
    whole = run(engine_for(model), given, Sampling(NEW))
    engine = engine_for(model)
    numbers = [engine.add(prompt, Sampling(NEW)) for prompt in given]
    tokens: dict[int, list[int]] = {number: [] for number in numbers}
    for turn in range(100):
        if turn == 3:
            engine.cancel(numbers[0])
        for event in engine.step():
            tokens[event.request_id].append(event.token_id)
    assert not engine.has_work
    assert [tokens[number] for number in numbers[1:]] == [row for row, _ in whole[1:]]
    assert len(tokens[numbers[0]]) < NEW


def test_prompts_that_do_not_fit_are_refused() -> None:
    engine = engine_for(tiny_models.model())
    with pytest.raises(DataError, match="the model reads 256"):
        engine.add([5] * 250, Sampling(7))
    engine.add([5] * 249, Sampling(7))


def test_rows_arrive_while_others_are_under_way() -> None:
    model = tiny_models.model(seed=2)
    draw = random.Random(0)
    given = prompts([draw.randrange(2, 40) for _ in range(12)])
    whole = run(engine_for(model), given, Sampling(NEW))
    engine = engine_for(model, max_rows=4)
    waiting, tokens = list(enumerate(given)), {}
    owner: dict[int, int] = {}
    while waiting or engine.has_work:
        if waiting and draw.random() < 0.4:
            index, prompt = waiting.pop(0)
            owner[engine.add(prompt, Sampling(NEW))] = index
        for event in engine.step():
            tokens.setdefault(owner[event.request_id], []).append(event.token_id)
    assert [tokens[index] for index in range(len(given))] == [row for row, _ in whole]


GROUPS = (3, 1, 5, 4)  # answers to each prompt


def group_samplings(groups: tuple[int, ...] = GROUPS) -> list[list[Sampling]]:
    """Answers of unequal lengths, most of them sampled."""
    return [
        [Sampling(NEW - seed % 3, temperature=(seed + index) % 4 / 2, seed=100 * index + seed) for seed in range(count)]
        for index, count in enumerate(groups)
    ]


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2"])
@pytest.mark.parametrize("shared", [0, 11])
@pytest.mark.parametrize("room", [{}, {"max_rows": 2}, {"max_cache_tokens": 120}])
def test_a_group_says_what_its_members_say_one_by_one(family: str, shared: int, room: dict[str, int]) -> None:
    model = tiny_models.model(family, seed=2)
    given, samplings = prompts([5, 17, 8, 30], shared), group_samplings()
    pairs = list(zip(given, samplings, strict=True))
    alone = [run(engine_for(model), [prompt], [each])[0] for prompt, group in pairs for each in group]
    engine = engine_for(model, **room)  # room for fewer than a group: the rest of it waits and starts later
    engine.share(given[0][:shared])
    numbers = [number for prompt, group in pairs for number in engine.add_group(prompt, group)]
    for (tokens, log_probs), (want_tokens, want_log_probs) in zip(collect(engine, numbers), alone, strict=True):
        assert tokens == want_tokens
        torch.testing.assert_close(torch.tensor(log_probs), torch.tensor(want_log_probs), rtol=1e-4, atol=1e-4)


def test_a_group_computes_its_prompt_once_and_keeps_to_the_room_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, computed = engine_for(tiny_models.model(), max_rows=4), []
    run_tokens = engine._run

    def counted(ids: list[int], *rest: object) -> torch.Tensor:
        computed.append(len(ids))
        return run_tokens(ids, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "_run", counted)
    engine.add_group([7] * 40, [Sampling(1, 1.0, seed=seed) for seed in range(4)])
    assert len({event.token_id for event in engine.step()}) > 1  # each draws its own first token
    engine.add_group([7] * 40, [Sampling(2)] * 6)
    collect_all = [len(engine.step()) for _ in range(4)]
    assert not engine.has_work
    assert computed == [40, 40, 4, 40, 2] and collect_all == [4, 4, 2, 2]


def test_one_of_a_group_can_be_cancelled_while_it_waits_or_runs() -> None:
    model = tiny_models.model(seed=2)
    prompt, samplings = prompts([9])[0], [Sampling(NEW, 1.0, seed=seed) for seed in range(6)]
    whole = run(engine_for(model), [prompt] * 6, samplings)
    engine = engine_for(model, max_rows=4)
    numbers = engine.add_group(prompt, samplings)
    engine.cancel(numbers[1])
    engine.cancel(numbers[5])
    tokens: dict[int, list[int]] = {number: [] for number in numbers}
    for turn in range(3 * NEW):
        if turn == 3:
            engine.cancel(numbers[0])
        for event in engine.step():
            tokens[event.request_id].append(event.token_id)
    assert not engine.has_work
    assert tokens[numbers[1]] == tokens[numbers[5]] == []
    assert tokens[numbers[0]] == whole[0][0][:3]
    assert [tokens[numbers[place]] for place in (2, 3, 4)] == [whole[place][0] for place in (2, 3, 4)]
