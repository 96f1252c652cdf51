"""Three roles on one base: each acts as if it were the only adapter, none as if there were none, and the base is there
once."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from sartor.adapters.lora import LoraSettings, add_lora, lora_layers
from sartor.adapters.quantized import quantize_base
from sartor.adapters.roles import acting, add_role, role_layers
from sartor.adapters.store import adapter_files, adapter_tensors, load_adapter, load_adapter_tensors
from sartor.base.errors import UsageError
from sartor.data.packing import pack
from sartor.models.forward import use_packed_attention
from sartor.train.log_probs import batch_log_probs
from tests import tiny_models

IDS = torch.randint(10, tiny_models.VOCABULARY, (2, 15), generator=torch.Generator().manual_seed(3))


def quantized() -> PreTrainedModel:
    model = tiny_models.model("llama")
    quantize_base(model)
    return model


BASES: dict[str, Callable[[], PreTrainedModel]] = {
    "llama": tiny_models.model,
    "nf4": quantized,
    "gpt2": lambda: tiny_models.model("gpt2"),
}


def settings_of(base: str) -> dict[str, LoraSettings]:
    """Every role with settings of its own; one on some of the layers only."""
    some = ("c_attn",) if base == "gpt2" else ("q_proj", "v_proj")
    return {
        "policy": LoraSettings(rank=4, alpha=8),
        "value": LoraSettings(rank=2, alpha=6, targets=some),
        "reward": LoraSettings(rank=3, rank_stabilized=True, weight_decomposed=True),
    }


def with_roles(base: str) -> PreTrainedModel:
    """A base with three roles, none of which is zero."""
    model = BASES[base]()
    for number, (role, settings) in enumerate(settings_of(base).items()):
        layers = add_role(model, role, settings)
        torch.manual_seed(number)
        for layer in layers.values():
            torch.nn.init.normal_(layer.lora_B, std=0.1)
    return model


def alone(base: str, role: str, model: PreTrainedModel) -> PreTrainedModel:
    """A model that has nothing but the role's adapter."""
    made = BASES[base]()
    layers = add_lora(made, settings_of(base)[role])
    load_adapter_tensors(layers, adapter_tensors(role_layers(model, role)))
    return made


@pytest.mark.parametrize("base", BASES)
def test_each_role_acts_as_if_it_were_the_only_adapter(base: str) -> None:
    model = with_roles(base)
    plain = BASES[base]()(IDS).logits.detach()
    seen = [plain]
    for role in settings_of(base):
        single = alone(base, role, model)
        with acting(model, role):
            ours = model(IDS).logits
            with torch.no_grad():
                torch.testing.assert_close(model(IDS).logits, single(IDS).logits, rtol=1e-5, atol=1e-5)
        theirs = single(IDS).logits
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
        assert all((ours - other).abs().max() > 1e-3 for other in seen), "it does something, and something of its own"
        seen.append(ours.detach())
        ours.square().sum().backward()
        theirs.square().sum().backward()
        for name, layer in lora_layers(single).items():
            own = role_layers(model, role)[name]
            for one, other in zip(own.parameters(), layer.parameters(), strict=True):
                assert (one.grad is None) == (other.grad is None)
                if one.grad is not None and other.grad is not None:
                    torch.testing.assert_close(
                        one.grad, other.grad, rtol=1e-4, atol=1e-5 * float(other.grad.abs().max())
                    )
    with acting(model, None):
        torch.testing.assert_close(model(IDS).logits, plain, rtol=0, atol=0)
    torch.testing.assert_close(model(IDS).logits, plain, rtol=0, atol=0)


@pytest.mark.parametrize("base", BASES)
def test_only_what_acts_is_given_gradients_and_only_roles_can_be_trained(base: str) -> None:
    model = with_roles(base)
    own = {id(each): role for role in settings_of(base) for layer in role_layers(model, role).values()
           for each in layer.parameters() if each.requires_grad}  # fmt: skip
    assert {id(each) for each in model.parameters() if each.requires_grad} == own.keys()
    assert set(own.values()) == set(settings_of(base))
    with acting(model, "value"):
        model(IDS).logits.sum().backward()
    given = {own[id(each)] for each in model.parameters() if each.requires_grad and each.grad is not None}
    assert given == {"value"}


