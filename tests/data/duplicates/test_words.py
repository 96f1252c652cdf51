"""Words and their n-grams: the same words that a slow reading finds, and numbers that depend on the text alone."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sartor.data.duplicates import words as module
from sartor.data.duplicates.grams import gram_hashes, grams_of_lengths
from sartor.data.duplicates.words import word_hashes

TEXTS = st.lists(
    st.one_of(
        st.text(max_size=60),
        st.text(alphabet="aAbß éİΣσς漢字ไทยकि_-’1…\x00\x01\n ", max_size=60),
        st.text(alphabet="ab cd", max_size=200),
    ),
    max_size=6,
)


def slow_words(text: str) -> list[str]:
    found, word = [], ""
    for character in unicodedata.normalize("NFKC", text):
        alone = any(first <= ord(character) <= last for first, last in module.UNSPACED)
        is_word = character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M"
        folded = character.casefold()
        folded = folded if len(folded) == 1 else character.lower()[0]
        if word and (alone or not is_word):
            found.append(word)
            word = ""
        if alone and is_word:
            found.append(folded)
        elif is_word:
            word += folded
    return [*found, word] if word else found


def of_texts(hashes: module.Hashes) -> list[list[int]]:
    return [part.tolist() for part in np.split(hashes.values, hashes.starts[1:-1])] if len(hashes.starts) > 1 else []


@given(TEXTS)
def test_words_are_those_of_the_definition(texts: list[str]) -> None:
    found = of_texts(word_hashes(texts))
    expected = [slow_words(text) for text in texts]
    assert [len(words) for words in found] == [len(words) for words in expected]
    numbers: dict[str, int] = {}
    for word, number in zip(sum(expected, []), sum(found, []), strict=True):
        assert numbers.setdefault(word, number) == number
    assert len(set(numbers.values())) == len(numbers)


@given(TEXTS, st.integers(1, 6))
def test_grams_stay_within_their_text(texts: list[str], length: int) -> None:
    words = word_hashes(texts)
    found = of_texts(gram_hashes(words, length))
    numbers: dict[tuple[int, ...], int] = {}
    for own, grams in zip(of_texts(words), found, strict=True):
        expected = [tuple(own[place : place + length]) for place in range(len(own) - length + 1)]
        assert len(grams) == len(expected)
        for gram, number in zip(expected, grams, strict=True):
            assert numbers.setdefault(gram, number) == number
    assert len(set(numbers.values())) == len(numbers)


def test_grams_of_several_lengths_are_those_of_each() -> None:
    words = word_hashes(["a b c d e f g", "", "h i", "j k l m"])
    for length, grams in zip((2, 3, 6), grams_of_lengths(words, [6, 2, 3]), strict=True):
        assert of_texts(grams) == of_texts(gram_hashes(words, length))


def test_a_text_has_the_same_numbers_in_any_company(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["Plain words only. ", "Größe ’und’ Maß 漢字かな ", "x" * 200 + " y", "", " one\ntwo "] * 7
    alone = [of_texts(word_hashes([text]))[0] for text in texts]
    assert of_texts(word_hashes(texts)) == alone
    monkeypatch.setattr(module, "BLOCK_CHARACTERS", 20)
    assert of_texts(word_hashes(texts)) == alone


def test_a_long_text_is_cut_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [" ".join(f"word{number}" for number in range(50)), "é\n" * 40]
    whole = of_texts(word_hashes(texts))
    monkeypatch.setattr(module, "PIECE_CHARACTERS", 16)
    assert of_texts(word_hashes(texts)) == whole


def test_numbers_are_the_same_on_every_machine() -> None:
    """Pinned: signatures of one machine are compared with those of another."""
    found = word_hashes(["The cat, the hat.", "naïve 漢字", "a" * 70])
    assert found.values[0] == found.values[2]
    assert [f"{number:016x}" for number in found.values.tolist()] == PINNED


PINNED = [
    "9cbe51830a7944dc",
    "432dc97e8a39f399",
    "9cbe51830a7944dc",
    "c994be4b5b17b6ff",
    "9bfe3e6df5e99a60",
    "6fa17520fad7d0d6",
    "5166b0b5da7ab4b6",
    "7dfedf977e6e6039",
]
