"""What tests of the engine have in common."""

import torch

from sartor.generation.engine import Engine
from sartor.generation.events import Event
from sartor.models.forward import use_packed_attention
from tests import tiny_models


def prompts(lengths: list[int], shared: int = 0, seed: int = 0) -> list[list[int]]:
    return [row.ids for row in tiny_models.rows(lengths, shared, seed)]


def engine_for(model: torch.nn.Module, stop_ids: set[int] = frozenset(), **settings: int) -> Engine:  # type: ignore[assignment]
    return Engine(use_packed_attention(model), tiny_models.tokenizer().decode, stop_ids, 256, **settings)


def events_of(engine: Engine, numbers: list[int]) -> list[list[Event]]:
    """Step to the end: the events of each request, in order."""
    found: dict[int, list[Event]] = {number: [] for number in numbers}
    while engine.has_work:
        for event in engine.step():
            found[event.request_id].append(event)
    return [found[number] for number in numbers]


def tokens_of(events: list[Event]) -> list[int]:
    return [event.token_id for event in events]


def same(got: list[Event], wanted: list[Event]) -> None:
    """The same tokens, and log-probabilities but for rounding."""
    assert tokens_of(got) == tokens_of(wanted)
    torch.testing.assert_close(
        torch.tensor([event.log_prob for event in got]),
        torch.tensor([event.log_prob for event in wanted]),
        rtol=1e-4,
        atol=1e-4,
    )


@torch.no_grad()
def next_logits(model: torch.nn.Module, ids: list[int]) -> torch.Tensor:
    """What transformers' own eager attention says of the token behind each of `ids`: [T, V]."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    logits: torch.Tensor = model(input_ids=torch.tensor([ids])).logits[0]
    model.set_attn_implementation(before)
    return logits
