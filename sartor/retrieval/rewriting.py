"""What to search for when a question leans on what was said before.

"And how long is it?" finds nothing by itself. Either the words of the last question are searched as well, and the names
and numbers of the answer to it (no model needed), or a model writes the question out.
"""

import re
from collections.abc import Callable

from sartor.data.records import Conversation, Message
from sartor.generation.protocol import Generator, Sampling
from sartor.retrieval.query import STOP_WORDS, WORD

SearchQuestion = Callable[[Conversation], str]
"""A conversation that ends with the user's question to what is searched for."""

MOST_TERMS = 12
MOST_ANSWER_CHARACTERS = 400
NAME_OR_NUMBER = re.compile(r"\b(?:[A-Z][\w-]+|\w*\d[\w.,-]*\w|\d)")
LEANING = frozenset(
    WORD.findall("""
it its he him his she her hers they them their theirs this that these those there then one ones former latter same such
another other others else
""")
)
LEANING_STARTS = ("and ", "or ", "but ", "so ", "also ", "what about", "how about", "why not", "what else", "why?")
SHORT_QUESTION_WORDS = 2

INSTRUCTION = (
    "Rewrite the last question so that it can be understood without the conversation. "
    "Replace words like it, he or they by what they stand for. Write only the question."
)
EXAMPLE = (
    "User: Who wrote Hamlet?\nAssistant: William Shakespeare.\nUser: When was he born?\n\nQuestion:",
    "When was William Shakespeare born?",
)


def last_words(conversation: Conversation) -> str:
    """The question as it stands."""
    return conversation[-1]["content"]


def leans(question: str) -> bool:
    """Whether a question cannot be understood by itself, as far as its words tell."""
    words = WORD.findall(question.lower())
    content = [word for word in words if word not in STOP_WORDS]
    return (
        bool(LEANING & set(words))
        or question.lower().lstrip().startswith(LEANING_STARTS)
        or len(content) < SHORT_QUESTION_WORDS
    )


def with_key_terms(conversation: Conversation) -> str:
    """The question, and behind it the key terms of the turn before where the question leans on it."""
    question = last_words(conversation)
    earlier = [message for message in conversation[:-1] if message["role"] in ("user", "assistant")]
    if not earlier or not leans(question):
        return question
    terms = _key_terms(earlier)
    known = {word.lower() for word in WORD.findall(question)}
    return " ".join([question, *(term for term in terms if term.lower() not in known)][: MOST_TERMS + 1])


def _key_terms(earlier: Conversation) -> list[str]:
    """Words with meaning of the last question that stands by itself, then names and numbers of the last answer."""
    asked = [message["content"] for message in earlier if message["role"] == "user"]
    answered = [message["content"] for message in earlier if message["role"] == "assistant"]
    whole = next((at for at in reversed(range(len(asked))) if not leans(asked[at])), 0)
    words = [word for text in asked[whole:] for word in WORD.findall(text) if word.lower() not in STOP_WORDS]
    names = NAME_OR_NUMBER.findall(answered[-1][:MOST_ANSWER_CHARACTERS]) if answered else []
    return list(dict.fromkeys(words + [name for name in names if name.lower() not in STOP_WORDS]))


class ModelRewriting:
    """A model writes the question out where there is a history; an empty or overlong rewriting is not used, the key
    terms are."""

    def __init__(self, generator: Generator):
        self.generator = generator

    def __call__(self, conversation: Conversation) -> str:
        earlier = [message for message in conversation[:-1] if message["role"] in ("user", "assistant")]
        if not earlier:
            return last_words(conversation)
        said = "\n".join(
            f"{message['role'].title()}: {message['content'][:MOST_ANSWER_CHARACTERS]}"
            for message in [*earlier[-4:], conversation[-1]]
        )
        prompt = [
            Message(role="system", content=INSTRUCTION),
            Message(role="user", content=EXAMPLE[0]),
            Message(role="assistant", content=EXAMPLE[1]),
            Message(role="user", content=f"{said}\n\nQuestion:"),
        ]
        (reply,) = self.generator.generate([prompt], Sampling(max_new_tokens=64, stop=("\n",)))
        written = reply.text.strip()
        most = 3 * len(last_words(conversation)) + 200
        if reply.error is not None or reply.finish != "stop" or not 0 < len(written) <= most:
            return with_key_terms(conversation)
        return written
