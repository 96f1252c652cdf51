"""From hidden states to the log-probabilities of given tokens, and the entropy of all, without the full logit matrix.

The logits of a position are needed for a moment only: the gradient of log p(target) to the hidden state,
u = W[target] - Σ_v p_v W[v], is one vector, whatever the loss later does with the log-probability. So the logits are
computed tile by tile (positions by vocabulary), each tile's share of the normaliser and of Σ_v e^(z_v) W[v] is added
up under a running maximum (Milakov & Gimelshein, 1805.02867; Cut Cross-Entropy, 2411.09009), and the tile is dropped
while it is still in the processor's cache.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from sartor.models.decoding_linear import KeptOrder, serves

TILE_POSITIONS, TILE_TOKENS = 512, 1024  # measured: full speed of the matrix product, and a tile stays in cache
LOWEST_SHIFT = -200.0  # e^-200 is 0 in float32, and unlike -∞ it can be multiplied by 0


@dataclass(frozen=True)
class Head:
    """logits = softcap(scale · hidden weightᵀ) with weight [V, d]; models whose head has a bias are refused."""

    weight: Tensor
    scale: float = 1.0
    softcap: float | None = None
    kept: KeptOrder = field(default_factory=KeptOrder, compare=False, repr=False)

    @staticmethod
    def of(model: PreTrainedModel) -> "Head":
        config: Any = model.config.get_text_config()  # of a model that sees as well, the part that writes
        scale = 1.0 / getattr(config, "logits_scaling", 1.0) * getattr(config, "logit_scale", 1.0)
        return Head(model.get_output_embeddings().weight, scale, getattr(config, "final_logit_softcapping", None))

    def logits(self, hidden: Tensor) -> Tensor:
        """hidden [N, d] -> float32 [N, V]."""
        if torch.is_grad_enabled() or not serves(hidden, self.weight):
            return self.cap((hidden @ self.weight.t()).float())
        return self.cap(self.kept.product(hidden, self.weight).float())

    def cap(self, raw: Tensor) -> Tensor:
        if self.scale != 1.0:
            raw = raw * self.scale
        return raw if self.softcap is None else torch.tanh(raw / self.softcap) * self.softcap


class _TokenLogProbs(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, head: Head, temperature: float
    ) -> Tensor:
        needs_grad = hidden.requires_grad or weight.requires_grad
        log_probs = torch.empty(len(targets), dtype=torch.float32, device=hidden.device)
        normalizers = torch.empty_like(log_probs)
        slopes = torch.empty_like(hidden) if needs_grad else None
        for start in range(0, len(targets), TILE_POSITIONS):
            rows = slice(start, start + TILE_POSITIONS)
            tiles = _Tiles(hidden[rows], weight, head, temperature)
            at_target, normalizers[rows], slope = tiles.reduce(targets[rows], needs_grad)
            log_probs[rows] = at_target - normalizers[rows]
            if slopes is not None and slope is not None:
                slopes[rows] = slope
        ctx.save_for_backward(hidden, weight, targets, slopes, normalizers)
        ctx.head, ctx.temperature = head, temperature
        return log_probs

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        hidden, weight, targets, slopes, normalizers = ctx.saved_tensors
        grad_hidden = slopes * grad[:, None].to(slopes.dtype)
        if not ctx.needs_input_grad[1]:
            return grad_hidden, None, None, None, None
        grad_weight = torch.zeros(weight.shape, dtype=torch.float32, device=weight.device)
        for start in range(0, len(targets), TILE_POSITIONS):
            rows = slice(start, start + TILE_POSITIONS)
            tiles = _Tiles(hidden[rows], weight, ctx.head, ctx.temperature)
            tiles.add_weight_gradient(grad_weight, targets[rows], normalizers[rows], grad[rows])
        return grad_hidden, grad_weight.to(weight.dtype), None, None, None


class _TokenEntropies(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, hidden: Tensor, weight: Tensor, head: Head, temperature: float
    ) -> Tensor:
        entropies = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        normalizers = torch.empty_like(entropies)
        for start in range(0, len(hidden), TILE_POSITIONS):
            rows = slice(start, start + TILE_POSITIONS)
            entropies[rows], normalizers[rows] = _Tiles(hidden[rows], weight, head, temperature).entropy()
        ctx.save_for_backward(hidden, weight, entropies, normalizers)
        ctx.head, ctx.temperature = head, temperature
        return entropies

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        hidden, weight, entropies, normalizers = ctx.saved_tensors
        grad_hidden = torch.empty_like(hidden)
        trains_weight = ctx.needs_input_grad[1]
        grad_weight = torch.zeros(weight.shape, dtype=torch.float32, device=weight.device) if trains_weight else None
        for start in range(0, len(hidden), TILE_POSITIONS):
            rows = slice(start, start + TILE_POSITIONS)
            tiles = _Tiles(hidden[rows], weight, ctx.head, ctx.temperature)
            grad_hidden[rows] = tiles.entropy_gradient(grad_weight, entropies[rows], normalizers[rows], grad[rows])
        return grad_hidden, None if grad_weight is None else grad_weight.to(weight.dtype), None, None


class _Tiles:
    """Logits of some positions, a tile of the vocabulary at a time, in memory that is used again for each tile.

    hidden [P, d], weight [V, d]. z = softcap(scale · hidden weightᵀ) / temperature.
    """

    def __init__(self, hidden: Tensor, weight: Tensor, head: Head, temperature: float):
        self.hidden, self.weight, self.head, self.temperature = hidden, weight, head, temperature
        self._raw = torch.empty(len(hidden) * TILE_TOKENS, dtype=hidden.dtype, device=hidden.device)
        self._exact = torch.empty(len(hidden) * TILE_TOKENS, dtype=torch.float32, device=hidden.device)

    def __iter__(self) -> Iterator[tuple[int, Tensor, Tensor, Tensor]]:
        """(first token, weight [v, d], z [P, v] float32, room [P, v] in the weight's type) of each tile."""
        for first in range(0, len(self.weight), TILE_TOKENS):
            weight = self.weight[first : first + TILE_TOKENS]
            shape = (len(self.hidden), len(weight))
            raw = self._raw[: shape[0] * shape[1]].view(shape)
            torch.mm(self.hidden, weight.t(), out=raw)
            exact = self._exact[: shape[0] * shape[1]].view(shape).copy_(raw)
            yield first, weight, self._scaled(exact), raw

    def _scaled(self, raw: Tensor) -> Tensor:
        if self.head.scale != 1.0:
            raw.mul_(self.head.scale)
        if self.head.softcap is not None:
            raw.div_(self.head.softcap).tanh_().mul_(self.head.softcap)
        return raw.div_(self.temperature) if self.temperature != 1.0 else raw

    def slope(self, z: Tensor) -> Tensor | float:
        """d z / d (hidden weightᵀ) at z."""
        factor = self.head.scale / self.temperature
        return factor if self.head.softcap is None else (1 - (z * (self.temperature / self.head.softcap)) ** 2) * factor

    def reduce(self, targets: Tensor, want_slope: bool) -> tuple[Tensor, Tensor, Tensor | None]:
        """z of the targets [P], log Σ_v e^z_v [P] and, if wanted, d log p(target) / d hidden [P, d] in its type."""
        largest = torch.full_like(self.hidden[:, :1], -torch.inf, dtype=torch.float32)
        total, at_target = torch.zeros_like(largest), torch.zeros_like(largest)
        mean = torch.zeros_like(self.hidden, dtype=torch.float32) if want_slope else None
        for first, weight, z, room in self:
            place = targets[:, None] - first
            inside = (place >= 0) & (place < len(weight))
            at_target = torch.where(inside, z.gather(1, place.clamp(0, len(weight) - 1)), at_target)
            slope = self.slope(z) if want_slope else 1.0
            larger = torch.maximum(largest, z.amax(1, keepdim=True))
            shrunk = (largest - larger).exp_()
            z.sub_(larger).exp_()
            total.mul_(shrunk).add_(z.sum(1, keepdim=True))
            largest = larger
            if mean is not None:
                room.copy_(z.mul_(slope) if isinstance(slope, Tensor) else z)
                mean.mul_(shrunk).add_(room @ weight)
        normalizer = largest + total.log()
        if mean is None:
            return at_target[:, 0], normalizer[:, 0], None
        mean.div_(total)
        own = self.slope(at_target)
        if isinstance(own, float):
            slopes = self.weight[targets].float().sub_(mean).mul_(own)
        else:
            slopes = self.weight[targets].float().mul_(own).sub_(mean)
        return at_target[:, 0], normalizer[:, 0], slopes.to(self.hidden.dtype)

    def add_weight_gradient(self, total: Tensor, targets: Tensor, normalizer: Tensor, grad: Tensor) -> None:
        """total [V, d] += Σ_P grad · d log p(target) / d weight."""
        for first, weight, z, room in self:
            slope = self.slope(z)
            own = slope * grad[:, None]
            place = targets - first
            inside = ((place >= 0) & (place < len(weight))).nonzero()[:, 0]
            columns = place[inside]
            z.sub_(normalizer[:, None]).exp_().neg_()
            z[inside, columns] += 1
            room.copy_(z.mul_(own))
            total[first : first + len(weight)] += room.t() @ self.hidden

    def entropy(self) -> tuple[Tensor, Tensor]:
        """-Σ_v p_v log p_v [P] and log Σ_v e^z_v [P]."""
        largest = torch.full_like(self.hidden[:, :1], -torch.inf, dtype=torch.float32)
        total = torch.zeros_like(largest)  # Σ e^(z - largest)
        moment = torch.zeros_like(largest)  # Σ e^(z - largest) · (z - largest)
        for _, _, z, _ in self:
            larger = torch.maximum(largest, z.amax(1, keepdim=True))
            shift = (largest - larger).clamp_(min=LOWEST_SHIFT)
            moment.add_(shift * total).mul_(shift.exp())
            total.mul_(shift.exp())
            largest = larger
            z.sub_(larger)
            powers = z.exp()
            total.add_(powers.sum(1, keepdim=True))
            moment.add_(powers.mul_(z).sum(1, keepdim=True))
        logarithm = total.log()
        return (logarithm - moment / total)[:, 0], (largest + logarithm)[:, 0]

    def entropy_gradient(
        self, weight_total: Tensor | None, entropies: Tensor, normalizer: Tensor, grad: Tensor
    ) -> Tensor:
        """grad · d entropy / d hidden [P, d] in its type; weight_total [V, d] += Σ_P grad · d entropy / d weight.

        d entropy / d z_v = -p_v (log p_v + entropy).
        """
        result = torch.zeros_like(self.hidden, dtype=torch.float32)
        for first, weight, z, room in self:
            own = self.slope(z) * grad[:, None]
            z.sub_(normalizer[:, None])  # log p
            probabilities = z.exp()
            room.copy_(z.add_(entropies[:, None]).mul_(probabilities).mul_(own).neg_())
            result.add_(room @ weight)
            if weight_total is not None:
                weight_total[first : first + len(weight)] += room.t() @ self.hidden
        return result.to(self.hidden.dtype)


def token_log_probs(hidden: Tensor, head: Head, targets: Tensor, temperature: float = 1.0) -> Tensor:
    """log p(target) at each position: hidden [N, d], targets [N] -> float32 [N], differentiable.

    `temperature` divides the logits, as sampling does.
    """
    result: Tensor = _TokenLogProbs.apply(hidden, head.weight, targets, head, temperature)  # type: ignore[no-untyped-call]
    return result


def token_entropies(hidden: Tensor, head: Head, temperature: float = 1.0) -> Tensor:
    """-Σ_v p_v log p_v at each position, in nats: hidden [N, d] -> float32 [N], differentiable.

    Exact, over the whole vocabulary; the backward pass computes the logits again. `temperature` divides the logits, as
    sampling does.
    """
    result: Tensor = _TokenEntropies.apply(hidden, head.weight, head, temperature)  # type: ignore[no-untyped-call]
    return result
