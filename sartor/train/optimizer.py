"""The rules by which trained weights change, by name, and their state as plain named tensors (no pickle)."""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from sartor.base.distributed import sum_over
from sartor.base.errors import UsageError
from sartor.train.masters import MasterWeights
from sartor.train.optimizers.adamw8bit import AdamW8bit
from sartor.train.optimizers.muon import Muon

OptimizerName = Literal["adamw", "adamw8bit", "muon"]
LOW_RANK_NAMES = ("lora_A", "lora_B")
BETA1, BETA2 = 0.9, 0.999  # of AdamW, as its authors and torch have them


class Optimizer:
    """Changes the trained weights of a model; while it is open, their gradients arrive in float32 at `weights`.

    Weight decay acts on matrices only: shrinking a norm or a bias regularises nothing. State, bytes a weight, on top
    of what `MasterWeights` says: adamw 8; adamw8bit 2; muon 4 for the matrices inside the model and 8 for the rest.
    """

    def __init__(
        self, model: nn.Module, name: OptimizerName = "adamw", weight_decay: float = 0.0, beta2: float = BETA2
    ):
        """`beta2` is AdamW's decay of squared gradients. UsageError for `muon` where no whole matrix is trained."""
        self.weights = MasterWeights(trainable_parameters(model))
        masters = self.weights.masters
        hidden = hidden_matrices(model) & masters.keys() if name == "muon" else set()
        if name == "muon" and not hidden:
            raise UsageError(
                "muon changes whole weight matrices, and none is trained here (an adapter's are factors of one)",
                where="--optimizer",
                hint="take adamw, or train every weight with --adapter none",
            )
        groups = _groups({label: master for label, master in masters.items() if label not in hidden}, weight_decay)
        self.rules: list[torch.optim.Optimizer] = []
        if groups:
            self.rules.append(AdamW8bit(groups, (BETA1, beta2)) if name == "adamw8bit" else _adamw(groups, beta2))
        if hidden:
            self.rules.append(_muon(self.weights, hidden, weight_decay))

    def step(self, learning_rate: float) -> None:
        """Change the weights by their gradients, put them into the model and drop the gradients."""
        for rule in self.rules:
            for group in rule.param_groups:
                group["lr"] = learning_rate
            rule.step()
            rule.zero_grad(set_to_none=True)
        self.weights.publish()

    def state(self) -> dict[str, Tensor]:
        """Every tensor of the rules' state as `<state>:<parameter name>`."""
        return {
            f"{key}:{name}": value.detach()
            for rule in self.rules
            for name, master in self.weights.masters.items()
            for key, value in rule.state.get(master, {}).items()
        }

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `state` gave (and copies of it)."""
        owners = {id(weight): rule for rule in self.rules for group in rule.param_groups for weight in group["params"]}
        for label, value in tensors.items():
            key, _, name = label.partition(":")
            master = self.weights.masters[name]
            rule = owners[id(master)]
            on_device = value.ndim > 0 or rule.defaults.get("fused")  # torch counts steps on the CPU, fused ones apart
            rule.state[master][key] = value.to(master.device).clone() if on_device else value.clone()

    def close(self) -> None:
        self.weights.close()

    def __enter__(self) -> "Optimizer":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def trainable_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def hidden_matrices(model: nn.Module) -> set[str]:
    """Names of the matrices inside a model's layers (any list of modules), without an adapter's factors: not the
    embeddings, not the head, not the vectors."""
    return {
        f"{list_name}.{name}"
        for list_name, module in model.named_modules()
        if isinstance(module, nn.ModuleList)
        for name, parameter in module.named_parameters()
        if parameter.ndim == 2 and name.split(".")[-1] not in LOW_RANK_NAMES
    }


def gradient_norm(weights: MasterWeights) -> Tensor:
    """The Euclidean norm of all gradients together, over all processes' rows."""
    grads = {name: master.grad for name, master in weights.masters.items() if master.grad is not None}
    norm: Tensor = torch.nn.utils.get_total_norm([grad for name, grad in grads.items() if name not in weights.sharded])
    if not weights.sharded:
        return norm
    own = torch.nn.utils.get_total_norm([grad for name, grad in grads.items() if name in weights.sharded])
    (squares,) = sum_over([float(own) ** 2])
    return (norm.square() + squares).sqrt()


def _adamw(groups: list[dict[str, Any]], beta2: float) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter, 1711.05101); the fused operation, where torch has one, takes a quarter of the time
    (measured on a CPU)."""
    fused = groups[0]["params"][0].device.type in ("cpu", "cuda")
    return torch.optim.AdamW(groups, lr=0.0, betas=(BETA1, beta2), fused=fused, foreach=not fused)


def _groups(masters: Mapping[str, nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    matrices = [master for master in masters.values() if master.ndim >= 2]
    vectors = [master for master in masters.values() if master.ndim < 2]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def _muon(weights: MasterWeights, hidden: set[str], weight_decay: float) -> Muon:
    names = {id(master): name for name, master in weights.masters.items() if name in hidden}
    return Muon(
        [weights.masters[name] for name in weights.masters if name in hidden],
        weight_decay,
        gather=lambda matrix, rows: weights.whole(names[id(matrix)], rows),
        rows=lambda matrix: weights.rows(names[id(matrix)]),
    )
