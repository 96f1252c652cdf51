"""The loss of running text is transformers' own, however a step is cut; held-out measures by hand."""

import math

import numpy as np
import pytest
import torch

from sartor.data.packing import Batch
from sartor.data.token_shards.stream import Window
from sartor.data.windows import pack_windows
from sartor.train.running_text import HeldOutText, running_text_loss
from tests import tiny_models


def windows(number: int = 4, length: int = 9) -> list[Window]:
    draw = np.random.default_rng(3)
    return [Window(draw.integers(0, 300, length + 1), (0,), f"window {n}") for n in range(number)]


def reference_loss(model: torch.nn.Module, given: list[Window]) -> float:
    """Each window by itself through transformers' own head and cross-entropy, in float32."""
    plain = tiny_models.model("llama")
    plain.load_state_dict(model.state_dict())
    with torch.no_grad():
        losses = [plain(torch.from_numpy(w.ids)[None], labels=torch.from_numpy(w.ids)[None]).loss for w in given]
    return float(torch.stack(losses).mean())


def gradients(model: torch.nn.Module, batches: list[Batch]) -> dict[str, torch.Tensor]:
    model.zero_grad()
    total = sum(batch.num_trained for batch in batches)
    for batch in batches:
        running_text_loss(0.0)(model, batch, total)[0].backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def test_the_loss_is_transformers_own() -> None:
    model = tiny_models.model("llama").requires_grad_(True)
    loss, metrics = running_text_loss(0.0)(model, pack_windows(windows()), 4 * 9)
    assert float(loss.detach()) == pytest.approx(reference_loss(model, windows()), rel=1e-5)
    assert metrics == {"loss": pytest.approx(float(loss.detach()))}


def test_gradients_do_not_depend_on_the_cut() -> None:
    model = tiny_models.model("llama").requires_grad_(True)
    whole = gradients(model, [pack_windows(windows())])
    parts = gradients(model, [pack_windows(windows()[:1]), pack_windows(windows()[1:])])
    assert whole.keys() == parts.keys()
    for name in whole:
        torch.testing.assert_close(whole[name], parts[name], rtol=1e-4, atol=1e-7)


def test_the_z_loss_is_no_part_of_the_told_loss() -> None:
    model, batch = tiny_models.model("llama").requires_grad_(True), pack_windows(windows())
    plain, told = running_text_loss(0.0)(model, batch, 36)
    with_z, metrics = running_text_loss(0.5)(model, batch, 36)
    assert metrics["loss"] == pytest.approx(told["loss"], rel=1e-5)
    assert float(with_z.detach()) == pytest.approx(
        float(plain.detach()) + 0.5 * metrics["log_normalizer_squared"], rel=1e-5
    )


def test_bits_a_byte_leave_control_tokens_out() -> None:
    model = tiny_models.model("llama")
    given = windows(2, 5)
    bytes_of = torch.full((tiny_models.VOCABULARY,), 3)
    control = int(given[0].ids[2])
    bytes_of[control] = 0
    measured = HeldOutText([pack_windows(given)], bytes_of)(model)
    nats, targets = [], []
    for each in given:
        ids = torch.from_numpy(each.ids)
        with torch.no_grad():
            log_probs = tiny_models.model("llama")(ids[None, :-1]).logits[0].log_softmax(-1)
        nats += [-float(log_probs[place, target]) for place, target in enumerate(ids[1:])]
        targets += ids[1:].tolist()
    counted = [nat for nat, target in zip(nats, targets, strict=True) if target != control]
    assert measured["dev_loss"] == pytest.approx(sum(nats) / len(nats), rel=1e-4)
    assert measured["dev_bits_per_byte"] == pytest.approx(sum(counted) / math.log(2) / (3 * len(counted)), rel=1e-4)
