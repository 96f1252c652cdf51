"""Packed rows are exactly rows alone: values and gradients, shared prefix or not, every family."""

import pytest
import torch

from sartor.adapters.lora import LoraSettings, add_lora, lora_layers
from sartor.data.chat import Rendered
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
    unneeded = len(rows)  # a row's last token is only predicted
    assert len(pack(rows).ids) == 9 + sum(LENGTHS) - unneeded
    alone = pack(rows, share_prefix=False)
    assert len(alone.ids) + unneeded == sum(len(row.ids) for row in rows) == pack(rows).num_row_tokens


def test_what_comes_after_the_last_trained_token_is_not_computed() -> None:
    model = use_packed_attention(tiny_models.model())
    whole = tiny_models.rows([12, 9])
    cut = [Rendered(row.ids, [*row.trained[:-3], False, False, False]) for row in whole]
    expected = batch_log_probs(model, pack(whole))
    keep = [place for row, first in ((whole[0], 0), (whole[1], whole[0].num_trained))
            for place in range(first, first + row.num_trained - 3)]  # fmt: skip
    assert len(pack(cut).ids) == len(pack(whole).ids) - 6
    torch.testing.assert_close(batch_log_probs(model, pack(cut)), expected[keep])


def test_rows_that_begin_alike_and_learn_one_token_need_nothing_of_their_own() -> None:
    model = use_packed_attention(tiny_models.model())
    beginning = tiny_models.rows([12])[0].ids
    rows = [Rendered([*beginning, token], [False] * 12 + [True]) for token in (5, 6)]
    batch = pack(rows)
    assert len(batch.ids) == 12 and len(batch.spans) == 1
    alone = torch.cat([batch_log_probs(model, pack([row])) for row in rows])
    torch.testing.assert_close(batch_log_probs(model, batch), alone)


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
