"""Several answers to each of several prompts: what reinforcement learning learns from."""

from collections.abc import Sequence
from dataclasses import dataclass

from sartor.generation.engine import Engine
from sartor.generation.local import common_prefix
from sartor.generation.protocol import Sampling


@dataclass(frozen=True)
class Answer:
    """Tokens of an answer, the one that ended it included, and the natural logarithm of each one's probability in the
    distribution sampled from (after temperature, before top_p). `finished`: a stop id ended it, not its length."""

    token_ids: list[int]
    log_probs: list[float]
    finished: bool


def answer_groups(
    engine: Engine, prompts: Sequence[list[int]], samplings: Sequence[Sequence[Sampling]]
) -> list[list[Answer]]:
    """For each prompt an answer per sampling, in their order, by the model's weights as they are now.

    The engine must be idle; afterwards it is again, and its cache is free. The model computes in evaluation mode and is
    put back into its own. DataError when a prompt and its longest answer do not fit the model's context.
    """
    training = engine.model.training
    engine.model.eval()
    numbers: list[list[int]] = []
    try:
        engine.share(common_prefix(prompts))
        for prompt, group in zip(prompts, samplings, strict=True):
            numbers.append(engine.add_group(prompt, group))
        found = _run(engine)
    finally:
        engine.clear()
        engine.model.train(training)
    return [[_answer(engine, *found[number]) for number in group] for group in numbers]


def _run(engine: Engine) -> dict[int, tuple[list[int], list[float]]]:
    """Step until nothing is left to do: tokens and log-probabilities by request."""
    found: dict[int, tuple[list[int], list[float]]] = {}
    while engine.has_work:
        for event in engine.step():
            tokens, log_probs = found.setdefault(event.request_id, ([], []))
            tokens.append(event.token_id)
            log_probs.append(event.log_prob)
    return found


def _answer(engine: Engine, token_ids: list[int], log_probs: list[float]) -> Answer:
    return Answer(token_ids, log_probs, token_ids[-1] in engine.stop_ids)
