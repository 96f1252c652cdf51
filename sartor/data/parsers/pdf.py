"""PDF: the text layer, page after page; a page without one is named (no text recognition is done)."""

from sartor.data.parsers.parsed import Parsed, Unreadable, tidy

BROKEN_WORD = "\x02"  # PDFium writes it for a hyphen at the end of a line
HINT = "open it in a viewer; remove its password or save it again"


def parse_pdf(data: bytes) -> Parsed:
    """Unreadable for a damaged or locked file. PDFium bounds neither time nor memory: see `isolated.py`."""
    import pypdfium2

    try:
        with pypdfium2.PdfDocument(data) as pdf:
            pages = [page.get_textpage().get_text_bounded() for page in pdf]
            title = pdf.get_metadata_dict().get("Title", "").strip()
    except pypdfium2.PdfiumError as error:
        raise Unreadable(f"not a readable PDF: {error}", HINT) from error
    without_text = [str(number) for number, page in enumerate(pages, start=1) if not page.strip()]
    notices = (f"no text on page {', '.join(without_text)} of {len(pages)} (a scan?)",) if without_text else ()
    text = "\n\n".join(tidy(page.replace(BROKEN_WORD, "").replace("\0", "")) for page in pages)
    return Parsed(_encodable(title), _encodable(text), notices=notices)


def _encodable(text: str) -> str:
    """Without lone surrogates, which no UTF-8 file can hold."""
    return text.encode("utf-8", "replace").decode()
