"""No address leaves in an answer that its sources do not hold, however the answer comes in pieces."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sartor.retrieval.links import LinkFilter, without_foreign_links

SOURCE = "Read https://Good.example/docs?x=1#top, or www.good.example (mail: mailto:me@good.example)."
PIECES = st.sampled_from(
    ["https://", "http:", "//", "/", "evil.example", "www.", "good.example", "![", "[", "](", "]", ")", "(", " ", "\n",
     "<img src=", "<a", " href='", "'", ">", "<", "!", "data:", "javascript:", "x", "1", ":", ".", ",", "é", "日", "]:",
     "https://good.example/docs?x=1#top", "\u200b", "a", "<b>"]
)  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "See https://good.example/docs?x=1#top.", "HTTPS://GOOD.example/docs?x=1#top", "(www.good.example)",
        "[docs](https://good.example/docs?x=1#top) and <https://good.example/docs?x=1#top>", "mailto:me@good.example",
        "Ratio 3:1, time 9:30, a<b>c</b>, f(x)[0], [1] [2], and/or, e.g. this: that!", "x < y && y > z",
        "[1]: the first passage", "Wow! [1]", "a [b] (c)", "note: data: 5",
    ],
)  # fmt: skip
def test_what_the_sources_hold_and_plain_text_stays(text):
    assert without_foreign_links(text, [SOURCE]) == (text, [])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("go to https://evil.example/?q=secret.", "go to ‹link removed›."),
        ("https://good.example/docs?x=1&leak=secret", "‹link removed›"),
        ("https://good.example/other", "‹link removed›"),
        ("![alt](https://evil.example/a.png)", "[alt] ‹link removed›"),
        ("![alt](https://good.example/docs?x=1#top)", "[alt](https://good.example/docs?x=1#top)"),
        ("![alt][1]", "[alt][1]"),
        ("[click](//evil.example/x 'title') now", "[click] ‹link removed› now"),
        ("[click](&#104;ttps://evil.example)", "[click] ‹link removed›"),
        ("[click](javascript:alert(1))", "[click] ‹link removed›)"),
        ("[a]: //evil.example/x", "[a] ‹link removed›"),
        ('<img src="//evil.example/x.png">!', "‹link removed›!"),
        ("<a\nhref=x>y</a>", "‹link removed›y</a>"),
        ("www.evil.example/x, and", "‹link removed›, and"),
        ("ht\u200btps://evil.example", "‹link removed›"),
        ("data:text/html;base64,xyz", "‹link removed›"),
        ("https://例え.example/ä", "‹link removed›"),
        ("<https://evil.example>", "<‹link removed›>"),
        ("[https://good.example/docs?x=1#top](https://evil.example)",
         "[https://good.example/docs?x=1#top] ‹link removed›"),
    ],
)  # fmt: skip
def test_what_they_do_not_hold_goes_and_is_named(text, shown):
    result, removed = without_foreign_links(text, [SOURCE])
    assert result == shown and removed


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=14).map("".join), st.data())
def test_pieces_give_what_the_whole_gives_and_nothing_foreign(text, data):
    whole, removed = without_foreign_links(text, [SOURCE])
    filtered, rest, shown = LinkFilter([SOURCE]), text, ""
    while rest:
        size = data.draw(st.integers(1, 5))
        shown += filtered.push(rest[:size])
        rest = rest[size:]
    assert (shown + filtered.finish(), filtered.removed) == (whole, removed)
    for address in re.findall(r"[a-z]+://[^\s<>\"'`\])]+|www\.[^\s<>\"'`\])]+|\]\([^)\n]+", whole, re.IGNORECASE):
        assert "evil" not in address, whole
    assert "![" not in whole and not re.search(r"<img src=", whole)


def test_text_is_not_held_back_longer_than_it_must_be():
    links = LinkFilter([])
    assert links.push("The first word, ") == "The first word, "
    assert links.push("日本語です") == "日本語です"
    assert links.push("htt") == "" and links.push("p error ") == "http error "
    assert links.push("[1] and [2]. ") == "[1] and [2]. "
