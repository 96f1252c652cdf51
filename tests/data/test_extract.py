"""Files to documents: what each type gives, what is refused, and that nothing is left out unnamed."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sartor.base.errors import DataError
from sartor.data.collecting.files import is_readable
from sartor.data.extract import Document, make_document, read_documents
from tests.data.parsers.files import docx, epub, paragraph, xlsx


def read(source: Path, **options: int) -> tuple[list[Document], list[str]]:
    notices: list[str] = []
    return list(read_documents(source, notice=notices.append, **options)), notices


def pdf(pages: list[list[str]], title: str = "") -> bytes:
    """A PDF with these lines on its pages, written by hand."""
    objects = {
        1: "<< /Type /Catalog /Pages 2 0 R >>",
        3: "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        4: f"<< /Title ({title}) >>",
    }
    kids = []
    for lines in pages:
        number = max(objects) + 1
        content = "BT /F1 12 Tf 72 720 Td 14 TL " + " ".join(f"({line}) Tj T*" for line in lines) + " ET"
        objects[number] = f"<< /Length {len(content)} >>\nstream\n{content}\nendstream"
        objects[number + 1] = (
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {number} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
        kids.append(f"{number + 1} 0 R")
    objects[2] = f"<< /Type /Pages /Count {len(kids)} /Kids [{' '.join(kids)}] >>"
    file, offsets = "%PDF-1.4\n", {}
    for number in sorted(objects):
        offsets[number] = len(file)
        file += f"{number} 0 obj\n{objects[number]}\nendobj\n"
    table = "".join(f"{offsets[number]:010d} 00000 n \n" for number in sorted(offsets))
    file += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
    return (file + f"trailer << /Size {len(objects) + 1} /Root 1 0 R /Info 4 0 R >>\n%%EOF\n").encode()


def test_a_folder_is_read_in_a_fixed_order_with_relative_ids(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "two_words.txt").write_bytes("\ufeff Zwei\r\nZeilen\r\n".encode())
    (tmp_path / "a.md").write_text("---\ntitle: 'The \"A\"'\ntags: [x]\n---\n# Heading\n\nBody\n")
    (tmp_path / "c.md").write_text("Intro\n\n# Heading #\n\n---\n\nBody")
    (tmp_path / "d.md").write_text("# Named { #its-name }\n\nBody")
    documents, notices = read(tmp_path)
    assert [(document.id, document.title, document.text) for document in documents] == [
        ("a.md", 'The "A"', "# Heading\n\nBody"),
        ("b/two_words.txt", "two words", "Zwei\nZeilen"),
        ("c.md", "Heading", "Intro\n\n# Heading #\n\n---\n\nBody"),
        ("d.md", "Named", "# Named { #its-name }\n\nBody"),
    ]
    assert len(notices) == 1 and "no single value was left out: tags" in notices[0]
    assert documents[1].path == str(tmp_path / "b" / "two_words.txt")
    assert read(tmp_path)[0] == documents


def test_html_keeps_content_lists_and_headings_and_drops_furniture(tmp_path):
    (tmp_path / "page.html").write_text(
        "<html><head><title>Leave &amp;\n rest</title><style>p{}</style></head><body><nav>Menu</nav>"
        "<h1>Leave <b>policy</b></h1><p>30 days.</p><h2>Proof</h2><ul><li>note</li><li>form</li></ul>"
        "<script>alert(1)</script><footer>Imprint</footer></body></html>"
    )
    (tmp_path / "untitled.htm").write_text("<h1>Only a heading</h1><p>Text")
    (page, untitled), notices = read(tmp_path)
    assert (page.title, untitled.title, notices) == ("Leave & rest", "Only a heading", [])
    assert page.text.split("\n\n")[:3] == ["# Leave policy", "30 days.", "## Proof"]
    assert "note" in page.text and "form" in page.text
    for gone in ("Menu", "Imprint", "alert", "p{}", "<"):
        assert gone not in page.text


def test_pdf_gives_its_text_layer_and_names_pages_without_one(tmp_path):
    path = tmp_path / "report.pdf"
    path.write_bytes(pdf([["Rules of inter-", "national mail."], [], ["Last page"]], title="Mail"))
    (document,), notices = read(path)
    assert (document.id, document.title) == ("report.pdf", "Mail")
    assert document.text.replace("\n", " ") == "Rules of international mail.    Last page"
    assert len(notices) == 1 and "no text on page 2 of 3" in notices[0] and str(path) in notices[0]


def test_word_documents_and_books_are_read(tmp_path):
    (tmp_path / "a.docx").write_bytes(docx(paragraph("Leave", "berschrift1") + paragraph("Eleven days.")))
    (tmp_path / "b.epub").write_bytes(epub({"one.xhtml": "<h1>One</h1><p>Erst.</p>"}))
    (leave, book), notices = read(tmp_path)
    assert (leave.title, leave.text, notices) == ("a", "# Leave\n\nEleven days.", [])
    assert book.title == "The Book" and book.text.startswith("# One")
    (tmp_path / "c.docx").write_bytes(b"no archive")
    with pytest.raises(DataError, match="not a readable archive") as error:
        read(tmp_path)
    assert error.value.where == str(tmp_path / "c.docx") and error.value.hint


def test_a_hostile_file_is_refused_by_name_and_others_can_go_on(tmp_path):
    (tmp_path / "bomb.xlsx").write_bytes(xlsx("<row/>", **{"xl__sharedStrings.xml": bytes(210_000_000)}))
    (tmp_path / "good.txt").write_text("good")
    with pytest.raises(DataError, match="unpacks to more than") as error:
        read(tmp_path)
    assert error.value.where == str(tmp_path / "bomb.xlsx")
    bad: list[Path] = []
    found = list(read_documents(tmp_path, on_bad_file=lambda path, error: bad.append(path)))
    assert ([document.id for document in found], bad) == (["good.txt"], [tmp_path / "bomb.xlsx"])


def test_a_damaged_pdf_is_named(tmp_path):
    (tmp_path / "bad.pdf").write_bytes(b"%PDF-1.4 nothing")
    with pytest.raises(DataError, match="not a readable PDF") as error:
        read(tmp_path)
    assert error.value.where == str(tmp_path / "bad.pdf") and error.value.hint


def test_jsonl_rows_are_documents(tmp_path):
    rows = [
        {"id": "x", "title": "T", "text": " one "},
        {"text": "two"},
        {"id": 7, "title": None, "text": "three"},
    ]
    (tmp_path / "rows.jsonl").write_text("\n\n".join(json.dumps(row) for row in rows))
    documents, _ = read(tmp_path)
    assert [(document.id, document.title, document.text) for document in documents] == [
        ("x", "T", "one"), ("rows.jsonl:3", "", "two"), ("7", "", "three"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "where"),
    [
        ("{", ":2"), ("[1]", ":2"), ('{"body": "x"}', ":2, text"), ('{"text": 3}', ":2, text"),
        ('{"text": null}', ":2, text"), ('{"text": "x", "id": ["a"]}', ":2, id"),
        ('{"text": "\\ud800"}', ":2"),
        ('{"text": "x", "id": true}', ":2, id"), ('{"text": "one too"  , "id": "rows.jsonl:1"}', ":2"),
        ('{"text": "' + "x" * 300 + '"}', ":2"), ("[" * 200, ":2"),
    ],
)  # fmt: skip
def test_a_bad_row_is_named_with_file_and_line(tmp_path, row, where):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "one"}\n' + row + "\n")
    with pytest.raises(DataError) as error:
        read(path, max_bytes=200)
    assert error.value.where == f"{path}{where}"


def test_what_is_not_read_is_counted_or_named(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("secret")
    folder = tmp_path / "documents"
    (folder / ".git").mkdir(parents=True)
    (folder / ".git" / "notes.txt").write_text("hidden")
    (folder / "good.txt").write_text("good")
    (folder / "empty.txt").write_text(" \n")
    for name in ("a.png", "b.PNG", "core"):
        (folder / name).write_bytes(b"\x89")
    (folder / "inside.txt").symlink_to(folder / "good.txt")
    (folder / "leak.txt").symlink_to(outside / "secret.txt")
    (folder / "leaks").symlink_to(outside)
    (folder / "dangling.txt").symlink_to(folder / "nowhere.txt")
    os.mkfifo(folder / "pipe.txt")
    documents, notices = read(folder)
    assert [(document.id, document.text) for document in documents] == [
        ("good.txt", "good"),
        ("inside.txt", "good"),
    ]
    text = "\n".join(notices)
    for said in (
        "leak.txt: a link that leads outside",
        "leaks: a link to a folder",
        "dangling.txt: not a regular file",
        "pipe.txt: not a regular file",
        "empty.txt: empty",
        "2 .png",
        "1 hidden",
        "1 no file type",
    ):
        assert said in text, said


@pytest.mark.parametrize(
    ("encoding", "text"),
    [("cp1252", "café über naïve “quoted”"), ("utf-16", "Grüße"), ("cp1251", "Привет, как дела, это текст")],
)
def test_another_encoding_is_read_and_named(tmp_path, encoding, text):
    (tmp_path / "old.txt").write_bytes(text.encode(encoding))
    (document,), notices = read(tmp_path)
    assert document.text == text
    assert len(notices) == 1 and f"not UTF-8 (byte 0), read as {encoding}" in notices[0].replace("byte 3", "byte 0")


def test_binary_large_and_absent_files_are_refused(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read(tmp_path / "absent")
    with pytest.raises(DataError, match="no documents"):
        read(tmp_path)
    (tmp_path / "picture.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"cannot read files of type \.png"):
        read(tmp_path / "picture.png")
    (tmp_path / "x.txt").write_bytes(b"a\0b")
    with pytest.raises(DataError, match="zero bytes"):
        read(tmp_path)
    (tmp_path / "x.txt").write_bytes(b"a" * 2001)
    with pytest.raises(DataError, match="too large for one document"):
        read(tmp_path, max_bytes=2000)
    assert len(read(tmp_path, max_bytes=2001)[0]) == 1


def test_the_hash_follows_title_text_and_metadata_only():
    first = make_document("a", "t", "x", "p")
    assert first.sha256 == make_document("b", "t", "x", "q", {}).sha256
    others = [
        make_document("a", "tx", "", "p"),
        make_document("a", "t", "y"),
        make_document("a", "t", "x", "p", {"n": 1}),
    ]
    assert len({first.sha256, *(other.sha256 for other in others)}) == 4
    facts = {"b": 1, "a": "x"}
    turned = make_document("", "", "", "", dict(reversed(facts.items())))
    assert turned.sha256 == make_document("", "", "", "", facts).sha256


def test_metadata_says_type_folder_language_and_what_the_file_says(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    front = "title: T\ndraft: false\nyear: 2024\nscore: 0.5\nowner: 'A: B' \ndate: 2024-01-02 # day\nmore:\n  x: 1\n"
    (tmp_path / "a" / "b" / "page.md").write_text(f"---\n{front}---\nBody")
    (tmp_path / "a" / "tool.rs").write_text("fn main() {}")
    rows = [{"text": "one", "year": 2020, "ok": True, "tags": ["x"], "none": None}, {"text": "two", "type": "memo"}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    documents, notices = read(tmp_path)
    assert {document.id: document.metadata for document in documents} == {
        "a/b/page.md": {
            "type": "markdown", "folder": "a/b", "draft": False, "year": 2024, "score": 0.5, "owner": "A: B",
            "date": "2024-01-02",
        },
        "a/tool.rs": {"type": "code", "folder": "a", "language": "rust"},
        "rows.jsonl:1": {"type": "jsonl", "folder": "", "year": 2020, "ok": True},
        "rows.jsonl:2": {"type": "memo", "folder": ""},
    }  # fmt: skip
    assert documents[1].title == "tool.rs"
    assert "more" in notices[0] and "tags (1 rows)" in notices[1]


def test_tables_with_a_text_are_rows_and_others_are_one_document(tmp_path):
    (tmp_path / "rows.csv").write_text('id,text,year\nx,"one, two",2020\n')
    (tmp_path / "prices.csv").write_text("name;price\ntea;3,50\nrum;12\n")
    (tmp_path / "settings.json").write_text('[{"a": 1}]')
    (tmp_path / "texts.json").write_text('[{"text": "of a list"}]')
    documents, notices = read(tmp_path)
    assert [(document.id, document.text, document.metadata["type"]) for document in documents] == [
        ("prices.csv", "name: tea | price: 3,50\nname: rum | price: 12", "csv"),
        ("x", "one, two", "csv"),
        ("texts.json:1", "of a list", "json"),
    ]
    assert documents[1].metadata["year"] == "2020"
    assert len(notices) == 1 and "settings.json: its rows have no field text" in notices[0]


@pytest.mark.parametrize(
    "content",
    [
        b'[{"text": "one"}, {"te', b'\xef\xbb\xbf\n [{"text": "one"},]', b'[{"text": "\xe9"}]',
        '[{"text": "one"}]'.encode("utf-16"), b'[{"text": "one", "text": "two"}]', b"[" * 100_000,
    ],
)  # fmt: skip
def test_a_damaged_list_of_rows_is_named(tmp_path, content):
    (tmp_path / "good.txt").write_text("good")
    (tmp_path / "rows.json").write_bytes(content)
    with pytest.raises(DataError) as error:
        read(tmp_path)
    assert str(error.value.where).startswith(str(tmp_path / "rows.json"))


@pytest.mark.parametrize(
    "content", ['{"name": "package"}', '// settings\n{"a": 1, /* more */ "b": 2}', "[1, 2]", "[]", "", '[["text"]]']
)
def test_settings_are_no_damaged_rows(tmp_path, content):
    (tmp_path / "good.txt").write_text("good")
    (tmp_path / "settings.json").write_text(content)
    (document,), notices = read(tmp_path)
    assert document.id == "good.txt" and "settings.json" in notices[0]


def test_collecting_and_indexing_know_the_same_types(tmp_path):
    for name in ("a.txt", "a.md", "a.html", "a.pdf", "a.docx", "a.pptx", "a.xlsx", "a.epub", "a.csv", "a.tsv", "a.py",
                 "a.jsonl", "a.json", "a.parquet", "README", "a.exe", "a.zip", "a.png"):  # fmt: skip
        path = tmp_path / name
        path.write_bytes(b"")
        try:
            read(path)
            known = True
        except DataError as error:
            known = "cannot read files of type" not in error.what
        assert known == is_readable(path), name


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_any_text_comes_back(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("any") / "any.txt"
    path.write_bytes(text.encode())
    expected = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").strip()
    if expected:
        assert [document.text for document in read(path)[0]] == [expected]
    else:
        with pytest.raises(DataError, match="no documents"):
            read(path)
