"""Several LoRA adapters on one base in one batch, each for its own tokens: the base product is computed once for all of
them (as Punica, 2310.18547, and S-LoRA, 2311.03285, do for serving).

The low-rank factors of all adapters of a layer stand side by side, x [A₁ᵀ A₂ᵀ …] is computed for all tokens, what does
not belong to a token's own adapter is set to zero, and one product with the B's, one below the other, gives every token
its own branch. That is three operations a layer, however many adapters there are. Where all tokens have one adapter,
only its own factors are used.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from sartor.adapters.lora import LoraLinear, lora_layers, target_names
from sartor.adapters.quantized import is_quantized, replace_layer
from sartor.adapters.store import WEIGHTS_FILE, load_adapter_tensors, read_settings, trained_on_quantized
from sartor.base.errors import DataError, UsageError
from sartor.base.tensor_file import read_tensors


@dataclass
class _Selection:
    """Which adapter each token of the coming forward pass has: None where no token has one, `only` where all have the
    same one, else `owners` [T], the adapters' numbers (-1: none). `hidden` are masks [T, ranks] by a layer's ranks."""

    only: str | None = None
    owners: Tensor | None = None
    hidden: dict[tuple[tuple[int, int], ...], Tensor] = field(default_factory=dict)


class RowLoraLinear(nn.Module):
    """A frozen linear layer with a low-rank branch for each adapter that adapts it."""

    def __init__(self, base: nn.Module, selection: "_Selected"):
        super().__init__()
        self.base, self._selected = base, selection
        self._numbers: dict[str, int] = {}
        self._factors: dict[str, tuple[Tensor, Tensor]] = {}  # a [in, r], b [r, out], in float32, the scale in b
        self._ready: dict[tuple[str | None, torch.dtype], tuple[Tensor, Tensor]] = {}
        self._ranks: tuple[tuple[int, int], ...] = ()  # (adapter's number, rank) of the factors side by side

    def add(self, name: str, number: int, layer: LoraLinear) -> None:
        self._numbers[name] = number
        self._factors[name] = (layer.lora_A.detach().t(), layer.lora_B.detach().t() * layer.scale)
        self._ranks = tuple((self._numbers[each], a.shape[1]) for each, (a, _) in self._factors.items())
        self._ready.clear()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.base(x)
        now = self._selected.now
        if now.owners is None and (now.only is None or now.only not in self._factors):
            return result
        flat, into = x.reshape(-1, x.shape[-1]), result.view(-1, result.shape[-1])
        a, b = self._converted(now.only, x.dtype)
        narrow = flat @ a
        if now.owners is not None:
            narrow.masked_fill_(self._hidden(now, now.owners), 0.0)
        into.addmm_(narrow, b)
        return result

    def _converted(self, name: str | None, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The factors of an adapter, or (None) of all side by side, in the number format of the answers."""
        if (name, dtype) not in self._ready:
            pairs = list(self._factors.values()) if name is None else [self._factors[name]]
            a, b = torch.cat([a for a, _ in pairs], 1), torch.cat([b for _, b in pairs], 0)
            self._ready[name, dtype] = (a.to(dtype).contiguous(), b.to(dtype).contiguous())
        return self._ready[name, dtype]

    def _hidden(self, now: _Selection, owners: Tensor) -> Tensor:
        """[T, ranks], True where a column is not of the token's own adapter; the same for all layers of like ranks."""
        if self._ranks not in now.hidden:
            columns = [number for number, rank in self._ranks for _ in range(rank)]
            now.hidden[self._ranks] = owners[:, None] != torch.tensor(columns, device=owners.device)
        return now.hidden[self._ranks]


@dataclass
class _Selected:
    """What all layers of a model look at."""

    now: _Selection = field(default_factory=_Selection)


class RowAdapters:
    """The adapters of a model, by name. The model answers as its base until `select` says otherwise."""

    def __init__(self, model: PreTrainedModel):
        self.model = model
        self._numbers: dict[str, int] = {}
        self._selected = _Selected()

    def __contains__(self, name: object) -> bool:
        return name in self._numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self, name: str, folder: Path) -> None:
        """Load the adapter in `folder`, in PEFT's layout, beside those that are there.

        DataError for a damaged one or one of another base; UsageError for a kind that cannot share a batch.
        """
        if name in self._numbers:
            return
        settings, _ = read_settings(folder)
        alone = "serve it on its own, or merge it into its base: sartor export"
        if settings.weight_decomposed:
            raise UsageError("DoRA adapters cannot share a base with others", where=str(folder), hint=alone)
        if trained_on_quantized(folder) or is_quantized(self.model):
            raise UsageError("adapters of a 4-bit base cannot share it with others", where=str(folder), hint=alone)
        if lora_layers(self.model):
            raise UsageError("this model has an adapter of its own already", where=str(folder), hint="open its base")
        known = {key: module for key, module in self.model.named_modules() if isinstance(module, RowLoraLinear)}
        names = target_names(self.model, settings.targets)
        layers = {key: LoraLinear(known[key].base if key in known else self._plain(key), settings) for key in names}
        tensors = read_tensors(folder / WEIGHTS_FILE)
        load_adapter_tensors(layers, tensors, str(folder / WEIGHTS_FILE))
        if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
            raise DataError("the adapter has weights that are no numbers", where=str(folder / WEIGHTS_FILE))
        self._numbers[name] = len(self._numbers)
        for key, layer in layers.items():
            if key not in known:
                known[key] = RowLoraLinear(self._plain(key), self._selected)
                replace_layer(self.model, key, known[key])
            known[key].add(name, self._numbers[name], layer)

    def _plain(self, name: str) -> nn.Module:
        return self.model.get_submodule(name)

    def select(self, names: Sequence[str | None], counts: Sequence[int]) -> None:
        """Of the tokens of the coming forward passes the first `counts[0]` have the adapter `names[0]` (None: the
        base), and so on."""
        if len(set(names)) == 1:
            self._selected.now = _Selection(only=names[0])
            return
        numbers = torch.tensor([-1 if name is None else self._numbers[name] for name in names])
        owners = numbers.repeat_interleave(torch.tensor(counts))
        self._selected.now = _Selection(owners=owners.to(self.model.device))
