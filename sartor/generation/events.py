"""What the engine reports of a request."""

from dataclasses import dataclass

TopTokens = tuple[tuple[int, float], ...]  # token ids and log-probabilities of the likeliest, best first
NO_TOKEN = -1


@dataclass(frozen=True)
class PromptScores:
    """How likely the tokens of a prompt were, each given those before it, at temperature 1: `log_probs` and the
    likeliest in each place. Nothing (None, ()) for the first."""

    log_probs: tuple[float | None, ...]
    top: tuple[TopTokens, ...]


@dataclass(frozen=True)
class Event:
    """One new token of a request; `text` is what became safe to show, `finish` is stop, length, error or None.

    `log_prob` and `top` (as many as `Sampling.top_log_probs`) are of the distribution sampled from: after penalties,
    bias, constraint and temperature, before top_p; greedy answers have temperature 1. `prompt` is in the first event
    of a request that asked for it. `token_id` is NO_TOKEN where no token belongs to the event: the prompt was only to
    be scored (finish is length), or what constrains the answer failed (finish is error, and `error` says how).
    """

    request_id: int
    token_id: int
    log_prob: float
    text: str
    finish: str | None
    top: TopTokens = ()
    prompt: PromptScores | None = None
    error: str | None = None
