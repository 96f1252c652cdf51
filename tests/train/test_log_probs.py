"""Packed rows are exactly rows alone: values and gradients, shared prefix or not, every family."""

import pytest
import torch

from sartor.adapters.lora import LoraSettings, add_lora, lora_layers
from sartor.data.packing import pack
from sartor.models.forward import use_packed_attention
from sartor.train.log_probs import batch_log_probs
from tests import tiny_models

LENGTHS = [7, 12, 11, 3, 30]


def adapted(family: str) -> torch.nn.Module:
    model = tiny_models.model(family)
    add_lora(model, LoraSettings(rank=4))
    torch.manual_seed(1)
    for layer in lora_layers(model).values():
        torch.nn.init.normal_(layer.lora_B, std=0.1)
    return model


def gradients(log_probs: torch.Tensor, model: torch.nn.Module) -> list[torch.Tensor]:
    weights = torch.linspace(0.5, 1.5, len(log_probs))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return list(torch.autograd.grad((log_probs * weights).sum(), trained))


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
@pytest.mark.parametrize("shared", [0, 9])
def test_packed_rows_equal_rows_alone_and_transformers(family: str, shared: int) -> None:
    model = adapted(family)
    rows = tiny_models.rows(LENGTHS, shared)
    model.set_attn_implementation("eager")
    expected = tiny_models.reference_log_probs(model, rows)
    expected_gradients = gradients(expected, model)
    use_packed_attention(model)
    packed = batch_log_probs(model, pack(rows))
    alone = torch.cat([batch_log_probs(model, pack([row])) for row in rows])
    torch.testing.assert_close(packed, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(packed, alone, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(gradients(packed, model), expected_gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5 * float(theirs.abs().max()) + 1e-7)


def test_a_shared_prefix_is_computed_once() -> None:
    rows = tiny_models.rows(LENGTHS, shared=9)
    assert len(pack(rows).ids) == 9 + sum(LENGTHS)
    assert len(pack(rows, share_prefix=False).ids) == sum(len(row.ids) for row in rows) == pack(rows).num_row_tokens


def test_rows_do_not_see_their_neighbours() -> None:
    model = use_packed_attention(tiny_models.model())
    first, second, other = tiny_models.rows([12, 9, 9])
    with torch.no_grad():
        beside_second = batch_log_probs(model, pack([first, second]))
        beside_other = batch_log_probs(model, pack([first, other]))
    learnt = first.num_trained
    torch.testing.assert_close(beside_second[:learnt], beside_other[:learnt])
    assert not torch.allclose(beside_second[learnt:], beside_other[learnt:])


def test_long_rows_are_exact_across_query_chunks() -> None:
    """Rows longer than one chunk of queries, with a prefix, against transformers."""
    model = tiny_models.model()
    model.config.max_position_embeddings = 1024
    rows = tiny_models.rows([600, 300, 270], shared=20)
    model.requires_grad_(True)
    model.set_attn_implementation("eager")
    expected = tiny_models.reference_log_probs(model, rows)
    expected_gradients = gradients(expected, model)
    use_packed_attention(model)
    packed = batch_log_probs(model, pack(rows))
    torch.testing.assert_close(packed, expected, rtol=1e-4, atol=1e-4)
    for ours, theirs in zip(gradients(packed, model), expected_gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4 * float(theirs.abs().max()) + 1e-6)


def test_temperature_divides_the_logits() -> None:
    model = use_packed_attention(tiny_models.model())
    rows = tiny_models.rows([12])
    ids = torch.tensor(rows[0].ids)
    with torch.no_grad():
        got = batch_log_probs(model, pack(rows), temperature=0.7)
        model.set_attn_implementation("eager")
        logits = model(input_ids=ids[None]).logits[0] / 0.7
    expected = torch.log_softmax(logits, -1)[3:-1].gather(1, ids[4:, None])[:, 0]
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
