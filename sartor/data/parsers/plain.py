"""Plain text and source code: taken as it is, apart from line ends."""

import re

from sartor.data.parsers.decoding import decode_text
from sartor.data.parsers.parsed import Parsed, tidy

SPDX_TAG = re.compile(r"SPDX-License-Identifier:[ \t]*([^\s*/]+(?:[ \t]+(?:AND|OR|WITH)[ \t]+[^\s*/]+)*)")
TAG_WITHIN_CHARACTERS = 4_000  # the tag stands in the first lines (https://spdx.dev/learn/handling-license-info/)


def parse_plain(data: bytes) -> Parsed:
    text, notices = decode_text(data)
    tag = SPDX_TAG.search(text[:TAG_WITHIN_CHARACTERS])
    return Parsed("", tidy(text), tag[1] if tag else None, notices)
