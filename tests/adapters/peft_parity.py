"""Whether a model of ours and one of PEFT's say the same and learn the same."""

import torch
from torch import Tensor, nn


def assert_equal_logits_and_gradients(
    ours: nn.Module, theirs: nn.Module, ids: Tensor, logits_rtol: float, gradients_rtol: float
) -> None:
    our_logits, their_logits = ours(ids).logits, theirs(ids).logits
    torch.testing.assert_close(our_logits, their_logits, rtol=logits_rtol, atol=1e-5)
    our_logits.square().sum().backward()
    their_logits.square().sum().backward()
    expected = {
        name.removeprefix("base_model.model.").replace(".default.weight", ""): parameter.grad
        for name, parameter in theirs.named_parameters()
        if parameter.grad is not None
    }
    found = {name: parameter.grad for name, parameter in ours.named_parameters() if parameter.grad is not None}
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        atol = 1e-4 * float(gradient.abs().max())
        torch.testing.assert_close(found[name], gradient, rtol=gradients_rtol, atol=atol)