@pytest.mark.parametrize("base", BASES)
def test_the_base_is_there_once(base: str) -> None:
    def places(tensors: list[torch.Tensor]) -> set[int]:
        return {each.data_ptr() for each in tensors}

    model = BASES[base]()
    frozen = [*model.parameters(), *model.buffers()]
    size = sum(each.numel() * each.element_size() for each in frozen)
    for role, settings in settings_of(base).items():
        add_role(model, role, settings)
    everything = [*model.parameters(), *model.buffers()]
    assert places(frozen) <= places(everything)
    added = [each for role in settings_of(base) for layer in role_layers(model, role).values()
             for name, each in [*layer.named_parameters(), *layer.named_buffers()]
             if not name.startswith("base.")]  # fmt: skip
    assert sum(each.numel() * each.element_size() for each in everything) == size + sum(
        each.numel() * each.element_size() for each in added
    )


def test_roles_have_their_own_layers_by_the_base_s_names() -> None:
    model = with_roles("llama")
    assert (
        set(role_layers(model, "policy"))
        == set(role_layers(model, "reward"))
        == set(lora_layers(alone("llama", "policy", model)))
    )
    assert {name.split(".")[-1] for name in role_layers(model, "value")} == {"q_proj", "v_proj"}
    assert {layer.lora_A.shape[0] for layer in role_layers(model, "value").values()} == {2}
    with pytest.raises(UsageError, match="no linear layer is called nowhere"):
        add_role(model, "another", LoraSettings(targets=("nowhere",)))


def test_blocks_within_blocks_leave_what_they_found() -> None:
    model = with_roles("llama")
    logits = {}
    for role in (None, "policy", "value"):
        with acting(model, role):
            logits[role] = model(IDS).logits.detach()
    with acting(model, "policy"):
        with acting(model, "value"):
            with acting(model, None):
                assert torch.equal(model(IDS).logits, logits[None])
            assert torch.equal(model(IDS).logits, logits["value"])
        assert torch.equal(model(IDS).logits, logits["policy"])
        with pytest.raises(RuntimeError, match="stop"), acting(model, "value"):
            raise RuntimeError("stop")
        assert torch.equal(model(IDS).logits, logits["policy"])
    assert torch.equal(model(IDS).logits, logits[None])


def test_a_role_that_there_is_not_cannot_act() -> None:
    """It would be the base that acts, silently."""
    with pytest.raises(AssertionError, match="no role"), acting(with_roles("llama"), "polcy"):
        pass


def test_a_step_of_one_role_leaves_the_others_and_the_base_alone() -> None:
    model = with_roles("llama")
    before = {role: model_logits(model, role) for role in (None, "policy", "value", "reward")}
    trained = [each for layer in role_layers(model, "policy").values() for each in layer.parameters()]
    optimizer = torch.optim.AdamW([each for each in trained if each.requires_grad], lr=0.1)
    with acting(model, "policy"):
        model(IDS).logits.square().mean().backward()
    optimizer.step()
    after = {role: model_logits(model, role) for role in before}
    assert [role for role in before if not torch.equal(before[role], after[role])] == ["policy"]


def model_logits(model: PreTrainedModel, role: str | None) -> torch.Tensor:
    with acting(model, role):
        found: torch.Tensor = model(IDS).logits.detach()
    return found


@pytest.mark.parametrize("base", BASES)
def test_a_role_is_saved_as_an_adapter_of_its_own(base: str, tmp_path: Path) -> None:
    model = with_roles(base)
    for role, settings in settings_of(base).items():
        folder = tmp_path / role
        folder.mkdir()
        for name, content in adapter_files(model, settings, "base", role_layers(model, role)).items():
            (folder / name).write_bytes(content)
        loaded = tiny_models.model(
            "gpt2" if base == "gpt2" else "llama"
        )  # packed when loaded, where it was in training
        load_adapter(loaded, folder)
        with torch.no_grad():
            torch.testing.assert_close(loaded(IDS).logits, model_logits(model, role), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("base", BASES)
def test_packed_rows_are_computed_by_the_role_that_acts(base: str) -> None:
    model = with_roles(base)
    single = use_packed_attention(alone(base, "policy", model))
    use_packed_attention(model)
    batch = pack(tiny_models.rows([7, 12], shared=9))
    with acting(model, "policy"):
        torch.testing.assert_close(batch_log_probs(model, batch), batch_log_probs(single, batch), rtol=1e-5, atol=1e-5)
