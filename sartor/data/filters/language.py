"""In which language a document is written, and the rule that keeps the wanted ones.

The identifier is CLD2 (Compact Language Detector 2, Apache-2.0), whose tables come inside the wheel `pycld2`, so that
nothing is downloaded. It was chosen by measurement: `benchmarks/language_identification.py`. FineWeb identifies with
fastText's lid.176 and keeps what scores at least 0.65. Here the score is another quantity, the share of the text that
is in its main language, and the same threshold keeps more of the right documents.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pycld2

from sartor.base.configuration import nearest
from sartor.base.errors import UsageError
from sartor.data.documents import SCHEMA, TEXT
from sartor.data.filters.step import Outcome

MIN_SCORE = 0.65
EXCERPTS, EXCERPT_CHARACTERS = 3, 2_000  # of a long document: its beginning, middle and end

# CLD2's names that are old, are not of ISO 639, or name a script.
CODES = {"iw": "he", "jw": "jv", "bh": "bho", "zh-Hant": "zh", "xx-Bugi": "bug", "xx-Goth": "got"}
NO_LANGUAGE = {"un", "zzp"}  # unknown, Pig Latin
REFUSED = re.compile("[^\\t\\n\\f\\r -~\u00a0-\ufdcf\ufdf0-\ufffd\U00010000-\U0001fffd\U00020000-\U0002fffd]")

_NAMES: dict[str, str] = dict(pycld2.LANGUAGES)
LANGUAGES: frozenset[str] = (
    frozenset(CODES.get(_NAMES[name], _NAMES[name]) for name in pycld2.DETECTED_LANGUAGES) - NO_LANGUAGE
)
"""What can be answered: ISO 639-1 codes, ISO 639-3 where there is none. Norwegian is no (Bokmål) or nn (Nynorsk)."""


def identify(texts: Iterable[str]) -> list[tuple[str | None, float]]:
    """For each text its main language and the share of it (0..1) that is in this language.

    None and 0 where no language can be told. Of a text longer than EXCERPTS x EXCERPT_CHARACTERS only that much is
    read, from its beginning, middle and end.
    """
    return [_identify(text) for text in texts]


@dataclass(frozen=True)
class Language:
    """Step: writes each document's `language` and, where `keep` names languages, drops the others.

    A document whose language scores below `min_score` has none (null). Reasons: `language_uncertain` for those,
    `language_not_wanted` for documents in other languages. With `keep` None nothing is dropped. UsageError for a
    language that the identifier does not know.
    """

    keep: tuple[str, ...] | None = None
    min_score: float = MIN_SCORE

    def __post_init__(self) -> None:
        for code in self.keep or ():
            if code not in LANGUAGES:
                near = nearest(code, LANGUAGES)
                hint = f"did you mean {near}? " if near else ""
                raise UsageError(
                    f"the language {code!r} cannot be identified",
                    hint=f"{hint}use an ISO 639-1 code such as en, de, zh",
                )

    @property
    def name(self) -> str:
        return "language"

    def __call__(self, documents: pa.Table) -> Outcome:
        found = identify(text.as_py() for text in documents["text"])
        languages = [language if score >= self.min_score else None for language, score in found]
        column = SCHEMA.get_field_index("language")
        labelled = documents.set_column(column, SCHEMA.field("language"), pa.array(languages, TEXT))
        counts = Counter(f"language {language or 'uncertain'}" for language in languages)
        reasons = None if self.keep is None else pa.array([self._reason(language) for language in languages], TEXT)
        return Outcome(labelled, reasons, dict(counts))

    def _reason(self, language: str | None) -> str | None:
        if language is None:
            return "language_uncertain"
        return None if self.keep is None or language in self.keep else "language_not_wanted"


def _identify(text: str) -> tuple[str | None, float]:
    """CLD2's answer. Its `bestEffort` is not asked for: it names known languages for texts in unknown ones."""
    excerpts = _excerpts(text)
    try:
        _, _, languages = pycld2.detect(excerpts, isPlainText=True)
    except pycld2.error:  # it refuses control characters and what is no character
        _, _, languages = pycld2.detect(REFUSED.sub(" ", excerpts), isPlainText=True)
    _, code, percent, _ = languages[0]
    language = CODES.get(code, code)
    return (language, percent / 100) if language in LANGUAGES else (None, 0.0)


def _excerpts(text: str) -> str:
    if len(text) <= EXCERPTS * EXCERPT_CHARACTERS:
        return text
    step = (len(text) - EXCERPT_CHARACTERS) // (EXCERPTS - 1)
    return " ".join(text[place : place + EXCERPT_CHARACTERS] for place in range(0, EXCERPTS * step, step))
