"""A person's preferences between two answers: which question is asked next, who answers it, on which side an answer is
shown, and what the verdict leaves on disk. How it is shown is the business of the terminal and of the page.

Answers are written by one thread ahead of the person, so that reading and writing overlap.
"""

import hashlib
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sartor.base.console import say, warn
from sartor.base.errors import UsageError
from sartor.data.preferences import read_prompt
from sartor.data.records import Conversation
from sartor.data.turns import message
from sartor.generation.protocol import Generator, Reply, Sampling
from sartor.models.hub import lasting_name
from sartor.recipes.judgements import Judgements, Line, Place
from sartor.recipes.prefer_questions import Question, prompt_key, well_formed
from sartor.retrieval.path import open_model

AHEAD_PAIRS = 3  # assumed: a person reads a pair in about the time a small model needs to write one
QUIET_SECONDS = 1.0  # a wait that is longer is explained
SIDES = ("left", "right")
VERDICTS = (*SIDES, "tie", "skip")
COUNT_OF = {"left": "preferences", "right": "preferences", "tie": "ties", "skip": "skips"}


@dataclass(frozen=True)
class Contestant:
    """One of the two that answer; `name` is the same from every folder. With `has_own_prompt` it is not sent the task's
    instruction, as when it is measured."""

    name: str
    generator: Generator
    max_new_tokens: int
    has_own_prompt: bool = False


@dataclass(frozen=True)
class Pair:
    """Two answers to one question as they are shown. Who wrote which (`models`) and `seed` are not for the person's
    eyes; `is_cut` says of each side whether the answer ended at its greatest length."""

    question: Question
    left: str
    right: str
    is_cut: tuple[bool, bool]
    models: tuple[str, str] = field(repr=False)

    @property
    def id(self) -> str:
        """A name for the pair that tells nothing of the models."""
        return self.question.key

    @property
    def prompt(self) -> Conversation:
        return self.question.prompt


@dataclass
class Counts:
    """Where the work stands. `judged_before` is what earlier sittings did with the same two models; `identical` and
    `empty` pairs are recorded and not shown; `failed` ones are asked again next time."""

    questions: int
    judged_before: int = 0
    preferences: int = 0
    ties: int = 0
    skips: int = 0
    identical: int = 0
    empty: int = 0
    failed: int = 0

    @property
    def remaining(self) -> int:
        dealt_with = (self.judged_before, self.preferences, self.ties, self.skips)
        return self.questions - sum(dealt_with) - self.identical - self.empty - self.failed

    def as_dict(self) -> dict[str, int]:
        return {**asdict(self), "remaining": self.remaining}


@dataclass(frozen=True)
class _Failed:
    question: Question
    reason: str


