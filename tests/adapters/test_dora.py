"""Our DoRA is PEFT's: same files, same logits, same gradients; it begins as the identity and merges exactly."""

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from sartor.adapters.lora import LoraLinear, LoraSettings, adapters_off, add_lora, lora_layers
from sartor.adapters.merge import merge_lora
from sartor.adapters.quantized import quantize_base
from sartor.adapters.store import adapter_files, load_adapter
from tests import tiny_models

IDS = torch.randint(10, tiny_models.VOCABULARY, (2, 15), generator=torch.Generator().manual_seed(3))
FAMILIES = ("llama", "qwen2", "gemma2", "gpt2")  # qwen2 and GPT-2 have biases, GPT-2 transposed weights
SETTINGS = LoraSettings(rank=4, alpha=8, weight_decomposed=True)


def trained(family: str, settings: LoraSettings = SETTINGS, quantized: bool = False) -> torch.nn.Module:
    """A model with biases, directions and magnitudes that are not those of the start."""
    model = tiny_models.model(family)
    torch.manual_seed(5)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    if quantized:
        quantize_base(model)
    add_lora(model, settings)
    for layer in lora_layers(model).values():
        torch.nn.init.normal_(layer.lora_B, std=0.1)
        assert layer.magnitude is not None
        with torch.no_grad():
            layer.magnitude.weight.mul_(torch.rand_like(layer.magnitude.weight) + 0.5)
    return model


def bare(family: str) -> torch.nn.Module:
    """The base of `trained`."""
    model = tiny_models.model(family)
    torch.manual_seed(5)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    return model


def save(model: torch.nn.Module, settings: LoraSettings, folder: Path) -> Path:
    for name, content in adapter_files(model, settings, "base").items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_it_begins_as_the_base_model(family: str) -> None:
    model = tiny_models.model(family)
    expected = model(IDS).logits.detach()
    add_lora(model, SETTINGS)
    with torch.no_grad():
        assert torch.equal(model(IDS).logits, expected)
    torch.testing.assert_close(model.train()(IDS).logits, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("rank_stabilized", [False, True])
def test_peft_loads_ours_with_equal_logits(family: str, rank_stabilized: bool, tmp_path: Path) -> None:
    settings = LoraSettings(rank=4, alpha=8, rank_stabilized=rank_stabilized, weight_decomposed=True)
    model = trained(family, settings)
    theirs = PeftModel.from_pretrained(bare(family), save(model, settings, tmp_path))
    with torch.no_grad():
        torch.testing.assert_close(model(IDS).logits, theirs(IDS).logits, rtol=1e-4, atol=1e-4)
        assert (model(IDS).logits - bare(family)(IDS).logits).abs().max() > 0.01


@pytest.mark.parametrize("family", FAMILIES)
def test_we_load_pefts_with_equal_logits_and_gradients(family: str, tmp_path: Path) -> None:
    names = sorted({name.split(".")[-1] for name in lora_layers(trained(family))})
    theirs = get_peft_model(
        bare(family),
        LoraConfig(
            r=4, lora_alpha=8, target_modules=names, init_lora_weights=False, use_dora=True, task_type="CAUSAL_LM"
        ),
    )
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if "magnitude" in name:
                parameter.mul_(torch.rand_like(parameter) + 0.5)
    theirs.save_pretrained(tmp_path)
    ours = bare(family)
    assert load_adapter(ours, tmp_path).weight_decomposed
    ours.train()
    our_logits, their_logits = ours(IDS).logits, theirs(IDS).logits
    torch.testing.assert_close(our_logits, their_logits, rtol=1e-4, atol=1e-4)
    our_logits.square().sum().backward()
    their_logits.square().sum().backward()
    expected = {
        name.removeprefix("base_model.model.")
        .replace(".default.weight", "")
        .replace("lora_magnitude_vector", "magnitude.weight"): parameter.grad
        for name, parameter in theirs.named_parameters()
        if parameter.grad is not None
    }
    found = {name: parameter.grad for name, parameter in ours.named_parameters() if parameter.grad is not None}
    assert found.keys() == expected.keys() and any("magnitude" in name for name in found)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-4 * float(gradient.abs().max()))


