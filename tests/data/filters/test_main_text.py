"""Main text of web pages: what stays, what goes, what cannot be read."""

from sartor.data.documents import documents_table
from sartor.data.filters import main_text as module
from sartor.data.filters.main_text import MainText, main_text

PARAGRAPH = "A paragraph of text that is long enough to be taken for the content of a page by anyone who reads it."
PAGE = f"""<html><head><title> The  title </title><script>var x = 1;</script></head><body>
<nav><ul><li><a href="/">Home</a></li><li><a href="/menu">Menu</a></li></ul></nav>
<article><h1>Heading</h1><p>{PARAGRAPH}</p><h2>Code</h2><pre><code>def f():
    return 1
</code></pre><p>{PARAGRAPH}</p><table><tr><th>name</th><th>size</th></tr><tr><td>a</td><td>1</td></tr></table>
<ul><li>First of all: {PARAGRAPH}</li><li>Then {PARAGRAPH}</li></ul><p>{PARAGRAPH}</p><h3>Related posts</h3></article>
<footer>Copyright</footer></body></html>"""


def test_headings_code_and_tables_stay_readable():
    title, text = main_text(PAGE)
    assert title == "The title"
    assert text.startswith("# Heading\n\nA paragraph")
    assert "## Code" in text and "```\ndef f():\n    return 1\n```" in text
    assert "name | size\na | 1" in text
    assert "• First of all" in text and text.count(PARAGRAPH) == 5
    for gone in ("Menu", "var x", "Copyright", "Related posts", "<"):
        assert gone not in text


def test_the_step_edits_pages_only_and_names_what_has_no_text():
    rows = [
        {"id": "a", "text": PAGE, "source": "s", "media_type": "text/html; charset=utf-8"},
        {"id": "b", "text": PAGE, "source": "s", "media_type": "text/plain"},
        {"id": "c", "text": "<html><body><nav>menu</nav></body></html>", "source": "s", "media_type": "text/html"},
        {"id": "d", "text": "<div>" * 5000 + PARAGRAPH, "source": "s", "media_type": "text/html"},
        {"id": "e", "text": PAGE, "source": "s", "media_type": "text/html", "title": "Given"},
    ]
    outcome = MainText()(documents_table(rows))
    assert outcome.reasons.to_pylist() == [None, None, "no_main_text", "bad_html", None]
    assert outcome.documents["media_type"].to_pylist()[:2] == ["text/plain", "text/plain"]
    assert outcome.documents["title"].to_pylist() == ["The title", None, None, None, "Given"]
    assert outcome.documents["text"][1].as_py() == PAGE
    again = MainText()(outcome.documents.slice(0, 1))
    assert again.documents.equals(outcome.documents.slice(0, 1))


def test_many_headings_that_nothing_follows_go():
    headings = "<h2>a</h2>" * 20_000
    assert main_text(f"<h1>b</h1><p>{PARAGRAPH}</p>{headings}")[1].endswith(PARAGRAPH)


def test_lists_in_lists_are_not_read_again_for_each_list_around_them(monkeypatch):
    visited = []
    children = module._children
    monkeypatch.setattr(module, "_children", lambda node: visited.append(node.tag) or children(node))
    deep, links = 60, 20
    page = "<ul>" + f"<li>{'<a href=x>link</a>' * links}</li>"
    main_text(f"<html><body><p>{PARAGRAPH}</p>{(page + '<li>') * deep}{'</li></ul>' * deep}</body></html>")
    elements = deep * (links + 3)
    assert elements < len(visited) < 3 * elements


def test_long_pages_take_no_more_than_their_length():
    assert main_text(f"<h2>x</h2><p>{PARAGRAPH}</p>" * 3000)[1].count(PARAGRAPH) == 3000
