"""From a model's size to how long and how it is trained: published laws, each value with its source.

Everything here is arithmetic on counts; what a run takes from it is printed and kept with the run.
"""

import math
from dataclasses import dataclass

TOKENS_PER_WEIGHT = 20  # 2203.15556, section 3: where more tokens or more weights lower the loss alike
USEFUL_EPOCHS = 4  # 2305.16264: up to four passes, repeated text is worth almost as much as new text
WARMUP_SHARE, FEWEST_WARMUP_STEPS = 0.02, 10


@dataclass(frozen=True)
class Derived:
    """A value and where it comes from, in words."""

    name: str
    value: float | int
    source: str

    @property
    def shown(self) -> str:
        """The value for people."""
        return f"{self.value:,}" if isinstance(self.value, int) else f"{self.value:g}"


def best_batch_tokens(tokens: float) -> float:
    """Tokens of a step for a run of so many: 0.58 · D^0.571 (Step Law, 2503.04715, equation 1)."""
    return 0.58 * tokens**0.571


def best_learning_rate(weights: float, tokens: float) -> float:
    """AdamW's peak rate for a new model of so many weights without embedding: 1.79 · N^-0.713 · D^0.307 (Step Law,
    2503.04715, equation 1)."""
    return float(1.79 * weights**-0.713 * tokens**0.307)


@dataclass(frozen=True)
class Course:
    """How a run goes: `num_steps` steps of `windows_per_step` windows. `tokens` are those it reads. `warning` says
    where they are more than they were to be."""

    num_steps: int
    windows_per_step: int
    window_tokens: int
    learning_rate: float
    warmup_steps: int
    derived: tuple[Derived, ...]
    warning: str | None = None

    @property
    def tokens(self) -> int:
        return self.num_steps * self.windows_per_step * self.window_tokens


@dataclass(frozen=True)
class Wishes:
    """What the user has decided; None is derived. `most_tokens` is what the time allows."""

    tokens: int | None = None
    batch_tokens: int | None = None
    learning_rate: float | None = None
    most_tokens: int | None = None
    continues: bool = False  # a trained model, whose rate is another


CONTINUED_RATE = 1e-4  # assumed: as for fine-tuning all weights


def plan_course(weights: int, data_tokens: int, window_tokens: int, wishes: Wishes) -> Course:
    """Steps, batch and rate for a model of `weights` weights (without embedding) on `data_tokens` tokens of text."""
    tokens, token_source = _tokens(weights, data_tokens, wishes)
    if wishes.batch_tokens is None:
        batch, batch_source = best_batch_tokens(tokens), "0.58 · tokens^0.571 (2503.04715)"
    else:
        batch, batch_source = float(wishes.batch_tokens), "asked for"
    windows = max(1, round(batch / window_tokens))
    step_tokens, warning = windows * window_tokens, None
    num_steps = round(tokens / step_tokens)
    if wishes.most_tokens is not None:  # a size is come close to, a limit is kept
        num_steps = min(num_steps, wishes.most_tokens // step_tokens)
    num_steps = max(1, num_steps)
    if step_tokens > tokens:
        warning = f"one step reads {step_tokens:,} tokens, more than the {tokens:,} to train on ({token_source}); "
        cures = [f"lower --{'batch' if windows > 1 else 'window'}-tokens"]
        warning += " or ".join(cures + ["raise --max-minutes"] * (tokens == wishes.most_tokens))
        token_source = "one step, the least there can be"
    if wishes.learning_rate is not None:
        rate, rate_source = wishes.learning_rate, "asked for"
    elif wishes.continues:
        rate, rate_source = CONTINUED_RATE, "assumed: as for fine-tuning all weights"
    else:
        rate = _rounded(best_learning_rate(weights, tokens))
        rate_source = "1.79 · weights^-0.713 · tokens^0.307 (2503.04715)"
    read = num_steps * step_tokens
    warmup = min(max(FEWEST_WARMUP_STEPS, round(WARMUP_SHARE * num_steps)), num_steps)
    derived = (
        Derived("tokens to train on", read, token_source),
        Derived("times the text is read", round(read / data_tokens, 2), f"of {data_tokens:,} tokens there are"),
        Derived("tokens a step", step_tokens, f"{batch_source}, in whole windows"),
        Derived("steps", num_steps, "tokens / tokens a step"),
        Derived("peak learning rate", rate, rate_source),
        Derived("warm-up steps", warmup, f"{WARMUP_SHARE:.0%} of the steps, at least {FEWEST_WARMUP_STEPS}; assumed"),
    )
    return Course(num_steps, windows, window_tokens, rate, warmup, derived, warning)


def _tokens(weights: int, data_tokens: int, wishes: Wishes) -> tuple[int, str]:
    if wishes.tokens is not None:
        tokens, source = wishes.tokens, "asked for"
    elif wishes.continues:
        tokens, source = data_tokens, "every text once"
    else:
        tokens, source = TOKENS_PER_WEIGHT * weights, f"{TOKENS_PER_WEIGHT} a weight (2203.15556)"
        if tokens > USEFUL_EPOCHS * data_tokens:
            tokens = USEFUL_EPOCHS * data_tokens
            source += f"; but at most {USEFUL_EPOCHS} times the text (2305.16264)"
    if wishes.most_tokens is not None and tokens > wishes.most_tokens:
        return wishes.most_tokens, "what the time allows"
    return tokens, source


def _rounded(rate: float) -> float:
    """Two digits: more would pretend to know."""
    return round(rate, 1 - math.floor(math.log10(rate)))
