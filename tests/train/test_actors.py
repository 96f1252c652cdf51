"""The roles of one model: each says what a model with its adapter alone would say, and as learning will compute it."""

import pytest
import torch

from sartor.adapters.lora import LoraSettings, add_lora
from sartor.adapters.roles import acting, role_layers
from sartor.data.packing import Batch, pack
from sartor.generation.protocol import Sampling
from sartor.models.forward import use_packed_attention
from sartor.train.actors import POLICY, REFERENCE, VALUE, Actors, without_dropout
from sartor.train.episodes import answer_row
from sartor.train.log_probs import batch_log_probs
from sartor.train.row_scores import token_values
from tests import tiny_models
from tests.train import rollout_world as world


def batch(seed: int = 0) -> Batch:
    return pack(tiny_models.rows([9, 14, 5], shared=12, seed=seed))


def alone(made: Actors, role: str) -> torch.nn.Module:
    """Another model that has only the role's adapter, in training mode."""
    model = use_packed_attention(tiny_models.model())
    own = add_lora(model, LoraSettings(rank=3))
    for layer, copied in zip(own.values(), role_layers(made.model, role).values(), strict=True):
        layer.lora_A.data, layer.lora_B.data = copied.lora_A.data.clone(), copied.lora_B.data.clone()
    return model.train()


def test_the_policy_is_a_model_with_its_adapter_and_the_reference_is_the_base() -> None:
    made = world.actors(world.model(dropout=0.3), temperature=0.7)
    with torch.no_grad():
        assert torch.equal(made.policy_log_probs(batch()), batch_log_probs(alone(made, POLICY), batch(), 0.7))
        base = use_packed_attention(tiny_models.model()).train()
        assert torch.equal(made.reference_log_probs(batch()), batch_log_probs(base, batch(), 0.7))
        values = made.values(batch())
        assert torch.equal(values, token_values(alone(made, VALUE), made.value_head, batch()))  # type: ignore[arg-type]
    assert not torch.equal(made.policy_log_probs(batch()), made.reference_log_probs(batch()))


def test_the_reference_may_be_an_adapter() -> None:
    model = world.model(roles=(POLICY, VALUE, REFERENCE))
    made = world.actors(model, reference=REFERENCE)
    expected = batch_log_probs(alone(made, REFERENCE), batch(), 0.9).detach()
    assert torch.equal(made.reference_log_probs(batch()), expected)


def test_at_the_start_the_policy_is_the_reference() -> None:
    made = world.actors(world.model(spread=0.0))
    assert torch.equal(made.policy_log_probs(batch()), made.reference_log_probs(batch()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_old_log_probs_are_the_very_numbers_of_the_first_update(dtype: torch.dtype) -> None:
    made = world.actors(world.model(dtype=dtype))
    old, values = made.policy_log_probs(batch()), made.values(batch())
    made.act(POLICY)
    new = batch_log_probs(made.model, batch(), made.temperature)
    assert new.requires_grad and torch.equal(old, new.detach())
    made.act(VALUE)
    assert made.value_head is not None
    assert torch.equal(values, token_values(made.model, made.value_head, batch()).detach())


def test_dropout_is_off_where_it_would_be_noise_and_on_in_learning() -> None:
    made = world.actors(world.model(dropout=0.5))
    assert torch.equal(made.policy_log_probs(batch()), made.policy_log_probs(batch()))
    assert torch.equal(made.values(batch()), made.values(batch()))
    made.act(POLICY)
    torch.manual_seed(0)
    assert not torch.equal(batch_log_probs(made.model, batch()).detach(), batch_log_probs(made.model, batch()).detach())


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_and_the_acting_role_are_left_as_they_were(training: bool) -> None:
    made = world.actors(world.model(dropout=0.5).train(training))
    before = [module.training for module in made.model.modules()]
    made.act(VALUE)
    made.policy_log_probs(batch())
    made.reference_log_probs(batch())
    made.sample([batch().ids[:12].tolist()], [[Sampling(max_new_tokens=3, temperature=0.9, seed=1)]])
    with pytest.raises(ZeroDivisionError), without_dropout(made.model):
        raise ZeroDivisionError
    assert [module.training for module in made.model.modules()] == before
    values = made.values(batch())
    with without_dropout(made.model), torch.no_grad():  # VALUE acts still
        assert torch.equal(token_values(made.model, made.value_head, batch()), values)  # type: ignore[arg-type]


def test_what_is_sampled_is_what_the_trainer_computes() -> None:
    made = world.actors(world.model(dropout=0.5))
    prompts = [each.ids for each in world.asked(3)]
    samplings = [[Sampling(max_new_tokens=9, temperature=0.9, seed=10 * p + n) for n in range(4)] for p in range(3)]
    groups = made.sample(prompts, samplings)
    assert [len(group) for group in groups] == [4, 4, 4]
    rows = [
        answer_row([*prompt, *answer.token_ids], len(answer.token_ids), "")
        for prompt, group in zip(prompts, groups, strict=True)
        for answer in group
    ]
    sampled = torch.tensor([value for group in groups for answer in group for value in answer.log_probs])
    torch.testing.assert_close(sampled, made.policy_log_probs(pack(rows)), rtol=1e-4, atol=1e-4)
    with acting(made.model, POLICY):
        assert made.sample(prompts, samplings) == groups


def test_without_a_value_function_there_are_no_values() -> None:
    with pytest.raises(AssertionError, match="no value function"):
        world.actors(world.model(), with_value=False).values(batch())
