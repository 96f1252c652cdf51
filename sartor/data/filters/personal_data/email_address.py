"""E-mail addresses: a local part, `@`, and a domain that ends in letters. Names with accents are found too."""

import re
from collections.abc import Iterator

from sartor.data.filters.personal_data.detector import Detector, Span

LOCAL_PART = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}\Z")
EDGES = ".!#$%&'*/=?^`{|}~-"  # punctuation that belongs to the sentence, not to the address
DOMAIN = re.compile(r"(?:[^\W_](?:[\w-]{0,62}[^\W_])?\.){1,8}(?:[^\W\d_]{2,24}|xn--[a-z0-9-]{2,59})(?![\w-])")
# Kept for examples by RFC 2606: they are nobody's, and what is put in an address's place is one of them.
RESERVED = re.compile(r"(?:^|\.)(?:example(?:\.(?:com|org|net))?|invalid|test|localhost)\Z", re.IGNORECASE)


def find_email_addresses(text: str) -> Iterator[Span]:
    end = 0
    at = text.find("@")
    while at != -1:
        local = LOCAL_PART.search(text, max(end, at - 64), at)
        domain = DOMAIN.match(text, at + 1)
        if local and domain and not RESERVED.search(domain[0]):
            start = local.start() + len(local[0]) - len(local[0].lstrip(EDGES))
            if start < at and text[at - 1] != ".":
                end = domain.end()
                yield start, end
        at = text.find("@", at + 1)


EMAIL_ADDRESS = Detector("email_address", r"[^\s@]@[^\s@]+\.", find_email_addresses)