class PreferenceSession:
    """One sitting over `questions`: `next_pair`, `judge` it, and so on; `undo` goes back. Used by one thread.

    The order of questions, the side of each answer and every answer of a local model depend on `seed` and the
    question alone. Questions that `judgements` holds for the same two models are not asked again.
    """

    def __init__(
        self,
        questions: Sequence[Question],
        contestants: tuple[Contestant, Contestant],
        judgements: Judgements,
        seed: int = 0,
        temperature: float = 1.0,
        ahead_pairs: int = AHEAD_PAIRS,
    ):
        self.contestants, self.seed, self.temperature = contestants, seed, temperature
        self._judgements, self._ahead_pairs = judgements, ahead_pairs
        judged = _judged_keys(judgements.before, {each.name for each in contestants})
        self._order = sorted((each for each in questions if each.key not in judged), key=self._rank)
        self.counts = Counts(len(questions), len(questions) - len(self._order))
        self._current: Pair | None = None
        self._shown_at = 0.0
        self._put_back: list[Pair] = []
        self._history: list[tuple[Pair, str, Place]] = []
        self._changed = threading.Condition()
        self._written: deque[Pair | _Failed] = deque()
        self._error: BaseException | None = None
        self._all_written = self._is_closed = False
        self._writer = threading.Thread(target=self._write, name="sartor prefer", daemon=True)
        self._writer.start()

    def next_pair(self, wait_seconds: float | None = None) -> Pair | None:
        """The pair to judge; the same one until it is judged. None when there is none within `wait_seconds` (None:
        as long as it takes); then `is_finished` tells whether there will be one. What kept the models from answering
        is raised once the pairs written before it are judged."""
        if self._current is None and self._put_back:
            self._show(self._put_back.pop())
        until = None if wait_seconds is None else time.monotonic() + wait_seconds
        while self._current is None and (made := self._take(until)) is not None:
            if isinstance(made, _Failed):
                self.counts.failed += 1
                warn(f"{made.question.id} was not answered: {made.reason}")
            elif reason := _not_worth_showing(made):
                self._judgements.add(self._tie_line(made, reason, None), is_preference=False)
                setattr(self.counts, reason, getattr(self.counts, reason) + 1)
            else:
                self._show(made)
        return self._current

    @property
    def is_finished(self) -> bool:
        """Nothing is left to judge."""
        with self._changed:
            return self._all_written and not self._written and self._current is None and not self._put_back

    @property
    def can_undo(self) -> bool:
        return bool(self._history)

    def judge(self, pair_id: str, verdict: str) -> None:
        """Record left, right, tie or skip for the pair on show; it is on disk on return. UsageError for another pair
        or verdict."""
        pair = self._current
        if pair is None or pair.id != pair_id:
            raise UsageError("this pair is not the one on show", hint="load the page again")
        if verdict not in VERDICTS:
            raise UsageError(f"{verdict!r} is no verdict", hint=f"verdicts are {', '.join(VERDICTS)}")
        seconds = round(time.monotonic() - self._shown_at, 2)
        is_preference = verdict in SIDES
        line = self._preference_line if is_preference else self._tie_line
        place = self._judgements.add(line(pair, verdict, seconds), is_preference)
        self._history.append((pair, verdict, place))
        self._count(verdict, 1)
        self._current = None

    def undo(self) -> Pair | None:
        """Take back the last judgement of this sitting: its line goes and its pair is on show again. None when there
        is none."""
        if not self._history:
            return None
        pair, verdict, place = self._history[-1]
        self._judgements.remove(place)
        self._history.pop()
        self._count(verdict, -1)
        if self._current is not None:
            self._put_back.append(self._current)
        self._show(pair)
        return pair

    def close(self) -> None:
        """Stop writing; waits for the answer under way."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._writer.join(QUIET_SECONDS)
        if self._writer.is_alive():
            say("The answer under way is finished first …")
            self._writer.join()

    def __enter__(self) -> "PreferenceSession":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # --- what is recorded ---------------------------------------------------------------------------------

    def _preference_line(self, pair: Pair, verdict: str, seconds: float | None) -> Line:
        """`prompt`, `chosen` and `rejected` are what training reads, and which of both was cut at its length; the rest
        says how the judgement came about."""
        better = SIDES.index(verdict)
        is_cut = {"chosen_cut": pair.is_cut[better], "rejected_cut": pair.is_cut[1 - better]}
        answers = (pair.left, pair.right)
        return {
            "prompt": pair.prompt,
            "chosen": [message("assistant", answers[better])],
            "rejected": [message("assistant", answers[1 - better])],
            **{name: True for name, cut in is_cut.items() if cut},
            "chosen_side": verdict,
            "chosen_model": pair.models[better],
            "rejected_model": pair.models[1 - better],
            **self._circumstances(pair, seconds),
        }

    def _tie_line(self, pair: Pair, verdict: str, seconds: float | None) -> Line:
        left_model, right_model = pair.models
        sides = {"left": pair.left, "right": pair.right, "left_model": left_model, "right_model": right_model}
        return {"verdict": verdict, "prompt": pair.prompt, **sides, **self._circumstances(pair, seconds)}

    def _circumstances(self, pair: Pair, seconds: float | None) -> Line:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        settings = {"seed": self.seed, "temperature": self.temperature}
        return {"id": pair.question.id, **settings, "seconds": seconds, "judged_at": now}

    def _count(self, verdict: str, change: int) -> None:
        name = COUNT_OF[verdict]
        setattr(self.counts, name, getattr(self.counts, name) + change)

    def _show(self, pair: Pair) -> None:
        self._current, self._shown_at = pair, time.monotonic()

    # --- chance -------------------------------------------------------------------------------------------

    def _rank(self, question: Question) -> int:
        return self._draw("order", question)

    def _draw(self, what: str, question: Question) -> int:
        """31 random bits of the seed, the question and what they are for."""
        text = f"{self.seed} {what} {question.key}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1

    # --- the writing thread -------------------------------------------------------------------------------

    def _take(self, until: float | None) -> Pair | _Failed | None:
        """The next thing written; None when time is up or there is nothing more."""
        with self._changed:
            left = None if until is None else max(0.0, until - time.monotonic())
            self._changed.wait_for(lambda: self._written or self._all_written, left)
            if self._written:
                made = self._written.popleft()
                self._changed.notify_all()
                return made
            if self._error is not None:
                raise self._error
            return None

    def _write(self) -> None:
        try:
            for question in self._order:
                if not self._has_room():
                    return
                made = self._answer(question)
                with self._changed:
                    self._written.append(made)
                    self._changed.notify_all()
        except BaseException as error:  # the person's thread raises it
            self._error = error
        finally:
            with self._changed:
                self._all_written = True
                self._changed.notify_all()

    def _has_room(self) -> bool:
        """Wait until another pair is wanted; False when the session is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._num_waiting() < self._ahead_pairs)
            return not self._is_closed

    def _num_waiting(self) -> int:
        return sum(isinstance(each, Pair) and not _not_worth_showing(each) for each in self._written)

    def _answer(self, question: Question) -> Pair | _Failed:
        replies = []
        for number, contestant in enumerate(self.contestants):
            if self._is_closed:
                return _Failed(question, "stopped")
            reply = self._reply(question, contestant, number)
            if reply.error is not None:
                return _Failed(question, reply.error)
            replies.append(reply)
        first = self._draw("side", question) & 1
        left, right = replies[first], replies[1 - first]
        return Pair(
            question,
            well_formed(left.text),
            well_formed(right.text),
            (left.finish == "length", right.finish == "length"),
            (self.contestants[first].name, self.contestants[1 - first].name),
        )

    def _reply(self, question: Question, contestant: Contestant, number: int) -> Reply:
        seed = self._draw(f"answer {number}", question)
        sampling = Sampling(contestant.max_new_tokens, self.temperature, seed=seed)
        asked = question.own if contestant.has_own_prompt else question.prompt
        return contestant.generator.generate([asked], sampling)[0]


