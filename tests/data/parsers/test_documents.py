"""Word documents, books, source code and pages: what text comes out of them."""

import docx as python_docx
import pytest

from sartor.data.parsers.docx import parse_docx
from sartor.data.parsers.epub import parse_epub
from sartor.data.parsers.formats import media_type_of, readable_type
from sartor.data.parsers.html import page_facts
from sartor.data.parsers.markdown import parse_markdown
from sartor.data.parsers.parsed import Unreadable
from sartor.data.parsers.plain import parse_plain
from tests.data.parsers.files import docx, epub, paragraph, zipped


def test_a_word_document_keeps_headings_lists_tables_and_notes():
    cell = "<w:tc>{}</w:tc>".format
    table = f"<w:tbl><w:tr>{cell(paragraph('a') + paragraph('b'))}{cell(paragraph('c'))}</w:tr></w:tbl>"
    body = (
        paragraph("Title &amp; more", "berschrift1") + paragraph("Part", "Sub") + paragraph("One.")
        + paragraph("item", properties='<w:numPr><w:numId w:val="1"/></w:numPr>') + table
        + "<w:p><w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>c</w:t></w:r>"
        + "<w:del><w:r><w:t>gone</w:t></w:r></w:del></w:p>"
    )  # fmt: skip
    core = (
        '<x xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title> My report </dc:title><dc:rights>MIT</dc:rights></x>'
    )
    notes = f'<w:footnotes xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">{paragraph("Note.")}'
    parsed = parse_docx(docx(body, **{"docProps__core.xml": core, "word__footnotes.xml": notes + "</w:footnotes>"}))
    assert (parsed.title, parsed.licence) == ("My report", "MIT")
    assert parsed.text == "# Title & more\n\n## Part\n\nOne.\n\n- item\n\n| a b | c |\n\na\tb\nc\n\nNote."


def test_what_another_program_wrote_is_read(tmp_path):
    """python-docx writes the document, with Word's own default styles."""
    document = python_docx.Document()
    document.add_heading("Leave", 0)
    document.add_heading("Notice", 2)
    document.add_paragraph("Eleven days.")
    document.add_paragraph("a form", style="List Bullet")
    rows = document.add_table(2, 2)
    for number, cell in enumerate(rows._cells):
        cell.text = f"cell {number}"
    document.core_properties.title = "Handbook"
    document.save(tmp_path / "x.docx")
    parsed = parse_docx((tmp_path / "x.docx").read_bytes())
    assert parsed.title == "Handbook"
    assert parsed.text.split("\n\n") == [
        "# Leave", "## Notice", "Eleven days.", "a form", "| cell 0 | cell 1 |", "| cell 2 | cell 3 |",
    ]  # fmt: skip


def test_a_book_is_read_in_its_order():
    book = epub({"z%20one.xhtml": "<h1>One</h1><p>Erst.</p>", "a.xhtml": "<h2>Two</h2><p>Dann.</p><nav>menu</nav>"})
    parsed = parse_epub(book)
    assert (parsed.title, parsed.licence) == ("The Book", "https://creativecommons.org/publicdomain/zero/1.0/")
    assert [line for line in parsed.text.splitlines() if line] == ["# One", "Erst.", "## Two", "Dann."]


def test_an_encrypted_or_empty_book_is_refused():
    locked = '<encryption><EncryptedData><CipherReference URI="OEBPS/a.xhtml"/></EncryptedData></encryption>'
    with pytest.raises(Unreadable, match="encrypted"):
        parse_epub(epub({"a.xhtml": "x"}, **{"META-INF__encryption.xml": locked}))
    with pytest.raises(Unreadable, match="no chapters"):
        parse_epub(epub({}))
    with pytest.raises(Unreadable, match="not an EPUB"):
        parse_epub(zipped({"a": "b"}))
    with pytest.raises(Unreadable, match="missing in the archive"):
        parse_epub(zipped({"META-INF/container.xml": '<c><rootfile full-path="no.opf"/></c>'}))
    with pytest.raises(Unreadable, match="not a Word document"):
        parse_docx(zipped({"a": "b"}))
    with pytest.raises(Unreadable, match="not a readable archive"):
        parse_docx(b"not a zip")


def test_licences_stated_in_source_code_and_front_matter():
    assert parse_plain(b"/* SPDX-License-Identifier: GPL-2.0-only OR MIT */\nint x;").licence == "GPL-2.0-only OR MIT"
    assert parse_plain(b"# SPDX-License-Identifier: Apache-2.0\n").licence == "Apache-2.0"
    assert parse_plain(b"x = 1").licence is None
    assert parse_markdown(b"---\nlicense: 'MIT'\n---\ntext").licence == "MIT"


@pytest.mark.parametrize(
    ("source", "facts"),
    [
        ("<title>A\n b</title><link rel='license' href='http://x/'>", ("A b", "http://x/")),
        ("<p><a rel='license noopener' href='http://y/'>CC</a>", ("", "http://y/")),
        ("<meta name='DCTERMS.license' content='CC0'>", ("", "CC0")),
        ("<a href='http://x/'>license</a>", ("", None)),
        ("", ("", None)),
    ],
)
def test_what_a_page_says_of_itself(source, facts):
    assert page_facts(source) == facts


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.TXT", "text/plain"), ("x/README", "text/plain"), ("a.rs", "text/x-rust"), ("a.png", None), ("a", None)],
)
def test_media_types_by_name(name, kind):
    assert media_type_of(name) == kind


@pytest.mark.parametrize(
    ("stated", "kind"),
    [("text/html; charset=x", "text/html"), ("application/xhtml+xml", "text/html"), ("TEXT/PLAIN", "text/plain"),
     ("application/pdf", "application/pdf"), ("image/png", None), ("application/json", None), ("", None)],
)  # fmt: skip
def test_media_types_as_servers_state_them(stated, kind):
    assert readable_type(stated) == kind
