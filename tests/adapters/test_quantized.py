"""A base in NF4 is bitsandbytes' own with PEFT's adapter on it: same numbers and gradients, a quarter of the bytes."""

import json
import sys
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedModel

from sartor.adapters import quantized
from sartor.adapters.lora import LoraSettings, adapters_off, add_lora, lora_layers
from sartor.adapters.merge import merge_lora
from sartor.adapters.quantized import QuantizedLinear, is_quantized, linear_layers, quantize_base
from sartor.adapters.store import BASE_FILE, adapter_files, load_adapter
from sartor.base.errors import DataError, UsageError
from sartor.generation.engine import Engine
from sartor.generation.protocol import Sampling
from sartor.models.forward import use_packed_attention
from sartor.models.hub import load_model
from tests import tiny_models
from tests.adapters.peft_parity import assert_equal_logits_and_gradients

IDS = torch.randint(10, tiny_models.VOCABULARY, (2, 15), generator=torch.Generator().manual_seed(3))
FAMILIES = ("llama", "qwen2", "gemma2", "gpt2")
SETTINGS = LoraSettings(rank=4, alpha=8)


def packed_model(family: str, settings: LoraSettings = SETTINGS) -> PreTrainedModel:
    """A quantized model whose adapter is not zero."""
    model = tiny_models.model(family)
    quantize_base(model)
    add_lora(model, settings)
    torch.manual_seed(1)
    for layer in lora_layers(model).values():
        torch.nn.init.normal_(layer.lora_B, std=0.1)
    return model


