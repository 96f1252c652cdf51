"""Answers from passages: a Generator around a Generator that puts what was found before the question, and asking with
citations.
"""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from sartor.base.errors import UsageError
from sartor.data.records import Conversation, Message
from sartor.generation.prompted import Prompted
from sartor.generation.protocol import Generator, Passage, Reply, Sampling
from sartor.retrieval.abstention import NO_ANSWER, support
from sartor.retrieval.citations import Citation, cite
from sartor.retrieval.inert import inert
from sartor.retrieval.links import LinkFilter, without_foreign_links
from sartor.retrieval.protocol import Retriever, TextEmbedder, Where
from sartor.retrieval.rewriting import SearchQuestion, with_key_terms

TEMPLATE = "{passages}Question: {question}"
"""Short on purpose: small models copy long instructions, and every prompt token is paid for on a CPU."""

INSTRUCTION = "Answer the question from the passages. If they do not hold the answer, say that you do not know."
"""The system prompt of questions to a knowledge store that no task has instructed."""

CITING_TEMPLATE = "{passages}Answer from these passages and cite them like [1].\nQuestion: {question}"


def grounded_message(question: str, passages: Sequence[Passage], template: str = TEMPLATE) -> str:
    """The user's message that asks `question` over `passages`, numbered from 1; without passages the bare
    question.

    The one place that writes this prompt: training on retrieved passages and answering both call it.
    `template` holds `{passages}` and `{question}` once each (UsageError otherwise).
    """
    if sorted(re.findall(r"\{(passages|question)\}", template)) != ["passages", "question"]:
        raise UsageError("the template must hold {passages} and {question} once each", hint=f"like {TEMPLATE!r}")
    if not passages:
        return question
    numbered = "".join(_numbered(number, passage) for number, passage in enumerate(passages, start=1))
    values = {"{passages}": numbered, "{question}": question}
    return re.sub(r"\{passages\}|\{question\}", lambda match: values[match[0]], template)


def _numbered(number: int, passage: Passage) -> str:
    title = " ".join(inert(passage.title).split())
    return f"[{number}] {title}\n{inert(passage.text)}\n\n" if title else f"[{number}] {inert(passage.text)}\n\n"


class Grounded:
    """`generator`, asked with the `k` best passages before the last question of each conversation.

    `where` limits the documents; `search_question` makes of a conversation what is searched for. With `best_last` the
    best passage stands next to the question. Replies carry
    `passages` and, unless the inner generator says what it sent itself, `messages` as they were handed to it; their
    `seconds` include the search.
    """

    def __init__(
        self,
        generator: Generator,
        retriever: Retriever,
        k: int = 3,
        template: str = TEMPLATE,
        where: Where | None = None,
        search_question: SearchQuestion = with_key_terms,
        best_last: bool = False,
    ):
        grounded_message("", (), template)  # a wrong template is refused now, not at the first question
        self.generator, self.retriever, self.k, self.template = generator, retriever, k, template
        self.where, self.search_question, self.best_last = where, search_question, best_last

    def generate(
        self,
        conversations: Sequence[Conversation],
        sampling: Sampling,
        on_reply: Callable[[int, Reply], None] | None = None,
    ) -> list[Reply]:
        started = time.monotonic()
        asking = [_last_question(conversation) for conversation in conversations]
        queries = [
            self.search_question(conversation[: at + 1])
            for conversation, at in zip(conversations, asking, strict=True)
            if at is not None
        ]
        found = iter(self.retriever.retrieve(queries, self.k, self.where) if queries else [])
        passages = [in_order(next(found), self.best_last) if at is not None else [] for at in asking]
        sent = [
            list(conversation) if at is None else grounded_conversation(conversation, at, under, self.template)
            for conversation, at, under in zip(conversations, asking, passages, strict=True)
        ]
        searching = time.monotonic() - started

        def complete(index: int, reply: Reply) -> Reply:
            return replace(
                reply,
                passages=passages[index],
                messages=reply.messages or sent[index],
                seconds=reply.seconds + searching,
            )

        report = on_reply and (lambda index, reply: on_reply(index, complete(index, reply)))
        if isinstance(self.generator, Prompted):  # its examples resemble what was asked, not the passages
            replies = self.generator.generate(sent, sampling, report, asked=conversations)
        else:
            replies = self.generator.generate(sent, sampling, report)
        return [complete(index, reply) for index, reply in enumerate(replies)]


