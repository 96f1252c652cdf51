"""Groups of answers: in order, with the log-probabilities that training computes, by the weights of the moment."""

import pytest
import torch

from sartor.adapters.lora import LoraSettings, add_lora, lora_layers
from sartor.base.errors import DataError
from sartor.data.chat import Rendered
from sartor.data.packing import pack
from sartor.generation.engine import Engine
from sartor.generation.groups import Answer, answer_groups
from sartor.generation.protocol import Sampling
from sartor.models.forward import use_packed_attention
from sartor.train.log_probs import batch_log_probs
from tests import tiny_models

NEW = 10


def prompts(shared: int = 11) -> list[list[int]]:
    return [row.ids for row in tiny_models.rows([4, 19, 7], shared)]


def samplings(temperature: float = 1.0, count: int = 4) -> list[list[Sampling]]:
    return [[Sampling(NEW, temperature, seed=10 * index + seed) for seed in range(count)] for index in range(3)]


def engine_for(model: torch.nn.Module, stop_ids: set[int] = frozenset(), **room: int) -> Engine:  # type: ignore[assignment]
    return Engine(use_packed_attention(model), lambda ids: "", stop_ids, 256, **room)


def trained_log_probs(model: torch.nn.Module, groups: list[list[Answer]], temperature: float) -> torch.Tensor:
    """What training says of the answers' tokens, all rows packed."""
    rows = [
        Rendered(prompt + answer.token_ids, [False] * len(prompt) + [True] * len(answer.token_ids))
        for prompt, group in zip(prompts(), groups, strict=True)
        for answer in group
    ]
    return batch_log_probs(model, pack(rows), temperature).detach()


def sampled_log_probs(groups: list[list[Answer]]) -> torch.Tensor:
    return torch.tensor([each for group in groups for answer in group for each in answer.log_probs])


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probs_are_those_that_training_computes(family: str, temperature: float) -> None:
    model = tiny_models.model(family, seed=2)
    groups = answer_groups(engine_for(model, max_rows=5), prompts(), samplings(temperature))
    torch.testing.assert_close(
        sampled_log_probs(groups), trained_log_probs(model, groups, temperature), rtol=0, atol=1e-4
    )


def test_answers_stand_in_order_and_say_whether_they_ended() -> None:
    model = tiny_models.model(seed=2)
    whole = answer_groups(engine_for(model), prompts(), samplings())
    assert not any(answer.finished for group in whole for answer in group)
    end = whole[1][2].token_ids[4]
    engine = engine_for(model, {end}, max_rows=3)
    for group, all_group in zip(answer_groups(engine, prompts(), samplings()), whole, strict=True):
        for answer, all_of_it in zip(group, all_group, strict=True):
            length = all_of_it.token_ids.index(end) + 1 if end in all_of_it.token_ids else NEW
            assert answer.token_ids == all_of_it.token_ids[:length]
            assert answer.finished == (end in all_of_it.token_ids)
            assert len(answer.log_probs) == length


def test_weights_are_those_of_the_moment() -> None:
    model = tiny_models.model(seed=2)
    add_lora(model, LoraSettings(4, 8.0))
    engine = engine_for(model)
    before = answer_groups(engine, prompts(), samplings())
    with torch.no_grad():
        for layer in lora_layers(model).values():
            layer.lora_B.normal_(std=0.3, generator=torch.Generator().manual_seed(0))
    after = answer_groups(engine, prompts(), samplings())
    assert before[0][0].log_probs[0] != pytest.approx(after[0][0].log_probs[0], abs=1e-3)
    torch.testing.assert_close(sampled_log_probs(after), trained_log_probs(model, after, 1.0), rtol=0, atol=1e-4)


def test_the_engine_is_idle_and_empty_afterwards_and_the_model_as_it_was() -> None:
    model = tiny_models.model(seed=2)
    engine = engine_for(model)
    model.train()
    answer_groups(engine, prompts(), samplings())
    assert not engine.has_work and engine.cache.store.numel() == 0 and model.training
    too_long = [*prompts(), [5] * 250]
    with pytest.raises(DataError, match="the model reads 256"):
        answer_groups(engine, too_long, [*samplings(), [Sampling(NEW)]])
    assert not engine.has_work and engine.cache.store.numel() == 0 and model.training
    assert answer_groups(engine, [], []) == []
    assert answer_groups(engine, prompts(), [[], [Sampling(1)], []])[1][0].token_ids
