"""Markdown: the title is the front matter's, else the first heading of level 1; the front matter is dropped."""

import re

from sartor.data.parsers.decoding import decode_text
from sartor.data.parsers.parsed import Parsed, tidy

FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
TITLE = re.compile(r"""^title:[ \t]*(["']?)(.+?)\1[ \t]*$""", re.MULTILINE)
LICENCE = re.compile(r"""^licen[cs]e:[ \t]*(["']?)(.+?)\1[ \t]*$""", re.MULTILINE)
FIRST_HEADING = re.compile(r"^# +(.+?)[ #]*$", re.MULTILINE)


def parse_markdown(data: bytes) -> Parsed:
    text, notices = decode_text(data)
    text = tidy(text)
    front_matter = FRONT_MATTER.match(text)
    if front_matter:
        text = text[front_matter.end() :]
    stated = front_matter[1] if front_matter else ""
    title, licence, heading = TITLE.search(stated), LICENCE.search(stated), FIRST_HEADING.search(text)
    return Parsed(
        title[2] if title else heading[1] if heading else "", tidy(text), licence[2] if licence else None, notices
    )
