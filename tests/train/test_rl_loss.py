"""The loss of sampled answers against one that is computed row by row with whole logits."""

import pytest
import torch
from torch import nn

from sartor.adapters.roles import acting
from sartor.models.forward import recompute_activations
from sartor.train.actors import POLICY, VALUE
from sartor.train.episodes import Episode, EpisodeBatch, PackedAnswers, answer_groups_of, joined
from sartor.train.objectives.policy import token_weights
from sartor.train.rl_loss import RolloutLoss
from tests.train import rollout_world as world
from tests.train.rollout_world import Shape

SHAPES = [Shape(n // 3, 11 + 2 * (n // 3), 2 + (5 * n) % 7) for n in range(6)]
LOW, HIGH, PENALTY, ENTROPY, VALUE_SHARE, VALUE_CLIP, TEMPERATURE = 0.15, 0.3, 0.2, 0.07, 0.4, 0.1, 0.9


def whole() -> nn.Module:
    """The same weights with transformers' own attention."""
    model = world.model()
    model.set_attn_implementation("eager")
    return model


def near(model: nn.Module, episodes: list[Episode]) -> list[Episode]:
    """The answers with old numbers around the present ones, so that some are clipped and some are not."""
    made = []
    for each in episodes:
        with torch.no_grad():
            with acting(model, POLICY):
                log_probs, _ = plain(model, each)
            with acting(model, VALUE):
                values = plain_values(model, each)
        old = {
            "log_probs": log_probs + 0.3 * each.log_probs,
            "reference": log_probs + 0.3 * each.reference,
            "values": values + 0.2 * each.values,
        }
        made.append(Episode(**{**vars(each), **old}))
    return made


def states(model: nn.Module, each: Episode) -> torch.Tensor:
    """The states before the answer's tokens, in a sequence of its own by transformers' own forward pass."""
    whole = model(input_ids=torch.tensor([each.row.ids]), output_hidden_states=True, use_cache=False)
    last: torch.Tensor = whole.hidden_states[-1][0]
    return last[len(each.row.ids) - each.length - 1 : -1]


def plain(model: nn.Module, each: Episode) -> tuple[torch.Tensor, torch.Tensor]:
    """log p of the answer's tokens, and the entropies before them, from the whole matrix of logits."""
    every = torch.log_softmax(states(model, each) @ model.lm_head.weight.t() / TEMPERATURE, -1)  # type: ignore[union-attr, operator]
    targets = torch.tensor(each.row.ids[-each.length :])
    return every.gather(1, targets[:, None])[:, 0], -(every.exp() * every).sum(1)


def plain_values(model: nn.Module, each: Episode) -> torch.Tensor:
    values: torch.Tensor = (states(model, each) @ model.value_head.weight.t())[:, 0]  # type: ignore[union-attr, operator]
    return values


def expected(model: nn.Module, episodes: list[Episode]) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients, row by row, by autograd."""
    num_tokens = sum(each.length for each in episodes)
    total = torch.zeros(())
    for each in episodes:
        assert each.values is not None and each.returns is not None
        with acting(model, POLICY):
            log_probs, entropies = plain(model, each)
        ratio = (log_probs - each.log_probs).exp()
        for token in range(each.length):
            gain = torch.minimum(
                ratio[token] * each.advantages[token], ratio[token].clamp(1 - LOW, 1 + HIGH) * each.advantages[token]
            )
            away = each.reference[token] - log_probs[token]
            total = total - (gain - PENALTY * (away.exp() - away - 1) + ENTROPY * entropies[token]) / num_tokens
        with acting(model, VALUE):
            values = plain_values(model, each)
        for token in range(each.length):
            moved = each.values[token] + (values[token] - each.values[token]).clamp(-VALUE_CLIP, VALUE_CLIP)
            worst = torch.maximum((values[token] - each.returns[token]) ** 2, (moved - each.returns[token]) ** 2)
            total = total + VALUE_SHARE * 0.5 * worst / num_tokens
    total.backward()  # type: ignore[no-untyped-call]
    return float(total.detach()), taken(model)


def taken(model: nn.Module) -> dict[str, torch.Tensor]:
    """The gradients, which are cleared."""
    found = {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


def batches(episodes: list[Episode]) -> list[EpisodeBatch]:
    num_tokens = sum(each.length for each in episodes)
    made = []
    for groups in answer_groups_of([each.row for each in episodes], [each.prompt for each in episodes], 30):
        packed = PackedAnswers.of(groups)
        own = [episodes[index] for index in packed.order]
        weights = token_weights([each.length for each in own], "tokens", num_tokens, len(episodes))
        made += [
            EpisodeBatch(
                packed.batch, joined([each.log_probs for each in own]), weights, num_tokens,
                advantages=joined([each.advantages for each in own]),
                reference=joined([each.reference for each in own]),
            ),
            EpisodeBatch(
                packed.batch, joined([each.values for each in own]), weights, num_tokens,
                returns=joined([each.returns for each in own]),
            ),
        ]  # fmt: skip
    return made


def computed(model: nn.Module, episodes: list[Episode]) -> tuple[float, dict[str, torch.Tensor], dict[str, float]]:
    loss_of = RolloutLoss(world.actors(model), LOW, HIGH, PENALTY, ENTROPY, VALUE_SHARE, VALUE_CLIP)  # type: ignore[arg-type]
    total, told = 0.0, {"loss": 0.0}
    for batch in batches(episodes):
        loss, metrics = loss_of(model, batch, 1)
        loss.backward()  # type: ignore[no-untyped-call]
        total += float(loss.detach())
        for name, value in metrics.items():
            told[name] = told.get(name, 0.0) + value
    return total, taken(model), told


def test_the_gradient_is_that_of_whole_logits_row_by_row() -> None:
    model = world.model()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(".roles." in name or name.startswith("value_head"))
    eager = whole()
    for name, parameter in eager.named_parameters():
        parameter.requires_grad_(".roles." in name or name.startswith("value_head"))
    episodes = near(eager, [world.episode(shape, n) for n, shape in enumerate(SHAPES)])
    loss, gradients = expected(eager, episodes)
    found, own, told = computed(model, episodes)
    assert len(batches(episodes)) > 2
    assert found == pytest.approx(loss, rel=1e-5) and told["loss"] == pytest.approx(loss, rel=1e-5)
    assert 0 < told["clip_share"] < 1 and 0 < told["value_clip_share"] < 1
    assert own.keys() == gradients.keys() and any(".policy." in name for name in own)
    assert any(".value." in name for name in own) and "value_head.weight" in own
    for name, gradient in gradients.items():
        assert gradient.abs().max() > 0, name
        torch.testing.assert_close(own[name], gradient, rtol=1e-3, atol=1e-6, msg=name)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_computing_activations_again_changes_nothing(dropout: float) -> None:
    """Above all: the role that acted in the forward pass acts when its layers are computed again."""
    model = world.model(dropout=dropout)
    episodes = near(whole(), [world.episode(shape, n) for n, shape in enumerate(SHAPES)])
    torch.manual_seed(0)
    kept = computed(model, episodes)
    recompute_activations(model)
    torch.manual_seed(0)
    again = computed(model, episodes)
    assert kept[0] == again[0] and kept[2] == again[2]
    assert kept[1].keys() == again[1].keys()
    for name, gradient in kept[1].items():
        assert torch.equal(again[1][name], gradient), name
