"""A generator behind a fixed prompt: an instruction and worked examples in front of every question."""

from collections.abc import Callable, Sequence

from sartor.data.records import Conversation, Message
from sartor.generation.protocol import Generator, Reply, Sampling


class Prompted:
    """Puts `instruction` (if any) and `examples` (question and answer pairs, as earlier turns) before what is asked."""

    def __init__(self, inner: Generator, instruction: str | None, examples: Sequence[tuple[str, str]] = ()):
        self.inner, self.instruction, self.examples = inner, instruction, tuple(examples)

    def generate(
        self,
        conversations: Sequence[Conversation],
        sampling: Sampling,
        on_reply: Callable[[int, Reply], None] | None = None,
    ) -> list[Reply]:
        return self.inner.generate([self.prompted(each) for each in conversations], sampling, on_reply)

    def prompted(self, conversation: Conversation) -> Conversation:
        """The conversation as it is sent. A system prompt of its own comes before the instruction."""
        return prompted(conversation, self.instruction, self.examples)


def prompted(
    conversation: Conversation, instruction: str | None, examples: Sequence[tuple[str, str]] = ()
) -> Conversation:
    """The one place that puts an instruction and examples in front of a conversation."""
    own = [message["content"] for message in conversation if message["role"] == "system"]
    system = "\n\n".join(filter(None, [*own, instruction]))
    front = [Message(role="system", content=system)] if system else []
    for question, answer in examples:
        front += [Message(role="user", content=question), Message(role="assistant", content=answer)]
    return front + [message for message in conversation if message["role"] != "system"]
