"""Rules that put a question into other words."""

import random

import pytest

from sartor.choosing.probes.paraphrases import (
    clause_moved,
    greeting,
    in_small_letters,
    indirect,
    paraphrase,
    polite,
    thanks,
    told,
    without_mark,
    written_out,
)


@pytest.mark.parametrize(
    ("rule", "text", "made"),
    [
        (clause_moved, "If I lose my key, who is told?", "Who is told if I lose my key?"),
        (clause_moved, "What do I say if I am late?", "If I am late, what do I say?"),
        (clause_moved, "Who knows, if anyone?", None),
        (clause_moved, "Do you know if it rains?", None),  # an indirect question, no condition
        (told, "What is the fare for a horse?", "Tell me the fare for a horse."),
        (told, "What is it?", None),
        (indirect, "When can I come?", "I would like to know when I can come."),
        (indirect, "How many days off do I get?", "I would like to know how many days off I get."),
        (indirect, "Can I pay by card?", "I would like to know whether I can pay by card."),
        (indirect, "When does the boat leave?", None),  # the verb would have to change
        (written_out, "What's due? I've paid.", "What is due? I have paid."),
        (written_out, "It's Anna's.", None),
        (polite, "Where is it?", "Could you tell me, please: where is it?"),
        (polite, "Anna?", None),
        (in_small_letters, "Where do I pay Anna?", "where do i pay Anna?"),
        (in_small_letters, "Anna has paid.", None),
        (without_mark, "Where is it?", "Where is it"),
        (without_mark, "Where? Why?", None),
        (greeting, "Where is it?", "Hello! Where is it?"),
        (greeting, "Hi, where is it?", None),
        (thanks, "My card is lost", "My card is lost. Thank you!"),
        (thanks, "Thanks for all", None),
    ],
)
def test_rule(rule: object, text: str, made: str | None) -> None:
    assert callable(rule) and rule(text) == made


def test_rewording_comes_before_framing() -> None:
    names = {made[1] for seed in range(50) if (made := paraphrase("What is the fare?", (), random.Random(seed)))}
    assert names == {"told"}


def test_what_the_scorer_needs_stays_as_it_is() -> None:
    made = [paraphrase("Where do I pay?", ("I",), random.Random(seed)) for seed in range(50)]
    assert all(each is not None and "I" in each[0].split() for each in made)


def test_texts_of_several_lines_are_left_alone() -> None:
    assert paraphrase("translate\nthis", (), random.Random(0)) is None


def test_nothing_is_lost_of_the_question() -> None:
    """Every word of the question but an auxiliary is in each paraphrase."""
    for seed in range(20):
        made = paraphrase("What form do I fill in when the card is lost?", (), random.Random(seed))
        assert made is not None
        assert {"form", "fill", "card", "lost", "when"} <= set(made[0].lower().rstrip(".?").replace(",", "").split())
