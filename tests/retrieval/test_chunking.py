"""Chunks: exact offsets, nothing lost, nothing too long, cut at the joints of the text."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sartor.retrieval.chunking import Chunk, chunk_text, sections_of
from sartor.retrieval.code_sections import code_starts

WORDS = st.sampled_from(["one", "two.", "Three", "vier!", "(five)", "日本語。", "x" * 90, "#", "```", "-", "é"])
LINES = st.lists(WORDS, max_size=30).map(" ".join)
HEADINGS = st.tuples(st.integers(1, 4), st.sampled_from(["A", "B", "C and D"])).map(lambda h: "#" * h[0] + " " + h[1])
TEXTS = st.lists(st.one_of(LINES, HEADINGS, st.just("")), max_size=40).map("\n".join)


def count_words(text: str) -> int:
    return 2 + len(text.split())


def count_characters(text: str) -> int:
    return 2 + len(text)


def cut(text: str, title: str = "", target: int = 80, maximum: int = 100) -> list[Chunk]:
    return chunk_text(text, title, count_words, target, maximum)


@settings(max_examples=300)
@given(TEXTS, st.sampled_from(["", "Handbook"]), st.sampled_from([count_words, count_characters]))
def test_offsets_are_exact_order_is_kept_and_nothing_is_lost_or_too_long(text, title, count):
    chunks = chunk_text(text, title, count, 80, 100)
    names = " > ".join(chunk.title for chunk in chunks)
    end = 0
    for chunk in [*chunks, Chunk(len(text), len(text), "", "")]:
        assert text[chunk.start : chunk.end] == chunk.text
        between = text[end : chunk.start].strip()
        for line in filter(None, map(str.strip, between.splitlines())):
            assert line.startswith("#") and line.strip("# ") in names
        assert chunk.start >= end and count(chunk.embedded) <= 100
        end = chunk.end
    assert all(chunk.text == chunk.text.strip() != "" for chunk in chunks)
    assert bool(chunks) == bool(text.strip())


def test_a_short_document_is_one_chunk_under_its_title():
    text = "# Handbook\n\nWelcome.\n\n## Leave\n\n30 days.\n"
    (chunk,) = cut(text, "Handbook")
    assert chunk.title == "Handbook"
    assert chunk.text == "Welcome.\n\n## Leave\n\n30 days."
    assert chunk.embedded == f"Handbook\n{chunk.text}"


def test_sections_stay_apart_and_carry_the_headings_above():
    body = " ".join(["word"] * 50)
    leave = f"## Leave\n\n### Holidays\n\n{body} h\n\n### Sickness\n\n{body} s"
    text = f"# Handbook\n\n{leave}\n\n## Pay\n\n{body} p\n"
    chunks = cut(text, "Handbook")
    assert [(chunk.title, chunk.text[-1]) for chunk in chunks] == [
        ("Handbook > Leave > Holidays", "h"), ("Handbook > Leave > Sickness", "s"), ("Handbook > Pay", "p"),
    ]  # fmt: skip
    assert all(chunk.text.startswith("word") for chunk in chunks)


def test_small_neighbours_share_a_chunk_with_their_headings_in_it():
    sections = "".join(f"## Q{number}\n\nYes.\n\n" for number in range(60))
    chunks = cut(f"# FAQ\n\n{sections}", "FAQ")
    assert 3 < len(chunks) < 16
    assert all(chunk.title == "FAQ" and chunk.text.startswith(("## Q", "# FAQ")) for chunk in chunks)


def test_long_text_is_cut_evenly_and_at_the_strongest_joint():
    sentences = " ".join(f"Sentence {number} has five words." for number in range(160))
    chunks = cut(sentences)
    assert all(chunk.text.startswith("Sentence") and chunk.text.endswith("words.") for chunk in chunks)
    sizes = [count_words(chunk.embedded) for chunk in chunks]
    assert min(sizes) >= 45 and max(sizes) <= 100

    paragraphs = "\n\n".join(" ".join(["No full stop"] * 25) for _ in range(6))
    assert [chunk.text for chunk in cut(paragraphs)] == paragraphs.split("\n\n")

    japanese = "これは一つの文です。" * 50
    chunks = chunk_text(japanese, "", count_characters, 60, 80)
    assert all(chunk.text.endswith("。") for chunk in chunks)


def test_text_without_any_joint_is_cut_by_characters():
    text = "x" * 100_000
    chunks = chunk_text(text, "", count_characters, 200, 256)
    assert "".join(chunk.text for chunk in chunks) == text
    assert all(100 <= len(chunk.text) <= 254 for chunk in chunks)


@pytest.mark.parametrize("title", ["T " * 200, "T" * 500])
def test_an_endless_title_is_shortened_and_the_text_is_not(title):
    body = " ".join(f"w{number}" for number in range(200))
    for count in (count_words, count_characters):
        chunks = chunk_text(f"# {title}\n\n{body}", title, count, 80, 100)
        assert all(count(chunk.title) <= 25 and count(chunk.embedded) <= 100 for chunk in chunks)
        words = " ".join(chunk.text for chunk in chunks).split()
        assert [word for word in words if word.startswith("w")] == body.split()


def test_headings_in_code_are_none_and_paths_follow_levels():
    text = "Intro\n# A { #a-name }\n```sh\n# no heading\n~~~\n```\n### B ##\n## C#\n#D\n# E\n"
    sections = sections_of(text)
    assert [section.path for section in sections] == [(), ("A",), ("A", "B"), ("A", "C#"), ("E",)]
    assert "".join(text[section.start : section.end] for section in sections) == text
    assert all(one.end == two.start for one, two in itertools.pairwise(sections))


def test_headings_alone_still_give_a_chunk():
    assert [(chunk.title, chunk.text) for chunk in cut("# A\n\n## B\n", "A")] == [("A > B", "# A\n\n## B")]


CODE_LINES = st.sampled_from(
    [
        "",
        "def f(x):",
        "    return x",
        "class A:",
        "    def g(self):",
        "# a comment",
        "@wrapped",
        "}",
        "x = 1 " * 9,
        "\tb",
    ]
)


@settings(max_examples=200)
@given(st.lists(CODE_LINES, max_size=60).map("\n".join))
def test_code_keeps_every_character_in_order(text):
    chunks = chunk_text(text, "tool.py", count_words, 40, 60, is_code=True)
    assert "".join("".join(chunk.text.split()) for chunk in chunks) == "".join(text.split())
    for chunk in chunks:
        assert text[chunk.start : chunk.end] == chunk.text and count_words(chunk.embedded) <= 60


def test_code_is_cut_along_functions_which_name_their_parts():
    comment = "# Adds.\n# It is no heading.\n@wrapped\n"
    body = "".join(f"    step_{number} = compute the next {number}\n" for number in range(12))
    function = f"{comment}def add(a, b):\n{body}"
    method = f"    def first(self):\n{body}\n    def second(self):\n{body}"
    text = f"import os\n\n\n{function}\n\nclass Adder(Base):\n{method}"
    chunks = chunk_text(text, "tool.py", count_words, 90, 90, is_code=True)
    assert [chunk.title for chunk in chunks] == [
        "tool.py", "tool.py > class Adder(Base)", "tool.py > class Adder(Base)",
    ]  # fmt: skip
    assert chunks[0].text == f"import os\n\n\n{function}".strip()
    assert chunks[1].text.startswith("class Adder") and chunks[2].text.startswith("def second")


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("fn main() {\n    a\n\n    b\n}\n\n// Says it.\npub struct A {\n}\n", ["fn main()", "pub struct A"]),
        ("if a\n\nend\n\nexport default function f() {\n}\n", ["", "export default function f()"]),
        ("func (a *A) B() {\n}\n\ntype C struct {\n}\n", ["func (a *A) B()", "type C struct"]),
        ("\n\n  x\n", []),
    ],
)  # fmt: skip
def test_parts_of_several_languages(text, starts):
    assert [name for _, name in code_starts(text)] == starts
