"""Questions to a knowledge store, answered by a model."""

from collections.abc import Callable, Sequence
from pathlib import Path

from sartor.data.records import Conversation
from sartor.generation.protocol import Reply, Sampling
from sartor.models.hub import locate
from sartor.retrieval.abstention import LEVELS
from sartor.retrieval.embedder import DEFAULT_EMBEDDER, Embedder
from sartor.retrieval.grounded import INSTRUCTION, Abstaining, Answer, ask
from sartor.retrieval.path import find_path, open_path, open_retriever
from sartor.retrieval.protocol import TextEmbedder, Where


def answer(
    knowledge: str | Path,
    question: str,
    model: str,
    k: int,
    sampling: Sampling,
    where: Where | None = None,
    abstain: str = "usual",
) -> Answer:
    """One question answered from the documents by a model, with citations; `abstain` is one of LEVELS."""
    retriever = open_retriever(knowledge)
    abstaining = None if abstain == "never" else Abstaining(_judge(retriever.embedder), LEVELS[abstain])
    return ask(_Late(model), retriever, question, k, sampling, INSTRUCTION, where, abstaining)


def _judge(embedder: TextEmbedder) -> TextEmbedder:
    """The embedder that LEVELS were measured with, whatever the store was made with: others give other cosines."""
    return embedder if embedder.source == DEFAULT_EMBEDDER else Embedder.open()


class _Late:
    """A model that is opened when it is first asked: where the documents do not say, it never is. UsageError for a name
    that is nobody's comes at once."""

    def __init__(self, name: str):
        self.config, self.folder = find_path(name)
        if self.config.api_base_url is None:
            locate(self.folder / self.config.adapter if self.config.adapter else self.config.model)

    def generate(
        self,
        conversations: Sequence[Conversation],
        sampling: Sampling,
        on_reply: Callable[[int, Reply], None] | None = None,
    ) -> list[Reply]:
        return open_path(self.config, self.folder).generator.generate(conversations, sampling, on_reply)
