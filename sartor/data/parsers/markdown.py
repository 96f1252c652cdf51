"""Markdown: the title is the front matter's, else the first heading of level 1; what else the front matter says in
single values becomes metadata, and it is no part of the text."""

import re

from sartor.data.parsers.decoding import decode_text
from sartor.data.parsers.parsed import Parsed, Scalar, tidy

FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
FIELD = re.compile(r"([A-Za-z_][\w.-]*)[ \t]*:(?:[ \t]+(.*))?$")
FIRST_HEADING = re.compile(r"^# +(.+?)[ #]*(?:\{ *[#.][^{}\n]*\} *)?$", re.MULTILINE)
INTEGER, DECIMAL = re.compile(r"[-+]?\d{1,15}"), re.compile(r"[-+]?\d{1,15}\.\d{1,15}")
LICENCE_FIELDS = ("licence", "license")


def parse_markdown(data: bytes) -> Parsed:
    text, notices = decode_text(data)
    text = tidy(text)
    front_matter = FRONT_MATTER.match(text)
    if front_matter:
        text = text[front_matter.end() :]
    fields, left_out = _fields(front_matter[1] if front_matter else "")
    if left_out:
        notices = (*notices, f"front matter that is no single value was left out: {', '.join(left_out)}")
    heading = FIRST_HEADING.search(text)
    title = str(fields.pop("title", "")) or (heading[1] if heading else "")
    licence = next((str(fields[name]) for name in LICENCE_FIELDS if fields.get(name)), None)
    return Parsed(title, tidy(text), licence, notices, fields)


def _fields(front_matter: str) -> tuple[dict[str, Scalar], list[str]]:
    """The fields of one line each, and the names of those that hold lists, objects or texts of several lines.

    This is less than YAML on purpose: a YAML document may be made to explode, and a field to filter by is one value.
    """
    fields: dict[str, Scalar] = {}
    left_out: dict[str, None] = {}
    last = ""
    for line in front_matter.splitlines():
        found = FIELD.match(line)
        if found:
            last, written = found[1], (found[2] or "").strip()
            if written[:1] in ("[", "{", "|", ">", "&", "*", "!"):
                left_out[last] = None
            elif written and not written.startswith("#"):
                fields[last] = _value(written)
        elif last and line.strip() and not line.lstrip().startswith("#"):
            fields.pop(last, None)  # it goes on in lines below: no single value
            left_out[last] = None
    return fields, list(left_out)


def _value(written: str) -> Scalar:
    quote = written[0]
    if quote in "\"'":
        end = written.rfind(quote)
        return written[1:end] if end > 0 else written
    written = written.partition(" #")[0].strip()
    if written.lower() in ("true", "false"):
        return written.lower() == "true"
    if INTEGER.fullmatch(written):
        return int(written)
    return float(written) if DECIMAL.fullmatch(written) else written
