"""What a report shows of a run's traces: the same prompts early and late, each token coloured by its advantage.

The colours are blue and vermillion, which nobody confuses (Okabe and Ito's palette), and bad tokens are underlined, so
that no colour is needed at all.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from sartor.reporting.figures import visible
from sartor.train.traces import TRACES_FILE, Trace, each_trace

MOST_PAIRS = 4
MOST_TOKENS = 240  # of an answer: the first three quarters and the last one
MOST_PROMPT_CHARACTERS = 600
MOST_TOKEN_CHARACTERS = 80
LEVELS = 4  # of strength
LEAST_SHARE = 0.05  # of the largest advantage: less is not coloured
HIDDEN = re.compile(r"[\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]")  # unseen, or turning the text around
GAP = "gap"


@dataclass(frozen=True)
class _Place:
    """Which trace of the file it is, and of which step."""

    number: int
    step: int


@dataclass(frozen=True)
class TokenView:
    """`look` is the class of the style sheet, `title` what is told of the token."""

    text: str
    look: str
    title: str


@dataclass(frozen=True)
class AnswerView:
    heading: str
    facts: str
    tokens: list[TokenView]


@dataclass(frozen=True)
class PairView:
    """An early and a late answer, or a single one. `prompt` is that of both; empty if they have their own."""

    prompt: str
    answers: list[tuple[str, AnswerView]]  # (its own prompt, answer)
    where: str


@dataclass(frozen=True)
class TracesView:
    pairs: list[PairView]
    legend: list[tuple[str, str]]  # (look, what it stands for)
    note: str


def traces_view(run: Path) -> TracesView | None:
    """The section's contents; None where the run has no traces. DataError where traces.jsonl is damaged."""
    pairs, num_traces, num_steps = early_and_late(run / TRACES_FILE)
    if not pairs:
        return None
    shown = [trace for pair in pairs for trace in pair]
    scale = max((abs(value) for trace in shown for value in trace.advantages), default=0.0)
    whole = f"{num_traces:,} answers of {num_steps:,} steps are in {TRACES_FILE}"
    left_out = f"; {num_traces - len(shown):,} of them are left out here" if num_traces > len(shown) else ""
    return TracesView([_pair(pair, scale) for pair in pairs], _legend(scale), f"{whole}{left_out}.")


def early_and_late(path: Path) -> tuple[list[tuple[Trace, ...]], int, int]:
    """At most MOST_PAIRS pairs (early, late), how many traces there are, and of how many steps.

    Prompts that were sampled at several steps come first, with their first and last answer, those that are furthest
    apart before others; then answers of the first step beside answers of the last one. Of a single step, its answers.
    The file is read twice: where traces stand, and those that were chosen. All of them together may be too much.
    """
    first: dict[tuple[str, str], _Place] = {}
    last: dict[tuple[str, str], _Place] = {}
    begin: list[_Place] = []
    end: list[_Place] = []
    num_traces = num_steps = 0
    for number, trace in enumerate(each_trace(path)):
        num_traces, place = number + 1, _Place(number, trace.step)
        if not end or trace.step != end[-1].step:
            num_steps, end = num_steps + 1, []
        end.append(place)
        if num_steps == 1:
            begin.append(place)
        key = (trace.where, trace.prompt)
        first.setdefault(key, place)
        if trace.step != first[key].step and (key not in last or last[key].step != trace.step):
            last[key] = place
    if num_steps <= 1:
        return _read([(place,) for place in begin[:MOST_PAIRS]], path), num_traces, num_steps
    again = sorted(last, key=lambda key: first[key].step - last[key].step)
    pairs: list[tuple[_Place, ...]] = [(first[key], last[key]) for key in again[:MOST_PAIRS]]
    shown = {place for pair in pairs for place in pair}
    rest = [pair for pair in zip(begin, end, strict=False) if shown.isdisjoint(pair)]
    return _read([*pairs, *rest[: MOST_PAIRS - len(pairs)]], path), num_traces, num_steps


