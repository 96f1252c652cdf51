"""Answers from passages: a Generator around a Generator that puts what was found before the question, and
citations.
"""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sartor.base.errors import UsageError
from sartor.data.records import Conversation, Message
from sartor.generation.protocol import Generator, Passage, Reply, Sampling
from sartor.retrieval.protocol import Retriever

TEMPLATE = "{passages}Question: {question}"
"""Short on purpose: small models copy long instructions, and every prompt token is paid for on a CPU."""

CITING_TEMPLATE = "{passages}Answer from these passages and cite them like [1].\nQuestion: {question}"

MARK = re.compile(r"\[(\d{1,4}(?:\s*[,;]\s*\d{1,4})*)\]")
INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]")
CONTROL_TOKEN = re.compile(
    r"<(?=[|\uff5c])|(?<=[|\uff5c])>"  # <|im_start|> and the full-width bars of DeepSeek
    r"|<(?=/?(?:s|bos|eos|pad|unk|mask|cls|sep|think|tool_call|tool_response|(?:start|end)_of_turn)>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|CLS|SEP|PAD|UNK|MASK)\])"
    r"|<(?=</?SYS>>)",
    re.IGNORECASE,
)


def inert(text: str) -> str:
    """Text of a document that no chat template takes for its own marks.

    Invisible characters go (not the joiners that some scripts need), and control tokens are broken by a
    space.
    """
    return CONTROL_TOKEN.sub(_broken, INVISIBLE.sub("", text))


def _broken(match: re.Match[str]) -> str:
    return " >" if match[0] == ">" else f"{match[0]} "


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

    Replies carry `passages` and, unless the inner generator says what it sent itself, `messages` as they were
    handed to it; their `seconds` include the search.
    """

    def __init__(self, generator: Generator, retriever: Retriever, k: int = 3, template: str = TEMPLATE):
        grounded_message("", (), template)  # a wrong template is refused now, not at the first question
        self.generator, self.retriever, self.k, self.template = generator, retriever, k, template

    def generate(
        self,
        conversations: Sequence[Conversation],
        sampling: Sampling,
        on_reply: Callable[[int, Reply], None] | None = None,
    ) -> list[Reply]:
        started = time.monotonic()
        asking = [_last_question(conversation) for conversation in conversations]
        queries = [
            conversation[at]["content"]
            for conversation, at in zip(conversations, asking, strict=True)
            if at is not None
        ]
        found = iter(self.retriever.retrieve(queries, self.k) if queries else [])
        passages = [next(found) if at is not None else [] for at in asking]
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
        replies = self.generator.generate(sent, sampling, report)
        return [complete(index, reply) for index, reply in enumerate(replies)]


def grounded_conversation(
    conversation: Conversation, at: int, passages: Sequence[Passage], template: str = TEMPLATE
) -> Conversation:
    """The conversation with the passages in front of the question in message `at`."""
    content = grounded_message(conversation[at]["content"], passages, template)
    return [*conversation[:at], Message(role="user", content=content), *conversation[at + 1 :]]


def ground(conversation: Conversation, retriever: Retriever, k: int) -> tuple[Conversation, list[Passage]]:
    """What `Grounded` would send for one conversation, and the passages in it."""
    at = _last_question(conversation)
    if at is None:
        return list(conversation), []
    (passages,) = retriever.retrieve([conversation[at]["content"]], k)
    return grounded_conversation(conversation, at, passages), passages


def _last_question(conversation: Conversation) -> int | None:
    """Where the user spoke last; None when the user never did."""
    return next((at for at in reversed(range(len(conversation))) if conversation[at]["role"] == "user"), None)


def cited(text: str, passages: Sequence[Passage]) -> list[Passage]:
    """The passages that marks like [1] or [1, 3] in an answer point at, in order of their first mark, each
    once.

    Only what was retrieved can be cited: marks with other numbers are no citations.
    """
    numbers = [int(number) for mark in MARK.findall(text) for number in re.findall(r"\d+", mark)]
    return [passages[number - 1] for number in dict.fromkeys(numbers) if 1 <= number <= len(passages)]


@dataclass(frozen=True)
class Answer:
    """An answer, the passages it cites, and all that were retrieved for it."""

    reply: Reply
    cited: list[Passage]

    @property
    def passages(self) -> list[Passage]:
        return self.reply.passages


def ask(
    generator: Generator,
    retriever: Retriever,
    question: str,
    k: int = 3,
    sampling: Sampling | None = None,
    instruction: str = "",
) -> Answer:
    """Answer one question from the documents, with citations; `instruction` is the system prompt, if any.

    A reply that failed keeps `reply.error` and cites nothing.
    """
    system = [Message(role="system", content=instruction)] if instruction else []
    grounded = Grounded(generator, retriever, k, CITING_TEMPLATE)
    reply = grounded.generate([[*system, Message(role="user", content=question)]], sampling or Sampling())[0]
    return Answer(reply, cited(reply.text, reply.passages))
