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


def xlsx(rows: str, strings: str = "<sst/>", before: str = "", **members: str | bytes) -> bytes:
    """A workbook with one sheet of these rows; other members by name, `/` written as `__`."""
    relation = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    sheet = f'<workbook xmlns:r="{relation}"><sheets><sheet r:id="r1" name="One" sheetId="1"/></sheets></workbook>'
    leads = f'<Relationships><Relationship Id="r1" Type="{relation}/worksheet" Target="sheet1.xml"/></Relationships>'
    parts: dict[str, str | bytes] = {
        "xl/workbook.xml": sheet,
        "xl/_rels/workbook.xml.rels": leads,
        "xl/sharedStrings.xml": strings,
        "xl/sheet1.xml": f"{before}<worksheet><sheetData>{rows}</sheetData></worksheet>",
    }
    return zipped(parts | {name.replace("__", "/"): content for name, content in members.items()})


def pptx(slide: str, times: int = 1, before: str = "", **members: str | bytes) -> bytes:
    """A presentation whose order names one slide so many times; other members by name, `/` written as `__`."""
    relation = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    order = "".join(f'<sldId id="{256 + number}" r:id="r1"/>' for number in range(times))
    leads = f'<Relationships><Relationship Id="r1" Type="{relation}/slide" Target="slide1.xml"/></Relationships>'
    parts: dict[str, str | bytes] = {
        "ppt/presentation.xml": f'<presentation xmlns:r="{relation}"><sldIdLst>{order}</sldIdLst></presentation>',
        "ppt/_rels/presentation.xml.rels": leads,
        "ppt/slide1.xml": f"{before}<sld><sp><p><r><t>{slide}</t></r></p></sp></sld>",
    }
    return zipped(parts | {name.replace("__", "/"): content for name, content in members.items()})