def _read(pairs: Sequence[tuple[_Place, ...]], path: Path) -> list[tuple[Trace, ...]]:
    """The traces that stand at these places; a run that went back meanwhile may have fewer."""
    wanted = {place.number for pair in pairs for place in pair}
    until = max(wanted, default=-1) + 1
    found = {number: trace for number, trace in enumerate(islice(each_trace(path), until)) if number in wanted}
    whole = [pair for pair in pairs if all(place.number in found for place in pair)]
    return [tuple(found[place.number] for place in pair) for pair in whole]


def _pair(pair: tuple[Trace, ...], scale: float) -> PairView:
    common = _prompt(pair[0].prompt) if len({trace.prompt for trace in pair}) == 1 else ""
    answers = [("" if common else _prompt(trace.prompt), _answer(trace, scale)) for trace in pair]
    return PairView(common, answers, " and ".join(dict.fromkeys(_inert(trace.where) for trace in pair if trace.where)))


def _answer(trace: Trace, scale: float) -> AnswerView:
    ended = "finished" if trace.finished else "not finished"
    facts = f"score {trace.score:.3g} · {len(trace.tokens):,} tokens · {ended} · KL {trace.kl:.3g} nats"
    return AnswerView(f"Step {trace.step:,}", facts, _tokens(trace, scale))


def _tokens(trace: Trace, scale: float) -> list[TokenView]:
    count = len(trace.tokens)
    if count <= MOST_TOKENS:
        return [_token(trace, place, scale) for place in range(count)]
    head, tail = 3 * MOST_TOKENS // 4, MOST_TOKENS // 4
    shown = [_token(trace, place, scale) for place in (*range(head), *range(count - tail, count))]
    return [*shown[:head], TokenView(f" … {count - MOST_TOKENS:,} tokens left out … ", GAP, ""), *shown[head:]]


def _token(trace: Trace, place: int, scale: float) -> TokenView:
    log_prob, reference = trace.log_probs[place], trace.reference_log_probs[place]
    value = "" if trace.values is None else f" · value {trace.values[place]:.3g}"
    title = (
        f"advantage {trace.advantages[place]:+.3g} · log-prob {log_prob:.3g} · reference {reference:.3g} · "
        f"KL {log_prob - reference:+.3g}{value} · reward {trace.rewards[place]:+.3g}"
    )
    return TokenView(_token_text(trace.tokens[place]), look(trace.advantages[place], scale), title)


def look(advantage: float, scale: float) -> str:
    """good-1 … good-4, bad-1 … bad-4, or empty: by sign, and by size next to `scale`, the largest."""
    share = abs(advantage) / scale if scale > 0 else 0.0
    if not share >= LEAST_SHARE:  # NaN is not coloured either
        return ""
    return f"{'good' if advantage > 0 else 'bad'}-{min(LEVELS, int(share * LEVELS) + 1)}"


def _legend(scale: float) -> list[tuple[str, str]]:
    """From the worst to the best."""
    if not scale > 0:
        return []
    edges = [scale * level / LEVELS for level in range(LEVELS + 1)]
    bands = [f"{low:.2g} to {high:.2g}" for low, high in zip(edges, edges[1:], strict=False)]
    bad = [(f"bad-{level}", f"−{bands[level - 1].replace(' to ', ' to −')}") for level in range(LEVELS, 0, -1)]
    return [
        *bad,
        *((f"good-{level}", f"+{bands[level - 1].replace(' to ', ' to +')}") for level in range(1, LEVELS + 1)),
    ]


def _token_text(text: str) -> str:
    """A token so that it can be seen: a part of a character as a dot, line ends with a sign, nothing that hides."""
    if not text:
        return "·"
    shown = "↵\n".join(_inert(line) for line in text.split("\n"))
    return shown if len(shown) <= MOST_TOKEN_CHARACTERS else f"{shown[:MOST_TOKEN_CHARACTERS]}…"


def _prompt(text: str) -> str:
    """Its end, where the question is, and how much stands before it."""
    hidden = len(text) - MOST_PROMPT_CHARACTERS
    shown = "\n".join(_inert(line) for line in text[-MOST_PROMPT_CHARACTERS:].split("\n"))
    return f"({hidden:,} more characters) … {shown}" if hidden > 0 else shown


def _inert(text: str) -> str:
    """Signs that cannot be seen or turn the text around, as escapes."""
    return HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", visible(text))
