"""Optimizers against hand-computed steps and torch's own; masters keep what bfloat16 would lose."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from sartor.adapters.lora import LoraSettings, add_lora
from sartor.base.errors import UsageError
from sartor.base.seeds import seed_everything
from sartor.data.packing import pack
from sartor.models.forward import use_packed_attention
from sartor.recipes.examples import supervised_loss
from sartor.train.log_probs import batch_log_probs
from sartor.train.masters import MasterWeights
from sartor.train.optimizer import Optimizer, OptimizerName, gradient_norm, hidden_matrices, trainable_parameters
from sartor.train.optimizers import muon
from sartor.train.optimizers.adamw8bit import AdamW8bit, codebook, dequantize, quantize
from sartor.train.optimizers.muon import Muon, orthogonalized
from tests import tiny_models

NAMES: tuple[OptimizerName, ...] = ("adamw", "adamw8bit", "muon")


def whole(dtype: torch.dtype = torch.float32) -> nn.Module:
    return use_packed_attention(tiny_models.model()).to(dtype).requires_grad_(True)


def backward(model: nn.Module, seed: int = 0, scale: float = 1.0) -> Tensor:
    batch = pack(tiny_models.rows([12, 9, 17], shared=8, seed=seed))
    loss, _ = supervised_loss(model, batch, batch.num_trained)
    (scale * loss).backward()
    return loss.detach()


# --- 8-bit AdamW --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signed", [True, False])
def test_the_codebook_is_the_dynamic_tree(signed: bool) -> None:
    book = codebook(signed)
    assert len(book) == len(set(book.tolist())) == 256 and book.tolist() == sorted(book.tolist())
    assert 0.0 in book and book[-1] == 1.0 and book[0] == pytest.approx(-0.9929688 if signed else 0.0)
    assert float(book[book > 0].min()) == pytest.approx(0.55e-6 if signed else 0.325e-6)  # one code a decade, or two
    assert int((book > 0.1).sum()) == (65 if signed else 129)


def test_quantized_values_come_back_within_the_stated_error() -> None:
    torch.manual_seed(0)
    values = torch.randn(7, 600) * torch.logspace(-6, 3, 7)[:, None]
    codes, scales = quantize(values, signed=True)
    assert codes.dtype == torch.uint8 and codes.shape == (7, 600) and scales.shape == (7, 3)
    back = dequantize(codes, scales, signed=True)
    assert float(((back - values).abs() / scales.repeat_interleave(256, 1)[:, :600]).max()) < 0.008
    assert torch.equal(scales[:, 2], values[:, 512:].abs().amax(1))
    nothing, zero = quantize(torch.zeros(2, 300), signed=False)
    assert torch.equal(dequantize(nothing, zero, signed=False), torch.zeros(2, 300))


def test_rows_quantize_alike_alone_and_together() -> None:
    """So that processes may share out a state by rows."""
    values = torch.randn(6, 300)
    together, alone = quantize(values, True), quantize(values[2:4], True)
    assert all(torch.equal(one[2:4], other) for one, other in zip(together, alone, strict=True))


def descent(make: Callable[[list[nn.Parameter]], torch.optim.Optimizer], steps: int = 300) -> list[float]:
    """Losses of a least-squares problem whose columns differ in scale by a factor of 100."""
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randn(256, 40, generator=draw) * torch.logspace(-1, 1, 40)
    targets = inputs @ torch.randn(40, 16, generator=draw)
    weight = nn.Parameter(torch.zeros(16, 40))
    optimizer = make([weight])
    losses = []
    for _ in range(steps):
        loss = (inputs @ weight.t() - targets).square().mean()
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return losses


def test_8bit_adamw_goes_down_as_adamw_does() -> None:
    exact = descent(lambda weights: torch.optim.AdamW(weights, lr=0.01, weight_decay=0.1))
    quantized = descent(lambda weights: eight_bit(weights, 0.01, 0.1))
    assert quantized[0] == exact[0] and exact[-1] < 0.02 * exact[0]
    for step in (1, 10, 50, 150, 299):
        assert quantized[step] == pytest.approx(exact[step], rel=0.1), step  # seven steps late after 300


def eight_bit(weights: list[nn.Parameter], rate: float, decay: float) -> AdamW8bit:
    optimizer = AdamW8bit([{"params": weights, "weight_decay": decay, "lr": rate}])
    return optimizer


def test_8bit_adamw_is_adamw_exactly_on_its_first_step_and_on_vectors() -> None:
    matrices, vectors = [nn.Parameter(torch.ones(3, 300)) for _ in "ab"], [nn.Parameter(torch.ones(9)) for _ in "ab"]
    draw = torch.Generator().manual_seed(0)
    ours = eight_bit([matrices[0], vectors[0]], 0.1, 0.01)
    theirs = torch.optim.AdamW([matrices[1], vectors[1]], lr=0.1, weight_decay=0.01)
    for step in range(3):
        for pair in (matrices, vectors):
            pair[0].grad = torch.randn(pair[0].shape, generator=draw)
            pair[1].grad = pair[0].grad.clone()
        ours.step()
        theirs.step()
        torch.testing.assert_close(vectors[0], vectors[1])
        if step == 0:
            torch.testing.assert_close(matrices[0], matrices[1])
    state = ours.state[matrices[0]]
    assert sum(tensor.numel() * tensor.element_size() for tensor in state.values() if tensor.ndim) < 2.1 * 900


def test_a_large_matrix_is_changed_in_slices_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = []
    for at_once in (10_000, 100):
        monkeypatch.setattr("sartor.train.optimizers.adamw8bit.NUMBERS_AT_ONCE", at_once)
        weight = nn.Parameter(torch.linspace(-1, 1, 900).view(9, 2, 50))
        optimizer = eight_bit([weight], 0.1, 0.0)
        for step in range(3):
            weight.grad = torch.sin(torch.arange(900.0) + step).view(9, 2, 50)
            optimizer.step()
        changed.append(weight.detach())
    assert torch.equal(*changed)


# --- Muon ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(16, 16), (8, 40), (40, 8)])
def test_orthogonalized_keeps_the_directions_and_evens_out_the_lengths(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    left, lengths, right = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    matrix = left @ torch.diag(torch.linspace(5, 0.5, len(lengths))) @ right
    result = orthogonalized(matrix)
    lengths = torch.linalg.svdvals(result)
    assert float(lengths.min()) > 0.65 and float(lengths.max()) < 1.25
    rotated = left.t() @ result @ right.t()
    torch.testing.assert_close(rotated, torch.diag(rotated.diagonal()), atol=1e-4, rtol=0)


def test_orthogonalized_by_hand() -> None:
    """Of diag(3, 4): divided by its norm 5, each of 0.6 and 0.8 goes five times through ax + bx³ + cx⁵."""
    expected = []
    for x in (0.6, 0.8):
        for _ in range(5):
            x = 3.4445 * x - 4.7750 * x**3 + 2.0315 * x**5
        expected.append(x)
    torch.testing.assert_close(orthogonalized(torch.diag(torch.tensor([3.0, 4.0]))), torch.diag(torch.tensor(expected)))


def test_muon_is_torchs_muon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(muon, "compute_dtype", lambda device: torch.bfloat16)  # as torch's
    torch.manual_seed(0)
    for shape in ((24, 48), (48, 24)):
        ours, theirs = (nn.Parameter(torch.ones(shape)) for _ in range(2))
        one = Muon([ours], 0.1, gather=lambda matrix, rows: rows, rows=lambda matrix: (0, len(matrix)))
        one.param_groups[0]["lr"] = 0.1
        other = torch.optim.Muon([theirs], lr=0.1, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
        for _ in range(4):
            ours.grad = torch.randn(shape)
            theirs.grad = ours.grad.clone()
            one.step()
            other.step()
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)
        assert float((ours.detach() - 1).norm()) > 1


def test_muon_changes_the_matrices_inside_the_layers_and_adamw_the_rest() -> None:
    model = whole()
    hidden = hidden_matrices(model)
    assert len(hidden) == 2 * 7 and all(".layers." in name and "norm" not in name for name in hidden)
    with Optimizer(model, "muon") as optimizer:
        backward(model)
        optimizer.step(0.01)
        keys = {name: {label.split(":")[0] for label in optimizer.state() if label.endswith(f":{name}")} for name in
                trainable_parameters(model)}  # fmt: skip
    assert all(keys[name] == {"momentum"} for name in hidden)
    assert all(keys[name] == {"step", "exp_avg", "exp_avg_sq"} for name in keys.keys() - hidden)


def test_muon_is_refused_where_only_an_adapter_is_trained() -> None:
    model = use_packed_attention(tiny_models.model())
    add_lora(model, LoraSettings(rank=4))
    with pytest.raises(UsageError, match="whole weight matrices") as refused:
        Optimizer(model, "muon")
    assert "--adapter none" in str(refused.value)


# --- all of them --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_optimizer_teaches_a_whole_model_in_bfloat16(name: OptimizerName) -> None:
    model = whole(torch.bfloat16)
    with Optimizer(model, name) as optimizer:
        losses = []
        for _ in range(40):
            losses.append(float(backward(model)))
            optimizer.step(3e-3)
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_restored_optimizer_goes_on_bit_for_bit(name: OptimizerName, dtype: torch.dtype) -> None:
    model, other = whole(dtype), whole(dtype)
    with Optimizer(model, name, 0.1) as optimizer:
        for step in range(5):
            if step == 3:
                saved = {label: tensor.clone() for label, tensor in optimizer.state().items()}
                masters = {label: master.detach().clone() for label, master in optimizer.weights.masters.items()}
            backward(model, seed=step)
            optimizer.step(1e-2)
    with Optimizer(other, name, 0.1) as restored:
        for label, master in restored.weights.masters.items():
            master.data.copy_(masters[label])
        restored.weights.publish()
        restored.load_state(saved)
        for step in (3, 4):
            backward(other, seed=step)
            restored.step(1e-2)
    for (label, one), two in zip(model.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two), label


def test_vectors_do_not_decay() -> None:
    model = whole()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    with Optimizer(model, "adamw", weight_decay=0.5) as optimizer:
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step(0.1)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.detach(), before[name] * (0.95 if parameter.ndim > 1 else 1.0))


def test_a_step_is_seen_by_who_caches_by_the_version() -> None:
    """An adapted layer keeps A and B converted until they change; fused AdamW does not tell that they did."""
    model = use_packed_attention(tiny_models.model())
    seed_everything(0)
    add_lora(model, LoraSettings(rank=4))
    batch = pack(tiny_models.rows([12]))
    answers = []
    with Optimizer(model) as optimizer:
        for _ in range(2):
            with torch.no_grad():
                answers.append(batch_log_probs(model.eval(), batch))
            backward(model.train())
            optimizer.step(0.1)
    assert not torch.equal(*answers)


# --- masters ------------------------------------------------------------------------------------------------------


def test_masters_learn_from_steps_that_bfloat16_would_round_away() -> None:
    """1,000 steps of 10^-4 on a weight of 1: bfloat16's spacing there is 2^-7."""
    model = nn.Linear(1, 1, bias=False, dtype=torch.bfloat16)
    model.weight.data.fill_(1.0)
    with Optimizer(model) as optimizer:
        for _ in range(1000):
            model(torch.ones(1, 1, dtype=torch.bfloat16)).sum().backward()
            optimizer.step(1e-4)
        assert float(optimizer.weights.masters["weight"].detach()) == pytest.approx(0.9, abs=1e-4)
    assert float(model.weight.detach()) == pytest.approx(0.9, abs=2**-8)


