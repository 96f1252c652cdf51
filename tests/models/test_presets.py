"""Sizes are what they say, and a new model is a function of its seed."""

import pytest
import torch

from sartor.models.presets import PRESETS, Preset, new_model


@pytest.mark.parametrize("name", ["1m", "3m", "10m"])
def test_counts_are_those_of_the_model(name: str) -> None:
    preset = PRESETS[name]
    model = new_model(preset, 400, 64, seed=0)
    matrices = sum(weight.numel() for each, weight in model.named_parameters() if weight.ndim == 2 and "layers" in each)
    assert matrices == preset.num_weights
    assert model.get_input_embeddings().weight.numel() == 400 * preset.width
    assert preset.num_weights == pytest.approx(float(name.removesuffix("m")) * 1e6, rel=0.2)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=list(PRESETS))
def test_shapes_fit_together(preset: Preset) -> None:
    assert preset.width % preset.heads == 0 and preset.heads % preset.key_heads == 0
    assert (preset.width // preset.heads) % 2 == 0, "rotary positions turn pairs"
    size = {"m": 1e6, "b": 1e9}[preset.name[-1]] * float(preset.name[:-1])
    assert preset.num_weights == pytest.approx(size, rel=0.2)


def test_floating_point_operations_by_hand() -> None:
    preset = PRESETS["1m"]  # 4 layers of 128, gate of 384
    per_layer = 4 * 128 * 128 + 3 * 128 * 384
    expected = 6 * (4 * per_layer + 1000 * 128) + 4 * 3 * (2 * 128 * 64)  # a token sees 32 of 64 on average, twice
    assert preset.flops_per_token(1000, 64) == expected


def test_the_seed_decides_the_weights_and_nothing_else_moves() -> None:
    preset = PRESETS["1m"]
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = (new_model(preset, 400, 64, seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    for (name, a), b, c in zip(first.named_parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b), name
        assert a.ndim < 2 or not torch.equal(a, c), name


def test_matrices_that_write_into_the_stream_begin_smaller() -> None:
    model = new_model(PRESETS["1m"], 400, 64, seed=0)
    layer = model.model.layers[0]
    assert float(layer.self_attn.q_proj.weight.std()) == pytest.approx(0.02, rel=0.05)
    assert float(layer.self_attn.o_proj.weight.std()) == pytest.approx(0.02 / 8**0.5, rel=0.05)
    assert float(layer.mlp.down_proj.weight.std()) == pytest.approx(0.02 / 8**0.5, rel=0.05)