def save(model: torch.nn.Module, settings: LoraSettings, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in adapter_files(model, settings, "base").items():
        (folder / name).write_bytes(content)
    return folder


def their_base(family: str, folder: Path) -> PreTrainedModel:
    """The same weights packed by transformers with bitsandbytes' Linear4bit."""
    tiny_models.model(family).save_pretrained(folder)
    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    return AutoModelForCausalLM.from_pretrained(
        folder, quantization_config=settings, dtype=torch.float32, device_map="cpu"
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_peft_on_bitsandbytes_reads_our_adapter_with_equal_logits_and_gradients(family: str, tmp_path: Path) -> None:
    ours = packed_model(family).train()
    folder = save(ours, SETTINGS, tmp_path / "adapter")
    base = prepare_model_for_kbit_training(their_base(family, tmp_path / "base"), use_gradient_checkpointing=False)
    theirs = PeftModel.from_pretrained(base, folder, is_trainable=True).train()
    assert any(type(module).__name__ == "Linear4bit" for module in theirs.modules())
    assert_equal_logits_and_gradients(ours, theirs, IDS, 1e-4, 1e-3)


@pytest.mark.parametrize("decomposed", [False, True])
def test_we_read_what_peft_trained_on_bitsandbytes(decomposed: bool, tmp_path: Path) -> None:
    names = ["q_proj", "down_proj"]
    theirs = get_peft_model(
        their_base("llama", tmp_path / "base"),
        LoraConfig(
            r=4, lora_alpha=8, target_modules=names, init_lora_weights=False, use_dora=decomposed, task_type="CAUSAL_LM"
        ),
    ).train()
    theirs.save_pretrained(tmp_path / "adapter")
    ours = tiny_models.model("llama")
    quantize_base(ours)
    load_adapter(ours, tmp_path / "adapter")
    with torch.no_grad():
        torch.testing.assert_close(ours(IDS).logits, theirs(IDS).logits, rtol=1e-4, atol=1e-4)


def base_bytes(model: torch.nn.Module) -> int:
    """Of all frozen weights, tied ones once, and of what packed ones need."""
    packed = [buffer for layer in model.modules() if isinstance(layer, QuantizedLinear) for buffer in layer.buffers()]
    return sum(tensor.nbytes for tensor in [*packed, *(each for each in model.parameters() if not each.requires_grad)])


def test_a_quarter_of_the_bytes() -> None:
    model = tiny_models.model("llama", width=256).bfloat16()
    layers = linear_layers(model)
    before, whole = sum(layer.weight.nbytes for layer in layers.values()), base_bytes(model.requires_grad_(False))
    quantize_base(model)
    assert all(isinstance(layer, QuantizedLinear) for layer in linear_layers(model).values())
    after = sum(buffer.nbytes for layer in linear_layers(model).values() for buffer in layer.buffers())
    assert 4.1 / 16 < after / before < 4.2 / 16
    assert base_bytes(model) == whole - before + after
    add_lora(model, SETTINGS)
    assert base_bytes(model) == whole - before + after
    assert not isinstance(model.get_output_embeddings(), QuantizedLinear)


@pytest.mark.skipif(not Path("/proc/self/maps").is_file(), reason="what is mapped can be seen on Linux only")
def test_the_models_file_is_let_go(tmp_path: Path) -> None:
    """What stays as it was must not keep the packed layers' old weights in memory."""
    tiny_models.model("llama").save_pretrained(tmp_path)
    model = load_model(tmp_path, torch.float32)
    expected = model.get_input_embeddings().weight.clone()  # type: ignore[operator]
    quantize_base(model)
    assert str(tmp_path / "model.safetensors") not in Path("/proc/self/maps").read_text()
    assert torch.equal(model.get_input_embeddings().weight, expected)


@pytest.mark.parametrize("decomposed", [False, True])
def test_backward_keeps_the_weight_packed(decomposed: bool) -> None:
    """No tensor of the weight's size is saved, of adapted layers or others."""
    model = tiny_models.model("llama", width=96).bfloat16()
    quantize_base(model)
    add_lora(model, LoraSettings(rank=4, targets=("q_proj", "up_proj"), weight_decomposed=decomposed))
    sizes: list[tuple[int, ...]] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (sizes.append(tuple(t.shape)), t)[1], lambda t: t):
        model.train()(IDS).logits.float().sum().backward()
    shapes = {layer.weight.shape for layer in linear_layers(tiny_models.model("llama", width=96)).values()}
    assert sizes and not shapes & {torch.Size(size) for size in sizes}
    assert not shapes & {torch.Size(reversed(size)) for size in sizes}


@pytest.mark.parametrize("family", FAMILIES)
def test_reopened_it_answers_the_same(family: str, tmp_path: Path) -> None:
    """On the plain base too: the adapter knows that it was trained on a packed one."""
    settings = LoraSettings(rank=4, alpha=8, rank_stabilized=True)
    model = packed_model(family, settings)
    again = tiny_models.model(family)
    load_adapter(again, save(model, settings, tmp_path))
    assert is_quantized(again)
    with torch.no_grad():
        assert torch.equal(model(IDS).logits, again(IDS).logits)
        assert (model(IDS).logits - plain_base_with(family, settings, tmp_path)(IDS).logits).abs().max() > 1e-3


def plain_base_with(family: str, settings: LoraSettings, folder: Path) -> PreTrainedModel:
    (folder / BASE_FILE).unlink()
    model = tiny_models.model(family)
    load_adapter(model, folder)
    assert not is_quantized(model)
    return model


@pytest.mark.parametrize("content", ["{", "{}", "[]", json.dumps({"base_quantization": {"type": "fp4"}})])
def test_another_packing_is_refused(content: str, tmp_path: Path) -> None:
    folder = save(packed_model("llama"), SETTINGS, tmp_path)
    (folder / BASE_FILE).write_text(content)
    with pytest.raises(DataError, match="packed"):
        load_adapter(tiny_models.model("llama"), folder)


@pytest.mark.parametrize("family", FAMILIES)
def test_merged_is_a_plain_model_that_equals_the_adapter(family: str, tmp_path: Path) -> None:
    model = packed_model(family, LoraSettings(rank=4, targets=(first_target(family),)))
    with torch.no_grad():
        before = model(IDS).logits
        merge_lora(model)
        torch.testing.assert_close(model(IDS).logits, before, rtol=1e-4, atol=1e-5)
        assert not is_quantized(model)
        model.save_pretrained(tmp_path)
        saved = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
        torch.testing.assert_close(saved(IDS).logits, before, rtol=1e-4, atol=1e-5)


def first_target(family: str) -> str:
    return "c_attn" if family == "gpt2" else "q_proj"


@pytest.mark.parametrize("decomposed", [False, True])
def test_merged_in_bfloat16_is_as_near_as_rounding_allows(decomposed: bool) -> None:
    torch.manual_seed(0)
    model = tiny_models.model("llama", width=64).bfloat16()
    quantize_base(model)
    layers = add_lora(model, LoraSettings(rank=4, weight_decomposed=decomposed))
    exact = {}
    for name, layer in layers.items():
        torch.nn.init.normal_(layer.lora_B, std=0.02)
        exact[name] = layer.merged()
    merge_lora(model)
    for name, weight in exact.items():
        stored: torch.Tensor = model.get_submodule(name).weight  # type: ignore[assignment]
        assert stored.dtype == torch.bfloat16
        torch.testing.assert_close(stored.float(), weight, rtol=2**-8, atol=0)


def test_adapters_off_is_the_packed_base() -> None:
    model = packed_model("llama")
    base = tiny_models.model("llama")
    quantize_base(base)
    with torch.no_grad(), adapters_off(model):
        assert torch.equal(model(IDS).logits, base(IDS).logits)


@pytest.mark.parametrize("decomposed", [False, True])
def test_generation_answers_as_the_full_forward(decomposed: bool) -> None:
    model = packed_model("llama", LoraSettings(rank=4, alpha=8, weight_decomposed=decomposed))
    prompt = IDS[0].tolist()
    with torch.no_grad():
        expected = list(prompt)
        for _ in range(8):
            expected.append(int(model(torch.tensor([expected])).logits[0, -1].argmax()))
    engine = Engine(use_packed_attention(model), lambda ids: "", set(), 256)
    engine.add(prompt, Sampling(temperature=0.0, max_new_tokens=8))
    answered = []
    while engine.has_work:
        answered += [event.token_id for event in engine.step()]
    assert answered == expected[len(prompt) :]


def test_moving_it_moves_everything_and_keeps_the_numbers() -> None:
    model = tiny_models.model("llama")
    quantize_base(model)
    layer = next(iter(linear_layers(model).values()))
    names = {name for name, _ in layer.named_buffers()}
    assert names == {"packed", "scales", "scale_sizes", "scale_offset"}
    assert all(buffer.device.type == "meta" for buffer in layer.to("meta").buffers())
    other = linear_layers(model)["model.layers.1.mlp.down_proj"].to(torch.bfloat16)
    with pytest.raises(AssertionError, match="keeps its number format"):
        other(torch.randn(1, 64))


def test_without_bitsandbytes_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    quantized._bitsandbytes.cache_clear()
    with pytest.raises(UsageError, match=r"sartor\[qlora\]"):
        quantize_base(tiny_models.model("llama"))
