"""A generator behind a prompt: an instruction and worked examples in front of every question."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from sartor.data.records import Conversation, Message
from sartor.generation.protocol import Generator, Reply, Sampling

WorkedExample = tuple[str, str]
"""A question and its answer."""


class ExampleSource(Protocol):
    """Finds the worked examples that a conversation is to be asked with."""

    def examples_for(self, conversation: Conversation) -> tuple[WorkedExample, ...]:
        """The examples, in the order in which they stand in the prompt."""
        ...


@dataclass(frozen=True)
class Front:
    """What stands in front of a conversation: the `instruction` ("" for none), `examples` that are the same for all,
    and those that `similar` finds for each. The former come first, so that all prompts begin alike as far as they
    can and the engine computes that beginning once."""

    instruction: str = ""
    examples: tuple[WorkedExample, ...] = ()
    similar: ExampleSource | None = None

    def before(self, conversation: Conversation, asked: Conversation | None = None) -> Conversation:
        """The conversation as it is sent. `asked` is what the person wrote, for which similar examples are found,
        where the conversation holds more than that, such as passages of documents."""
        found = self.similar.examples_for(conversation if asked is None else asked) if self.similar else ()
        return prompted(conversation, self.instruction or None, [*self.examples, *found])


class Prompted:
    """Puts `instruction` (if any), `examples` (question and answer pairs, as earlier turns) and those found by
    `similar` before what is asked."""

    def __init__(
        self,
        inner: Generator,
        instruction: str | None,
        examples: Sequence[WorkedExample] = (),
        similar: ExampleSource | None = None,
    ):
        self.inner, self.front = inner, Front(instruction or "", tuple(examples), similar)

    def generate(
        self,
        conversations: Sequence[Conversation],
        sampling: Sampling,
        on_reply: Callable[[int, Reply], None] | None = None,
        asked: Sequence[Conversation] | None = None,
    ) -> list[Reply]:
        """`asked` as `Front.before` takes it, one a conversation. The replies' `seconds` include the search for
        examples."""
        started = time.monotonic()
        pairs = zip(conversations, asked or conversations, strict=True)
        sent = [self.front.before(*pair) for pair in pairs]
        if self.front.similar is None:
            return self.inner.generate(sent, sampling, on_reply)
        searching = time.monotonic() - started

        def later(reply: Reply) -> Reply:
            return replace(reply, seconds=reply.seconds + searching)

        report = on_reply and (lambda index, reply: on_reply(index, later(reply)))
        return [later(reply) for reply in self.inner.generate(sent, sampling, report)]


def prompted(
    conversation: Conversation, instruction: str | None, examples: Sequence[WorkedExample] = ()
) -> Conversation:
    """The one place that puts an instruction and examples in front of a conversation. A system prompt of its own comes
    before the instruction."""
    own = [message["content"] for message in conversation if message["role"] == "system"]
    system = "\n\n".join(filter(None, [*own, instruction]))
    front = [Message(role="system", content=system)] if system else []
    for question, answer in examples:
        front += [Message(role="user", content=question), Message(role="assistant", content=answer)]
    return front + [message for message in conversation if message["role"] != "system"]
