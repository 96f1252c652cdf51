"""Anything that answers, opened and asked: a model, a run, a path of a choice."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sartor.api.configured import Place
from sartor.base.errors import SartorError
from sartor.data.records import Conversation, Message
from sartor.generation.protocol import Passage, Reply
from sartor.retrieval import path as paths


@dataclass(frozen=True)
class Answer:
    """One answer. `str(answer)` is its text.

    text: what was said. finish: `stop`, or `length` where it was cut. passages: what was read of the documents.
    prompt_tokens, completion_tokens: counts. seconds: from asking to the last token. cost: US dollars, None if unknown.
    """

    text: str
    finish: str
    passages: tuple[Passage, ...]
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    cost: float | None

    def __str__(self) -> str:
        return self.text


class Model:
    """A model with the prompt and the documents of its path, as it was measured. Made by `sartor.open_model`."""

    def __init__(self, opened: paths.OpenPath):
        self._opened = opened

    @property
    def name(self) -> str:
        return self._opened.config.name

    def __call__(self, question: str | Conversation, *, temperature: float = 0.0, seed: int = 0,
                 max_new_tokens: int | None = None) -> Answer:  # fmt: skip
        """Answer a question, or the last turn of a conversation (`[{"role": …, "content": …}, …]`).

        SartorError where there is no answer, such as to a prompt that is longer than the model reads.
        """
        return self.answers([question], temperature=temperature, seed=seed, max_new_tokens=max_new_tokens)[0]

    def answers(self, questions: Sequence[str | Conversation], *, temperature: float = 0.0, seed: int = 0,
                max_new_tokens: int | None = None) -> list[Answer]:  # fmt: skip
        """Answer many at once, in their order: much faster than one after the other."""
        sampling = replace(self._opened.config.sampling, temperature=temperature, seed=seed)
        if max_new_tokens is not None:
            sampling = replace(sampling, max_new_tokens=max_new_tokens)
        asked = [[Message(role="user", content=each)] if isinstance(each, str) else each for each in questions]
        return [_answer(reply) for reply in self._opened.generator.generate(asked, sampling)]

    def __repr__(self) -> str:
        return f"<sartor.Model {self.name}>"


def open_model(name: Place, path: str | None = None) -> Model:
    """Open `starter`, a Hub id, a model folder, a run folder, or a path of a choice (default: the chosen one)."""
    return Model(paths.open_model(os.fspath(name), path))


def _answer(reply: Reply) -> Answer:
    if reply.finish == "error":
        raise SartorError(f"no answer: {reply.error}", hint="ask shorter, or for fewer tokens")
    return Answer(
        reply.text,
        reply.finish,
        tuple(reply.passages),
        reply.prompt_tokens,
        reply.completion_tokens,
        reply.seconds,
        reply.cost,
    )
