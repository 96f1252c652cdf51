"""A reward is read at each row's last token and a value before each learnt one: packed as alone, cut as whole."""

import pytest
import torch
from torch import nn

from sartor.adapters.lora import LoraSettings, add_lora, lora_layers
from sartor.data.chat import Rendered
from sartor.data.packing import pack_groups
from sartor.data.pairs import Pair, PairBatch, pair_batches, scored
from sartor.models.forward import use_packed_attention
from sartor.models.scalar_head import ScalarHead
from sartor.train.objectives.reward import bradley_terry_loss
from sartor.train.row_scores import row_scores, token_values
from tests import tiny_models

LENGTHS = [(4, 9), (12, 1), (7, 8), (1, 1), (20, 15)]


def scorer(family: str = "llama") -> tuple[nn.Module, ScalarHead]:
    model = tiny_models.model(family)
    add_lora(model, LoraSettings(rank=4))
    torch.manual_seed(1)
    for layer in lora_layers(model).values():
        torch.nn.init.normal_(layer.lora_B, std=0.1)
    return model, ScalarHead(32)


def pairs() -> list[Pair]:
    made = []
    for number, (chosen, rejected) in enumerate(LENGTHS):
        prompt = tiny_models.rows([10 + number], seed=number)[0].ids
        rows = [
            Rendered(prompt + row.ids, [False] * len(prompt) + [True] * len(row.ids))
            for row in tiny_models.rows([chosen, rejected], seed=50 + number)
        ]
        made.append(Pair(rows[0], rows[1]))
    return made


def gradients(value: torch.Tensor, model: nn.Module, head: ScalarHead) -> list[torch.Tensor]:
    trained = [each for each in [*model.parameters(), *head.parameters()] if each.requires_grad]
    return list(torch.autograd.grad(value, trained))


def assert_same_gradients(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5 * float(other.abs().max()) + 1e-7)


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_rewards_and_values_are_those_of_rows_alone_with_transformers(family: str) -> None:
    model, head = scorer(family)
    sides = [row for pair in pairs() for row in (pair.chosen, pair.rejected)]
    model.set_attn_implementation("eager")
    states = [model.base_model(input_ids=torch.tensor([row.ids])).last_hidden_state[0] for row in sides]
    rewards = torch.stack([(own[-1] @ head.weight[0]) for own in states])
    values = torch.cat(
        [
            own[[place - 1 for place in range(1, len(row.ids)) if row.trained[place]]] @ head.weight[0]
            for own, row in zip(states, sides, strict=True)
        ]
    )
    weights = torch.linspace(0.5, 1.5, len(rewards)), torch.linspace(0.5, 1.5, len(values))
    use_packed_attention(model)
    found = row_scores(model, head, PairBatch.of([scored(pair) for pair in pairs()]).rows)
    found_values = token_values(model, head, pack_groups([(pair.chosen, pair.rejected) for pair in pairs()]))
    torch.testing.assert_close(found, rewards, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found_values, values, rtol=1e-4, atol=1e-5)
    ours = gradients((found * weights[0]).sum() + (found_values * weights[1]).sum(), model, head)
    assert_same_gradients(ours, gradients((rewards * weights[0]).sum() + (values * weights[1]).sum(), model, head))


@pytest.mark.parametrize("max_tokens", [1, 60, 100])
def test_a_step_s_gradient_is_that_of_one_big_batch_however_it_is_cut(max_tokens: int) -> None:
    model, head = scorer()
    use_packed_attention(model)

    def loss(batch: PairBatch) -> tuple[torch.Tensor, dict[str, float]]:
        rewards = row_scores(model, head, batch.rows)
        return bradley_terry_loss(rewards[::2], rewards[1::2], len(LENGTHS), centering=0.1)

    made = [scored(pair) for pair in pairs()]
    whole, metrics = loss(PairBatch.of(made))
    expected = gradients(whole, model, head)
    cut = pair_batches(made, max_tokens)
    assert len(cut) > 1
    parts = [loss(batch) for batch in cut]
    assert float(sum(part.detach() for part, _ in parts)) == pytest.approx(float(whole.detach()), rel=1e-5)
    for name, value in metrics.items():
        assert sum(found[name] for _, found in parts) == pytest.approx(value, rel=1e-4, abs=1e-5)
    each = [gradients(part, model, head) for part, _ in parts]
    assert_same_gradients([torch.stack(own).sum(0) for own in zip(*each, strict=True)], expected)


def test_the_reward_sees_the_last_token_and_nothing_of_the_rival() -> None:
    model, head = scorer()
    use_packed_attention(model)
    pair = scored(pairs()[0])
    ended = Rendered([*pair.chosen.ids[:-1], pair.chosen.ids[-1] % 300 + 20], pair.chosen.trained)
    with torch.no_grad():
        before = row_scores(model, head, PairBatch.of([pair]).rows)
        other_end = row_scores(model, head, PairBatch.of([Pair(ended, pair.rejected)]).rows)
        other_rival = row_scores(model, head, PairBatch.of([Pair(pair.chosen, scored(pairs()[1]).chosen)]).rows)
    assert abs(float(other_end[0] - before[0])) > 1e-4, "the end-of-turn token itself is read"
    torch.testing.assert_close(other_end[1], before[1])
    torch.testing.assert_close(other_rival[0], before[0])