def grounded_conversation(
    conversation: Conversation, at: int, passages: Sequence[Passage], template: str = TEMPLATE
) -> Conversation:
    """The conversation with the passages in front of the question in message `at`."""
    content = grounded_message(conversation[at]["content"], passages, template)
    return [*conversation[:at], Message(role="user", content=content), *conversation[at + 1 :]]


def ground(
    conversation: Conversation,
    retriever: Retriever,
    k: int,
    where: Where | None = None,
    search_question: SearchQuestion = with_key_terms,
    best_last: bool = False,
) -> tuple[Conversation, list[Passage]]:
    """What `Grounded` would send for one conversation, and the passages in it."""
    at = _last_question(conversation)
    if at is None:
        return list(conversation), []
    (found,) = retriever.retrieve([search_question(conversation[: at + 1])], k, where)
    passages = in_order(found, best_last)
    return grounded_conversation(conversation, at, passages), passages


def in_order(passages: Sequence[Passage], best_last: bool) -> list[Passage]:
    """Passages, the best of which come first, as they stand in a prompt."""
    return list(reversed(passages)) if best_last else list(passages)


def _last_question(conversation: Conversation) -> int | None:
    """Where the user spoke last; None when the user never did."""
    return next((at for at in reversed(range(len(conversation))) if conversation[at]["role"] == "user"), None)


def link_filter(passages: Sequence[Passage], conversation: Conversation) -> LinkFilter:
    """What an answer to this conversation goes through before it is shown: addresses only from its sources."""
    return LinkFilter(_sources(passages, conversation))


def _sources(passages: Sequence[Passage], conversation: Conversation) -> list[str]:
    return [
        *(f"{passage.title}\n{passage.text}" for passage in passages),
        *(message["content"] for message in conversation if message["role"] in ("user", "system")),
    ]


@dataclass(frozen=True)
class Abstaining:
    """No answer is given where `support` in the passages is below `least`."""

    embedder: TextEmbedder
    least: float


@dataclass(frozen=True)
class Answer:
    """An answer, the places that it cites, and all passages that were retrieved for it.

    `abstained`: the documents do not speak of the matter, and no model was asked. `support` is what that was told by
    (None where it was not measured). `removed` are the addresses that were taken out, since no source holds them.
    """

    reply: Reply
    citations: list[Citation] = field(default_factory=list)
    abstained: bool = False
    support: float | None = None
    removed: list[str] = field(default_factory=list)

    @property
    def passages(self) -> list[Passage]:
        return self.reply.passages

    @property
    def cited(self) -> list[Passage]:
        """The passages that the answer itself cites, in order of their first mark, each once."""
        numbers = dict.fromkeys(citation.number for citation in self.citations if not citation.added)
        return [self.passages[number - 1] for number in numbers]


class _Found:
    """Passages that are found already."""

    def __init__(self, passages: list[Passage]):
        self.passages = passages

    def retrieve(self, queries: Sequence[str], k: int, where: Where | None = None) -> list[list[Passage]]:
        return [self.passages for _ in queries]


def ask(
    generator: Generator,
    retriever: Retriever,
    question: str,
    k: int = 3,
    sampling: Sampling | None = None,
    instruction: str = "",
    where: Where | None = None,
    abstaining: Abstaining | None = None,
) -> Answer:
    """Answer one question from the documents that `where` allows, with citations; `instruction` is the system prompt.

    With `abstaining` an answer may be that the documents do not say. A reply that failed keeps `reply.error` and cites
    nothing.
    """
    started = time.monotonic()
    (passages,) = retriever.retrieve([question], k, where)
    supported = None
    if abstaining is not None:
        supported = support(question, passages, abstaining.embedder)
        if supported < abstaining.least:
            reply = Reply(NO_ANSWER, "stop", seconds=time.monotonic() - started, passages=passages)
            return Answer(reply, abstained=True, support=supported)
    system = [Message(role="system", content=instruction)] if instruction else []
    asked = [*system, Message(role="user", content=question)]
    searching = time.monotonic() - started
    (reply,) = Grounded(generator, _Found(passages), k, CITING_TEMPLATE).generate([asked], sampling or Sampling())
    text, removed = without_foreign_links(reply.text, _sources(passages, asked))
    reply = replace(reply, text=text, seconds=reply.seconds + searching)
    return Answer(reply, cite(text, passages, question), support=supported, removed=removed)
