"""Several adapters on one frozen base, of which at most one acts at a time: the policy, the value function and the
reward model of RLHF in little more than the memory of one model. With none acting, the base answers: the reference.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from transformers import PreTrainedModel

from sartor.adapters.lora import LoraLinear, LoraSettings, target_names
from sartor.adapters.quantized import replace_layer


class RoleLinear(nn.Module):
    """A frozen linear layer with a low-rank branch for each role."""

    def __init__(self, base: nn.Module):
        super().__init__()
        self.base = base
        self.roles = nn.ModuleDict()
        self.acting: str | None = None

    def forward(self, x: Tensor) -> Tensor:
        role = self.acting
        layer = self.roles[role] if role is not None and role in self.roles else self.base
        result: Tensor = layer(x)
        return result


def add_role(model: PreTrainedModel, role: str, settings: LoraSettings) -> dict[str, LoraLinear]:
    """Freeze the base and put the role's branch on each target, in place; returns the role's layers by the names they
    have in the base. Roles may have other settings and targets than one another."""
    known = role_linears(model)
    if not known:
        model.requires_grad_(False)
    layers = {}
    for name in target_names(model, settings.targets):
        if name not in known:
            known[name] = RoleLinear(model.get_submodule(name))
            replace_layer(model, name, known[name])
        layers[name] = LoraLinear(known[name].base, settings)
        known[name].roles[role] = layers[name]
    return layers


def role_layers(model: nn.Module, role: str) -> dict[str, LoraLinear]:
    """The role's low-rank layers by their names in the base."""
    return {name: linear.roles[role] for name, linear in role_linears(model).items() if role in linear.roles}  # type: ignore[misc]


def role_linears(model: nn.Module) -> dict[str, RoleLinear]:
    return {name: module for name, module in model.named_modules() if isinstance(module, RoleLinear)}


def act_as(model: nn.Module, role: str | None) -> None:
    """Let the role's adapter act from now on (None: the base alone)."""
    for linear in role_linears(model).values():
        linear.acting = role


@contextmanager
def acting(model: nn.Module, role: str | None) -> Iterator[None]:
    """Let the role's adapter act (None: the base alone) for the time of the block."""
    linears = list(role_linears(model).values())
    assert role is None or any(role in linear.roles for linear in linears), f"this model has no role {role}"
    before = [linear.acting for linear in linears]
    for linear in linears:
        linear.acting = role
    try:
        yield
    finally:
        for linear, role_before in zip(linears, before, strict=True):
            linear.acting = role_before
