import random

import numpy as np
import pytest

from sartor.data.filters.texts import Texts
from sartor.data.filters.word_lexicon import MULTIPLIER, lexicon, word_hash
from sartor.data.filters.words import ENDS_SENTENCE, HAS_LETTER, IS_PUNCTUATION, IS_SYMBOL
from tests.data.filters.judging import table

PIECES = """
    (x): (y:) ":)
    the cat's dogs' won't I'll can’t U.S. U.K., e.g., (i.e. 3.5 1,000 $4.50 10% 5km 7pm 12:30 'tis
    rock'n'roll well-known state-of-the-art --dash a—b x–y … ... wait..what? really?! “curly” ‘single’
    «angle» user@mail.org http://a.org/b?c=d, www.site.com. file.txt foo.Bar end.Next a/b C++ C# #tag
    @name *bold* _under_ [1] {x} <b> naïve façade Ünder ПРИВЕТ мир. 中文 ñandú 10°C. 20°C 😀 ok:) ;-) :(
    A.B. Ph.D. Mr. Dr. St. Inc. x=y a+b 3-4 5*6 2^3 ~5 $US US$5 €10 10€ §5 ¶ © Ltd. o'clock y'all let's
    cannot gonna gotta Its its Well well 100 1st i.am 'quote'
"""


def words_of(*texts: str) -> list[list[str]]:
    column = Texts.of_column(table(texts)["text"])
    words, data = column.words, column.data.tobytes()
    pieces = [data[start : start + size].decode() for start, size in zip(words.starts, words.bytes, strict=True)]
    return [pieces[words.first[row] : words.first[row + 1]] for row in range(len(texts))]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello world", "Hello world"),
        ("  tabs\tand\n\nnewlines\u00a0too ", "tabs and newlines too"),
        ('"Well," she said.', '" Well , " she said .'),
        ("(see [4])...", "( see [ 4 ] ) ..."),
        ("don't can't won't I'm", "do n't ca n't wo n't I 'm"),
        ("don’t it’s", "do n’t it ’s"),
        ("cannot gonna well its", "can not gon na well its"),
        ("John's cats'", "John 's cats '"),
        ("Mr. Smith vs. the U.S. team e.g. here", "Mr. Smith vs. the U.S. team e.g. here"),
        ("end.Start a.b", "end . Start a.b"),
        ("well-known 3-4 10:30 a/b and/or", "well - known 3 - 4 10:30 a / b and/or"),
        ("$5 5kg 10% 5pm C$3", "$ 5 5 kg 10 % 5 pm C$ 3"),
        ("https://example.com/a-b?c=d x@y.org www.a.org.", "https://example.com/a-b?c=d x@y.org www.a.org ."),
        ("one,two 1,000 yes…no", "one , two 1,000 yes … no"),
        (":) (smiles :)", ":) ( smiles :)"),
        ("café — naïve – “quoted”", "café — naïve – “ quoted ”"),
        ("日本語。テスト", "日本語。テスト"),
        ("😀😀 ok", "😀 😀 ok"),
        ("(as here): ''''", "( as here ): ' '' '"),
        ("''''''' '''''z", "'' ' '' '' '' ' ' ' z"),
        ("- a", "- a"),
        (".", "."),
        ("", ""),
        (" \n ", ""),
    ],
)
def test_words_are_cut_by_the_rules(text, words):
    assert words_of(text) == [words.split()]


def test_rows_keep_their_words():
    assert words_of("one two", "", "three", " ") == [["one", "two"], [], ["three"], []]


def test_lengths_are_in_characters_and_flags_say_what_a_word_is():
    words = Texts.of_column(table(["naïve 12 , — ... 。 été."])["text"]).words
    assert words.characters.tolist() == [5, 2, 1, 1, 3, 1, 3, 1]
    assert words.bytes.tolist() == [6, 2, 1, 3, 3, 3, 5, 1]
    letters = [bool(flag & HAS_LETTER) for flag in words.flags]
    assert letters == [True, False, False, False, False, False, True, False]
    symbols = [bool(flag & IS_SYMBOL) for flag in words.flags]
    assert symbols == [False, False, True, True, True, True, False, True]
    assert [bool(flag & IS_PUNCTUATION) for flag in words.flags] == symbols
    assert [bool(flag & ENDS_SENTENCE) for flag in words.flags] == [False] * 5 + [True, False, True]


def test_equal_words_have_equal_hashes_however_they_are_reached():
    words = Texts.of_column(table(["été word (word) été, word"])["text"]).words
    assert words.hashes[1] == words.hashes[3] == words.hashes[7] == word_hash("word")
    assert words.hashes[0] == words.hashes[5] == word_hash("été")
    joined = (word_hash("ab") * pow(MULTIPLIER, 3, 2**64) + word_hash("cde")) % 2**64
    assert joined == word_hash("abcde")


def test_a_piece_longer_than_any_word_is_cut_whole():
    assert words_of("x" * 5000) == [["x" * 5000]]
    assert words_of("(" * 3000 + "y") == [["("] * 3000 + ["y"]]
    assert words_of("a-" * 2000 + "a") == [["a", "-"] * 2000 + ["a"]]


def test_words_of_a_slice_are_those_of_its_rows():
    whole = table(["first row", "zwei – drei", "last one"])
    words = Texts.of_column(whole.slice(1, 1)["text"]).words
    assert len(words.starts) == 3 and words.starts[0] == 0


def test_the_lexicon_is_not_too_full_and_has_no_empty_key():
    keys, values = lexicon()
    assert np.count_nonzero(keys) < len(keys) / 3
    assert np.count_nonzero(keys) == np.count_nonzero(values)


def test_words_are_those_of_the_tokenizer_that_published_pipelines_use():
    tokenizers = pytest.importorskip("datatrove.utils.word_tokenizers", reason="datatrove is not installed")
    pytest.importorskip("spacy", reason="spaCy is not installed")
    tokenizer = tokenizers.load_word_tokenizer("eng")
    chance = random.Random(0)
    texts = [" ".join(chance.choices(PIECES.split(), k=60)) for _ in range(40)]
    theirs = [tokenizer.word_tokenize(text) for text in texts]
    assert words_of(*texts) == theirs
