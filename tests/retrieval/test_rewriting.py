"""What is searched for when a question leans on the turn before."""

import pytest

from sartor.generation.protocol import Reply
from sartor.retrieval.rewriting import ModelRewriting, last_words, leans, with_key_terms


def talk(*turns: str) -> list[dict[str, str]]:
    return [{"role": "assistant" if n % 2 else "user", "content": text} for n, text in enumerate(turns)]


@pytest.mark.parametrize(
    "question", ["How heavy is it?", "And in Dover?", "Who was he?", "Why?", "What about tea?", "tell me more"]
)
def test_questions_that_lean(question):
    assert leans(question)


@pytest.mark.parametrize(
    "question", ["How heavy is the Bolt engine?", "Which ships sail to Dover?", "Itemise the bill"]
)
def test_questions_that_stand_by_themselves(question):
    assert not leans(question)
    assert with_key_terms(talk("How are the returns?", "Good.", question)) == question


def test_without_a_history_nothing_is_added():
    assert with_key_terms(talk("How heavy is it?")) == "How heavy is it?"
    system = [{"role": "system", "content": "Speak of ships."}]
    assert with_key_terms(system + talk("How heavy is it?")) == "How heavy is it?"


def test_key_terms_of_the_last_question_that_stands_by_itself_and_names_of_the_answer():
    conversation = talk("Which engine did Corliss build?", "The horizontal Rumford, in 1849.", "How heavy is it?")
    assert with_key_terms(conversation) == "How heavy is it? engine Corliss build Rumford 1849"
    further = [
        *conversation,
        {"role": "assistant", "content": "Two tons."},
        {"role": "user", "content": "And how old?"},
    ]
    assert with_key_terms(further) == "And how old? engine Corliss build heavy Two"
    assert last_words(further) == "And how old?"
    assert len(with_key_terms(talk(" ".join(f"word{n}" for n in range(99)), "", "Why?")).split()) == 13


class Writer:
    def __init__(self, **reply):
        self.reply, self.asked = Reply(**reply), []

    def generate(self, conversations, sampling, on_reply=None):
        self.asked += conversations
        return [self.reply]


def test_a_model_writes_the_question_out():
    conversation = talk("Who wrote Hamlet?", "Shakespeare.", "When was he born?")
    writer = Writer(text=" When was Shakespeare born?", finish="stop")
    assert ModelRewriting(writer)(conversation) == "When was Shakespeare born?"
    assert "Assistant: Shakespeare.\nUser: When was he born?" in writer.asked[0][-1]["content"]
    assert ModelRewriting(writer)(talk("When was he born?")) == "When was he born?" and len(writer.asked) == 1


@pytest.mark.parametrize(
    "reply",
    [{"text": "", "finish": "stop"}, {"text": "x" * 999, "finish": "stop"}, {"text": "half a", "finish": "length"},
     {"text": "", "finish": "error", "error": "busy"}],
)  # fmt: skip
def test_a_rewriting_that_cannot_be_used_is_not(reply):
    conversation = talk("Who wrote Hamlet?", "Shakespeare.", "When was he born?")
    assert ModelRewriting(Writer(**reply))(conversation) == "When was he born? wrote Hamlet Shakespeare"