def open_contestants(
    model: str, path_name: str | None, against: str | None, max_new_tokens: int | None
) -> tuple[Contestant, Contestant]:
    """The two that answer: `model` twice, or `model` and `against`. `max_new_tokens` None is what each model was
    measured with."""
    first = _open(model, path_name, max_new_tokens)
    if against is None or _lasting_name(against, None) == first.name:
        return first, first
    return first, _open(against, None, max_new_tokens)


def _open(model: str, path_name: str | None, max_new_tokens: int | None) -> Contestant:
    path = open_model(model, path_name)
    length = max_new_tokens or path.config.max_new_tokens
    name = _lasting_name(model, path_name)
    return Contestant(name, path.generator, length, has_own_prompt=bool(path.config.description))


def _lasting_name(model: str, path_name: str | None) -> str:
    name = lasting_name(model.rstrip("/") or model)
    return f"{name}:{path_name}" if path_name else name


def _recorded_name(name: Any) -> str | None:
    """The lasting name of what a line calls a model; lines may hold it as it was typed."""
    if not isinstance(name, str):
        return None
    model, _, path_name = name.rpartition(":")
    is_path = bool(model) and Path(model).expanduser().is_dir()
    return _lasting_name(model, path_name) if is_path else _lasting_name(name, None)


def _judged_keys(lines: Sequence[Line], names: set[str]) -> set[str]:
    """Keys of the questions that these models were compared on, however they were spelt. Lines from elsewhere name no
    models."""
    kinds = (("chosen_model", "rejected_model"), ("left_model", "right_model"))
    ours = [
        line for line in lines if any({_recorded_name(line.get(side)) for side in kind} == names for kind in kinds)
    ]
    return {prompt_key(read_prompt(line, f"judged question {line.get('id')}")) for line in ours}


def _not_worth_showing(pair: Pair) -> str:
    """Why nobody is asked about the pair, as a name of `Counts`; "" when it is shown."""
    left, right = pair.left.strip(), pair.right.strip()
    if left == right:
        return "identical"
    return "" if left and right else "empty"
