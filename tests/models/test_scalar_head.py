"""One number for a token, in float32 whatever the model computes in."""

import pytest
import torch

from sartor.models.scalar_head import ScalarHead


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_score_is_the_product_with_one_vector_in_float32(dtype: torch.dtype) -> None:
    head = ScalarHead(24)
    states = torch.randn(7, 24, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    scores = head(states)
    assert scores.shape == (7,) and scores.dtype == torch.float32
    torch.testing.assert_close(scores, states.float() @ head.weight[0])
    scores.sum().backward()
    assert states.grad is not None and states.grad.dtype == dtype
    torch.testing.assert_close(head.weight.grad, states.detach().float().sum(0, keepdim=True))


def test_first_scores_of_normalised_states_are_of_the_order_of_one() -> None:
    torch.manual_seed(0)
    weights = torch.cat([ScalarHead(200).weight.detach() for _ in range(100)])
    assert float(weights.mean()) == pytest.approx(0, abs=0.005)
    assert float(weights.std()) == pytest.approx(1 / 201**0.5, rel=0.03)
    assert [name for name, _ in ScalarHead(4).named_parameters()] == ["weight"]  # and no bias
