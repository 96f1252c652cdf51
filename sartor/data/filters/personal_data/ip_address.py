"""Internet addresses, versions 4 and 6: those that are in use on the Internet, not private or documentation ones.

Four numbers with dots may also be a version or a section. A version's word before it (`v1.2.3.4`, `version 1.2.3.4`,
`release`, `section`), a comparison (`>= 1.2.3.4`), a further dot with digits, or numbers above 255 or with leading
zeros tell it apart. An abbreviated address of version 6 (`::`) needs three groups of digits: `be::` ends a sentence.
"""

import ipaddress
import re
from collections.abc import Iterator

from sartor.data.filters.personal_data.detector import Detector, Span, has_cue

VERSION_4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d|-\d)", re.ASCII)
VERSION_6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])", re.ASCII)
NOT_AN_ADDRESS = re.compile(
    r"(?:versions?|ver\.?|v\.?|releases?|rev\.?|build|section[ -]?|sect\.?|§|chapter|clause|paragraph|firmware|driver)"
    r"[ :#]{0,2}\Z|[=~<>!]=[ ]?\Z|[<>][ ]?\Z",
    re.IGNORECASE,
)


def find_ip_addresses(text: str) -> Iterator[Span]:
    for match in VERSION_4.finditer(text):
        if is_public(match[0]) and not has_cue(NOT_AN_ADDRESS, text, match.span(), before=12):
            yield match.span()
    if "::" in text or text.count(":") >= 7:
        for match in VERSION_6.finditer(text):
            if ("::" not in match[0] or len(match[0].replace("::", ":").strip(":").split(":")) >= 3) and is_public(
                match[0]
            ):
                yield match.span()


def is_public(text: str) -> bool:
    """Whether this is an address that some machine on the Internet may have."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return address.is_global and not address.is_multicast


IP_ADDRESS = Detector(
    "ip_address", r"\d\.\d{1,3}\.\d{1,3}\.\d|[0-9A-Fa-f:]:[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]", find_ip_addresses
)
