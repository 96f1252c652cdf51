"""RUN/traces.jsonl: sampled answers token by token, with everything that the update learnt of each token.

One JSON object a line and answer, steps ascending. A line is written whole or not at all, and a run that goes on after
an interruption rewinds the file, so that it ends with the bytes of a run that was never interrupted.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sartor.base.errors import DataError
from sartor.base.metrics import MetricsLog

TRACES_FILE = "traces.jsonl"
SIGNIFICANT_FIGURES = 6  # of every number that is written: as many as float32 holds, a third of the bytes of float64
PER_TOKEN = ("log_probs", "reference_log_probs", "advantages", "rewards", "values")
NUMBERS = (*PER_TOKEN, "score", "kl")
BROKEN_CHARACTER = "\ufffd"


@dataclass(frozen=True)
class Trace:
    """One sampled answer of optimizer step `step`. All lists are as long as `tokens`, the texts of its tokens.

    `log_probs` and `reference_log_probs` in nats; `rewards` with the KL penalty in them; `values` None where there is
    no value function (GRPO). `score` is what the answer was given as a whole, `finished` whether it came to its end
    of turn, `kl` the sum over its tokens of log p - log p_ref in nats, `where` the row that the prompt is from.
    ValueError where a list has another length.
    """

    step: int
    prompt: str
    tokens: list[str]
    log_probs: list[float]
    reference_log_probs: list[float]
    advantages: list[float]
    rewards: list[float]
    values: list[float] | None
    score: float
    finished: bool
    kl: float
    where: str

    def __post_init__(self) -> None:
        for name in PER_TOKEN:
            column = getattr(self, name)
            if column is not None and len(column) != len(self.tokens):
                raise ValueError(f"{name} has {len(column)} figures for {len(self.tokens)} tokens")


class TraceLog:
    """Appends to traces.jsonl of the run folder at `run`; a last line that a crash left torn is cut off at once."""

    def __init__(self, run: Path | str):
        self._log = MetricsLog(Path(run) / TRACES_FILE)

    def append(self, traces: Sequence[Trace]) -> None:
        """Write one line a trace, numbers with six figures that count."""
        for trace in traces:
            self._log.append({each.name: _rounded(getattr(trace, each.name)) for each in fields(Trace)})

    def rewind(self, step: int) -> None:
        """Drop the traces of steps later than `step`: to be called when a run goes on from its state after `step`
        (0: from the beginning). DataError where a line is no trace."""
        position = 0
        for line in _lines(self._log.path):
            if _parsed(line, self._log.path).step > step:
                break
            position += len(line)
        self._log.rewind(position)

    def sync(self) -> None:
        """Make the traces so far durable: to be called before a checkpoint of their step is saved."""
        self._log.sync()

    def close(self) -> None:
        self._log.close()

    def __enter__(self) -> "TraceLog":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def each_trace(path: Path) -> Iterator[Trace]:
    """Every whole line of a file of traces, one after the other; nothing when there is no file. DataError where a
    line is no trace. The file may be open in another process."""
    for line in _lines(path):
        yield _parsed(line, path)


def read_traces(path: Path, last: int | None = None) -> list[Trace]:
    """The `last` traces of the file (None: all of them), oldest first. DataError as `each_trace`."""
    lines = list(_lines(path))
    return [_parsed(line, path) for line in (lines if last is None else lines[max(0, len(lines) - last) :])]


def token_texts(decode: Callable[[Sequence[int]], str], ids: Sequence[int]) -> list[str]:
    """The text of each token, such that together they are `decode(ids)`.

    A character whose bytes are spread over several tokens (byte-level BPE) belongs to the one that completes it; those
    before it have the empty text. Bytes that never become a character are U+FFFD, as `decode` has them.
    """
    texts: list[str] = []
    context, clean, given = 0, 0, 0  # decoding starts at `context`, whole characters only end at `clean`
    for end in range(1, len(ids) + 1):
        before = len(decode(ids[context:clean]))
        text = decode(ids[context:end])[before:]
        whole = text if end == len(ids) else text.rstrip(BROKEN_CHARACTER)
        texts.append(whole[given:])
        given = max(given, len(whole))
        if not text.endswith(BROKEN_CHARACTER):  # some decoders drop the first token's space: keep one for context
            context, clean, given = clean, end, 0
    return texts


def _lines(path: Path) -> Iterator[bytes]:
    """Whole lines with their ends."""
    try:
        with path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield line
    except FileNotFoundError:
        return


def _parsed(line: bytes, path: Path) -> Trace:
    try:
        record = json.loads(line)
        trace = Trace(**record | {name: _numbers(record[name]) for name in NUMBERS})
        if not isinstance(trace.step, int):
            raise ValueError("its step is no whole number")
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"a line is no trace: {error}", where=str(path), hint="restore it from a copy") from None
    return trace


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{SIGNIFICANT_FIGURES}g}")
    return [_rounded(each) for each in value] if isinstance(value, list | tuple) else value


def _numbers(value: Any) -> Any:
    """A number, a list of them, or None. The file has texts for NaN and infinity."""
    if isinstance(value, list):
        return [float(each) for each in value]
    return None if value is None else float(value)
