"""The licence of a document as its source states it: an SPDX identifier (spdx.org/licenses) where it is one."""

import re

LONGEST = 200  # characters of a statement that is no identifier
CREATIVE_COMMONS = re.compile(
    r"creativecommons\.org/(?:licenses/(by(?:-nc)?(?:-nd|-sa)?)/(\d\.\d)(?:/([a-z]{2})(?=[/\s]|$))?|publicdomain/(zero|mark)/1\.0)",
    re.IGNORECASE,
)
ADDRESSES = {
    "opensource.org/licenses/mit": "MIT",
    "opensource.org/license/mit": "MIT",
    "apache.org/licenses/license-2.0": "Apache-2.0",
    "opensource.org/licenses/bsd-3-clause": "BSD-3-Clause",
    "opensource.org/licenses/bsd-2-clause": "BSD-2-Clause",
    "mozilla.org/mpl/2.0": "MPL-2.0",
    "unlicense.org": "Unlicense",
    "opendatacommons.org/licenses/odbl/1": "ODbL-1.0",
    "opendatacommons.org/licenses/by/1": "ODC-By-1.0",
    "opendatacommons.org/licenses/pddl/1": "PDDL-1.0",
}
HUB_NAMES = {
    "mit": "MIT", "apache-2.0": "Apache-2.0", "bsd-2-clause": "BSD-2-Clause", "bsd-3-clause": "BSD-3-Clause",
    "cc0-1.0": "CC0-1.0", "pddl": "PDDL-1.0", "odbl": "ODbL-1.0", "odc-by": "ODC-By-1.0", "unlicense": "Unlicense",
    "mpl-2.0": "MPL-2.0", "gpl-2.0": "GPL-2.0-only", "gpl-3.0": "GPL-3.0-only", "agpl-3.0": "AGPL-3.0-only",
    "lgpl-3.0": "LGPL-3.0-only", "artistic-2.0": "Artistic-2.0", "isc": "ISC", "zlib": "Zlib", "wtfpl": "WTFPL",
}  # fmt: skip


def licence_of(stated: str | None) -> str | None:
    """SPDX identifier for the address or name of a well-known licence, else the statement itself on one line."""
    text = " ".join((stated or "").split())
    if not text:
        return None
    return _creative_commons(text) or _by_address(text) or _by_name(text) or text[:LONGEST]


def _creative_commons(text: str) -> str | None:
    found = CREATIVE_COMMONS.search(text)
    if not found:
        return None
    kind, version, country, public = found.groups()
    if public:
        return "CC0-1.0" if public.lower() == "zero" else "CC-PDM-1.0"
    if country:
        return None  # a ported licence is another licence
    return f"CC-{kind.upper()}-{version}"


def _by_address(text: str) -> str | None:
    place = text.lower().rstrip("/").removeprefix("https://").removeprefix("http://").removeprefix("www.")
    return next((name for address, name in ADDRESSES.items() if place.startswith(address)), None)


def _by_name(text: str) -> str | None:
    name = text.lower()
    if name in HUB_NAMES:
        return HUB_NAMES[name]
    plain = re.fullmatch(r"cc[- ](by(?:-nc)?(?:-nd|-sa)?)[- ](\d\.\d)", name)
    return f"CC-{plain[1].upper()}-{plain[2]}" if plain else None