def test_gradients_of_micro_batches_are_added_in_float32_and_freed() -> None:
    """256 + 1 + 1 + … is 256 in bfloat16."""
    model = nn.Linear(1, 1, bias=False, dtype=torch.bfloat16)
    weights = MasterWeights(trainable_parameters(model))
    for value in (256.0, *[1.0] * 8):
        model(torch.full((1, 1), value, dtype=torch.bfloat16)).sum().backward()
        assert model.weight.grad is None
    master = weights.masters["weight"]
    assert master.dtype == torch.float32 and float(master.grad) == 264.0  # type: ignore[arg-type]
    weights.close()
    model(torch.ones(1, 1, dtype=torch.bfloat16)).sum().backward()
    assert float(model.weight.grad) == 1.0 and float(master.grad) == 264.0  # type: ignore[arg-type]


def test_float32_weights_are_their_own_masters() -> None:
    model = nn.Linear(2, 2)
    weights = MasterWeights(trainable_parameters(model))
    assert weights.masters["weight"] is model.weight
    model(torch.ones(1, 2)).sum().backward()
    assert float(gradient_norm(weights)) == pytest.approx(6**0.5)  # four weights and two biases, each with gradient 1


def test_best_weights_come_back_into_model_and_masters() -> None:
    model = nn.Linear(3, 3, dtype=torch.bfloat16)
    weights = MasterWeights(trainable_parameters(model))
    best = weights.model_weights()
    with torch.no_grad():
        for master in weights.masters.values():
            master += 1
    weights.publish()
    assert not torch.equal(model.weight, best["weight"])
    weights.load_model_weights(best)
    assert torch.equal(model.weight, best["weight"])
    assert torch.equal(weights.masters["bias"], best["bias"].float())
