"""Bytes to text: UTF-8 where it is UTF-8, else what the file or its sender says, else the most likely encoding."""

import codecs

from sartor.data.parsers.parsed import Unreadable

WIDE_MARKS = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
UTF8_MARK = b"\xef\xbb\xbf"
UNREADABLE = chr(0xFFFD)


def decode_text(data: bytes) -> tuple[str, tuple[str, ...]]:
    """UTF-8, else UTF-16 by its mark, else the most likely encoding, with a notice. Unreadable for what is no text."""
    if b"\0" in data and data[:2] not in WIDE_MARKS:
        raise Unreadable("not a text file (it holds zero bytes)", "name it by its true type")
    try:
        return data.decode("utf-8-sig"), ()
    except UnicodeDecodeError as error:
        encoding = "utf-16" if data[:2] in WIDE_MARKS else likely_encoding(data)
        text = data.decode(encoding, errors="replace")
        lost = f"; {text.count(UNREADABLE)} characters could not be read" if UNREADABLE in text else ""
        return text, (f"not UTF-8 (byte {error.start}), read as {encoding}{lost}",)


def decode_page(data: bytes, declared: str | None = None) -> tuple[str, str]:
    """A web page's source and the encoding it was read with, in the order of the HTML standard: a byte order mark, what
    the sender `declared`, the page's own meta element, else the most likely. Bytes that do not fit become U+FFFD."""
    for mark, encoding in ((UTF8_MARK, "utf-8"), *WIDE_MARKS.items()):
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, errors="replace"), encoding
    encoding = _known(declared) or _of_content(data)
    return data.decode(encoding, errors="replace"), encoding


def likely_encoding(data: bytes) -> str:
    """By the statistics of the bytes; Windows-1252 when they tell nothing."""
    from resiliparse.parse.encoding import detect_encoding

    return str(detect_encoding(data) or "cp1252")


def _known(declared: str | None) -> str | None:
    """Python's name of a declared encoding, with the web's usual corrections (latin-1 means Windows-1252)."""
    from resiliparse.parse.encoding import map_encoding_to_html5

    name = map_encoding_to_html5(declared.strip(" \"'"), fallback_utf8=False) if declared else None
    try:
        return codecs.lookup(name).name if name else None
    except LookupError:
        return None


def _of_content(data: bytes) -> str:
    from resiliparse.parse.encoding import detect_encoding

    try:
        data.decode("utf-8")
        valid = True
    except UnicodeDecodeError:
        valid = False
    stated = detect_encoding(data, from_html_meta=True)
    if valid and not (stated or "").lower().startswith("iso-2022"):
        return "utf-8"
    return _known(stated) or "cp1252"
