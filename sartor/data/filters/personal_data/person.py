"""Names of people where the text says that a name follows: a title, `my name is`, a form's `Name:`.

Nothing is known of names themselves, so that a name without such a word is not found.
"""

import re
from collections.abc import Iterator

from sartor.data.filters.personal_data.detector import Detector, Span

WORD = r"[^\W\d_a-zà-öø-ÿ][^\W\d_]*(?:['’-][^\W\d_]+)*\.?"
FULL_NAME = rf"{WORD}(?:[ ](?:(?:van|von|de|da|di|del|der|la|le|bin|al|el|ten|zu)[ ]){{0,2}}{WORD}){{0,3}}"
CUE = (
    r"(?:\b(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Sir|Madam|Herr|Frau|Monsieur|Madame|Mme|Señora?|Signora?)\b\.?[ ]"
    r"|\b(?i:my name is|i am called|call me|his name is|her name is"
    r"|(?:first|last|full|given|sur|contact|customer) ?name ?[:=]"
    r"|^name ?[:=]|(?:kind|best|warm) regards,|sincerely,|yours truly,|cheers,)[ \t]*\n?[ \t]*)"
)
PATTERN = re.compile(rf"(?m){CUE}({FULL_NAME})")


def find_persons(text: str) -> Iterator[Span]:
    for match in PATTERN.finditer(text):
        start, end = match.span(1)
        yield start, end - (match[1].endswith(".") and len(match[1].split()[-1]) > 2)


PERSON = Detector(
    "person",
    r"(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Sir|Madam|Herr|Frau|Monsieur|Madame|Mme|Señora?|Signora?)\b"
    r"|(?i:name|call me|called|regards|sincerely|truly|cheers)",
    find_persons,
    checkable=False,
)
