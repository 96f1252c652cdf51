"""A model that judges as a test tells it to."""

from collections.abc import Callable, Sequence

from sartor.data.records import Conversation
from sartor.generation.protocol import Reply, Sampling


class ScriptedModel:
    """Answers each conversation with what `say` makes of the text that the judge was shown."""

    def __init__(self, say: Callable[[str], str | Reply]):
        self.say, self.asked = say, list[Conversation]()

    def generate(
        self,
        conversations: Sequence[Conversation],
        sampling: Sampling,
        on_reply: Callable[[int, Reply], None] | None = None,
    ) -> list[Reply]:
        assert sampling.temperature == 0
        self.asked += conversations
        said = [self.say(conversation[-1]["content"]) for conversation in conversations]
        return [each if isinstance(each, Reply) else Reply(each, "stop") for each in said]
