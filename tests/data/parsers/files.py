"""Word documents and books, written by hand, good and hostile."""

import io
import zipfile

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
)
STYLES = (
    '<w:style w:styleId="berschrift1"><w:name w:val="heading 1"/></w:style>'
    '<w:style w:styleId="Sub"><w:name w:val="Mine"/><w:pPr><w:outlineLvl w:val="1"/></w:pPr></w:style>'
)


def zipped(members: dict[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def word_part(tag: str, inside: str, before: str = "") -> str:
    return f'<?xml version="1.0"?>{before}<w:{tag} xmlns:w="{WORD}">{inside}</w:{tag}>'


def paragraph(text: str, style: str = "", properties: str = "") -> str:
    named = f'<w:pStyle w:val="{style}"/>' if style else ""
    return f"<w:p><w:pPr>{named}{properties}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"


def docx(body: str, before: str = "", **members: str | bytes) -> bytes:
    """A Word document with this body; other members by name, `/` written as `__`."""
    parts: dict[str, str | bytes] = {
        "[Content_Types].xml": "<Types/>",
        "word/document.xml": word_part("document", f"<w:body>{body}</w:body>", before),
        "word/styles.xml": word_part("styles", STYLES),
    }
    return zipped(parts | {name.replace("__", "/"): content for name, content in members.items()})


def epub(chapters: dict[str, str], package: str | None = None, **members: str | bytes) -> bytes:
    """A book with these chapters (name, XHTML body) in this order."""
    items = "".join(
        f'<item id="c{number}" href="{name}" media-type="application/xhtml+xml"/>'
        for number, name in enumerate(chapters)
    )
    order = "".join(f'<itemref idref="c{number}"/>' for number in range(len(chapters)))
    facts = (
        "<dc:title>The <i>Book</i></dc:title><dc:rights>https://creativecommons.org/publicdomain/zero/1.0/</dc:rights>"
    )
    facts = facts.replace("<i>", "").replace("</i>", "")
    written = package or (
        f'<package xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>{facts}</metadata>'
        f"<manifest>{items}</manifest><spine>{order}</spine></package>"
    )
    parts: dict[str, str | bytes] = {"mimetype": "application/epub+zip", "META-INF/container.xml": CONTAINER}
    parts |= {
        f"OEBPS/{name.replace('%20', ' ')}": f"<html><body>{body}</body></html>" for name, body in chapters.items()
    }
    return zipped(parts | {"OEBPS/book.opf": written} | {n.replace("__", "/"): c for n, c in members.items()})