@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_merged_equals_adapter(family: str, quantized: bool) -> None:
    model = trained(family, quantized=quantized)
    with torch.no_grad():
        before = model(IDS).logits
        merge_lora(model)
        assert not lora_layers(model)
        torch.testing.assert_close(model(IDS).logits, before, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_are_the_training_forward(family: str) -> None:
    """Also after an update in between, and when inference mode came first."""
    model = trained(family)
    for _ in range(2):
        with torch.inference_mode():
            answered = model.eval()(IDS).logits.clone()
        logits = model.train()(IDS).logits
        torch.testing.assert_close(logits, answered, rtol=1e-5, atol=1e-5)
        logits.square().sum().backward()
        with torch.no_grad():
            for layer in lora_layers(model).values():
                assert layer.magnitude is not None
                for parameter in (layer.lora_A, layer.lora_B, layer.magnitude.weight):
                    parameter.mul_(1.2)
                    assert parameter.grad is not None
    with torch.no_grad(), adapters_off(model):
        torch.testing.assert_close(model(IDS).logits, bare(family)(IDS).logits)


def test_gradients_are_those_of_the_formula_with_dropout_and_bias() -> None:
    """W' = m (W + s B A) / norm written out with autograd; dropout acts on the input of the branch."""
    torch.manual_seed(0)
    base = torch.nn.Linear(6, 5).double().requires_grad_(False)
    layer = LoraLinear(base, LoraSettings(rank=2, alpha=3, dropout=0.5, weight_decomposed=True))
    assert layer.magnitude is not None
    torch.nn.init.normal_(layer.lora_B)
    with torch.no_grad():
        layer.magnitude.weight.mul_(1.3)
    layer.double().train()
    x = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(7)
    result = layer(x)
    parameters = (x, layer.lora_A, layer.lora_B, layer.magnitude.weight)
    found = torch.autograd.grad(result.square().sum(), parameters)
    torch.manual_seed(7)
    dropped = torch.nn.functional.dropout(x, 0.5)
    with torch.no_grad():
        norms = (base.weight + 1.5 * layer.lora_B @ layer.lora_A).norm(dim=1)
    product = x @ base.weight.t() + 1.5 * (dropped @ layer.lora_A.t()) @ layer.lora_B.t()
    expected = product * (layer.magnitude.weight / norms) + base.bias
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-6)
    for ours, theirs in zip(found, torch.autograd.grad(expected.square().sum(), parameters), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_a_factor_keeps_its_digits_in_bfloat16() -> None:
    """1.006 lies between 1 and 1.0078 of bfloat16; over many outputs it must be neither."""
    torch.manual_seed(0)
    base = torch.nn.Linear(64, 512, bias=False).bfloat16().requires_grad_(False)
    layer = LoraLinear(base, LoraSettings(rank=2, weight_decomposed=True))
    assert layer.magnitude is not None
    x = torch.randn(256, 64).bfloat16()
    before = layer(x).float().abs().sum()
    with torch.no_grad():
        layer.magnitude.weight.mul_(1.006)
    ratios = [layer(x).float().abs().sum() / before]
    layer.eval()
    with torch.no_grad():
        ratios.append(layer(x).float().abs().sum() / before)
    for ratio in ratios:
        assert 1.0045 < float(ratio) < 1.0072


def test_a_row_of_zeros_stays_zero() -> None:
    base = torch.nn.Linear(4, 3, bias=False).requires_grad_(False)
    base.weight[1] = 0
    layer = LoraLinear(base, LoraSettings(rank=2, weight_decomposed=True))
    result = layer(torch.randn(2, 4))
    result.sum().backward()
    assert (result[:, 1] == 0).all()
    for parameter in layer.parameters():
        assert not parameter.requires_grad or (parameter.grad is not None and bool(parameter.grad.isfinite().all()))
