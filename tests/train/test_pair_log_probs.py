"""Rivals packed behind their prompt are exactly rows alone, and a step's gradient is the same however it is cut."""

import random

import pytest
import torch
from torch import nn

from sartor.adapters.lora import LoraSettings, add_lora, lora_layers
from sartor.data.chat import Rendered
from sartor.data.packing import pack, pack_groups
from sartor.data.pairs import Pair, PairBatch, pair_batches
from sartor.models.forward import use_packed_attention
from sartor.train.log_probs import batch_log_probs
from sartor.train.objectives.preference import PreferenceSettings, preference_loss
from sartor.train.pair_log_probs import pair_log_probs, reference_log_probs
from tests import tiny_models

LENGTHS = [(4, 9), (12, 1), (7, 8), (1, 1), (20, 15), (3, 17)]
LOSSES = ("sigmoid", "ipo", "hinge", "simpo", "orpo")


def adapted(family: str = "llama") -> nn.Module:
    model = tiny_models.model(family)
    add_lora(model, LoraSettings(rank=4, dropout=0.5))  # which does nothing in evaluation mode
    torch.manual_seed(1)
    for layer in lora_layers(model).values():
        torch.nn.init.normal_(layer.lora_B, std=0.1)
    return model.eval()


def groups(common: int = 0) -> list[list[Rendered]]:
    """Groups behind a beginning of `common` tokens: of two rows, of three, of one, of rows that share nothing, and of
    rows that differ in their only learnt token."""
    draw = random.Random(5)

    def tokens(number: int) -> list[int]:
        return [draw.randrange(10, tiny_models.VOCABULARY) for _ in range(number)]

    def group(prompt: list[int], *answers: int) -> list[Rendered]:
        return [Rendered(prompt + tokens(n), [False] * len(prompt) + [True] * n) for n in answers]

    beginning = tokens(common)
    apart = [row for _ in range(2) for row in group(beginning + tokens(9), 5)]
    prompt = beginning + tokens(11)
    close = [Rendered([*prompt, token], [False] * len(prompt) + [True]) for token in (17, 18)]
    return [group(beginning + tokens(14), 6, 9), group(beginning + tokens(10), 3, 1, 12), group(beginning, 8) if common
            else group(tokens(4), 8), apart, close]  # fmt: skip


def pairs() -> list[Pair]:
    made = []
    for number, (chosen, rejected) in enumerate(LENGTHS):
        prompt = tiny_models.rows([10 + number], seed=number)[0].ids
        rows = [
            Rendered(prompt + row.ids, [False] * len(prompt) + [True] * len(row.ids))
            for row in tiny_models.rows([chosen, rejected], seed=50 + number)
        ]
        made.append(Pair(rows[0], rows[1], (-30.0 - number, -31.0 + number)))
    return made


def gradients(value: torch.Tensor, model: nn.Module) -> list[torch.Tensor]:
    return list(torch.autograd.grad(value, [each for each in model.parameters() if each.requires_grad]))


def assert_same_gradients(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5 * float(other.abs().max()) + 1e-7)


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
@pytest.mark.parametrize("common", [0, 9])
def test_groups_equal_rows_alone_and_transformers(family: str, common: int) -> None:
    model = adapted(family)
    made = groups(common)
    rows = [row for group in made for row in group]
    weights = torch.linspace(0.5, 1.5, sum(row.num_trained for row in rows))
    model.set_attn_implementation("eager")
    expected = tiny_models.reference_log_probs(model, rows)
    expected_gradients = gradients((expected * weights).sum(), model)
    use_packed_attention(model)
    batch = pack_groups(made)
    assert batch.num_tokens < sum(len(row.ids) for row in rows) - 4 * 9
    packed = batch_log_probs(model, batch)
    alone = torch.cat([batch_log_probs(model, pack([row])) for row in rows])
    torch.testing.assert_close(packed, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(packed, alone, rtol=1e-5, atol=1e-5)
    assert_same_gradients(gradients((packed * weights).sum(), model), expected_gradients)
    sums = torch.stack([part.sum() for part in expected.split([row.num_trained for row in rows])])
    torch.testing.assert_close(batch.row_sums(packed), sums, rtol=1e-5, atol=1e-4)


def test_rows_do_not_see_their_rival_nor_other_groups() -> None:
    model = use_packed_attention(tiny_models.model())
    first, *others = groups(9)
    with torch.no_grad():
        alone = batch_log_probs(model, pack_groups([first[:1]]))
        beside = batch_log_probs(model, pack_groups([first, *others]))
        beside_another = batch_log_probs(model, pack_groups([[first[0], others[1][0]], others[0]]))
    learnt = first[0].num_trained
    torch.testing.assert_close(beside[:learnt], alone)
    torch.testing.assert_close(beside_another[:learnt], alone)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("max_tokens", [1, 60, 130])
def test_a_step_s_gradient_is_that_of_one_big_batch_however_it_is_cut(loss: str, max_tokens: int) -> None:
    """Each part is divided by the pairs of the whole step, so answers of any length weigh alike in every cut."""
    model = use_packed_attention(adapted())
    weight = 0.0 if loss == "orpo" else 0.3
    settings = PreferenceSettings(loss, supervised_weight=weight)  # type: ignore[arg-type]
    whole, metrics = preference_loss(pair_log_probs(model, PairBatch.of(pairs())), len(LENGTHS), settings)
    expected = gradients(whole, model)
    cut = pair_batches(pairs(), max_tokens)
    assert len(cut) > 1
    parts = [preference_loss(pair_log_probs(model, batch), len(LENGTHS), settings) for batch in cut]
    assert float(sum(part.detach() for part, _ in parts)) == pytest.approx(float(whole.detach()), rel=1e-5)
    for name, value in metrics.items():
        assert sum(found[name] for _, found in parts) == pytest.approx(value, rel=1e-4, abs=1e-5)
    each = [gradients(part, model) for part, _ in parts]
    assert_same_gradients([torch.stack(own).sum(0) for own in zip(*each, strict=True)], expected)


def test_the_reference_is_kept_in_the_pairs_order_whatever_the_cut() -> None:
    model = use_packed_attention(tiny_models.model())
    made = pairs()
    with torch.no_grad():
        expected = torch.stack(
            [
                torch.stack([batch_log_probs(model, pack([row])).sum() for row in (pair.chosen, pair.rejected)])
                for pair in made
            ]
        )
    for max_tokens in (1, 90, 10_000):
        found = reference_log_probs(model, made, max_tokens)
        assert found.shape == (len(made), 2)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)


def test_sides_are_told_apart() -> None:
    model = use_packed_attention(tiny_models.model())
    made = pairs()
    with torch.no_grad():
        found = pair_log_probs(model, PairBatch.of(made))
        swapped = pair_log_probs(model, PairBatch.of([Pair(pair.rejected, pair.chosen) for pair in made]))
    torch.testing.assert_close(found.chosen, swapped.rejected, rtol=1e-5, atol=1e-4)
    assert found.chosen_tokens.tolist() == [chosen for chosen, _ in LENGTHS]
    assert found.rejected_tokens.tolist() == [rejected for _, rejected in LENGTHS]
    assert found.reference_chosen is not None and found.reference_chosen.tolist() == [-30.0 - n for n in range(6)]
    assert swapped.reference_chosen is None and swapped.reference_rejected is None
