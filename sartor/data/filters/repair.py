"""Texts as they were meant: wrongly decoded characters, line ends, control characters, Unicode's composed form."""

import re
import unicodedata
from collections import Counter

import ftfy
import pyarrow as pa
import pyarrow.compute as pc
from ftfy.badness import BADNESS_RE

from sartor.data.filters.edits import replace_rows, replace_texts
from sartor.data.filters.step import Outcome

MAY_NEED_REPAIR = r"[^\n\t -~]"  # RE2: anything but printable ASCII, tabs and newlines
LINE_ENDS = re.compile(r"\r\n?|[\f\v\x85\u2028\u2029]")
# C0 and C1 controls, the byte order mark inside a text, and code points that are no characters.
CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff\ufdd0-\ufdef\ufffe\uffff]")
MAX_ROUNDS = 4
BADNESS_WIDTH = 7  # characters that a match of ftfy's pattern has at most, one of them outside ASCII at least
NOT_ASCII = re.compile(rf"[^\x00-\x7f]+(?:[\x00-\x7f]{{1,{2 * BADNESS_WIDTH}}}[^\x00-\x7f]+)*")

ENCODING, LINES, CONTROL, COMPOSED = (
    "texts with wrongly decoded characters repaired",
    "texts with line ends unified",
    "texts with control characters removed",
    "texts brought to Unicode's composed form",
)


class Repair:
    """Step: repairs text and title of every document. It drops nothing; each kind of repair is counted.

    UTF-8 that was decoded as another encoding (`schÃ¶n`) is decoded again, line by line, where ftfy is sure of it;
    every line end becomes a newline; control characters go; the rest is brought to NFC. Other characters stay as they
    are: no quotes are straightened, no ligatures taken apart.
    """

    name = "repair"

    def __call__(self, documents: pa.Table) -> Outcome:
        counts: Counter[str] = Counter()
        texts = _repaired_rows(documents["text"], counts)
        titles = _repaired_rows(documents["title"], Counter())
        return Outcome(replace_rows(replace_texts(documents, texts), "title", titles), counts=dict(counts))


def repair_text(text: str) -> tuple[str, set[str]]:
    """The repaired text, and which repairs it needed. Repairing it again changes nothing."""
    done: set[str] = set()
    for _ in range(MAX_ROUNDS):  # one repair may bring to light what another one mends
        before = text
        for name, repair in REPAIRS.items():
            repaired = repair(text)
            if repaired != text:
                done.add(name)
                text = repaired
        if text == before:
            break
    return text, done


def _repaired_rows(column: pa.ChunkedArray, counts: Counter[str]) -> dict[int, str]:
    edited = {}
    suspects = pc.fill_null(pc.match_substring_regex(column, MAY_NEED_REPAIR), False)
    for row in pc.indices_nonzero(suspects).to_pylist():
        text, done = repair_text(column[row].as_py())
        if done:
            edited[row] = text
            counts.update(done)
    return edited


def _repair_encoding(text: str) -> str:
    if text.isascii() or not looks_wrongly_decoded(text):
        return text
    return "\n".join(line if line.isascii() else _decode_again(line) for line in text.split("\n"))


def looks_wrongly_decoded(text: str) -> bool:
    """ftfy's `is_bad`, looked for only where a match can be: around characters that are not ASCII."""
    return any(
        BADNESS_RE.search(text, max(0, found.start() - BADNESS_WIDTH), found.end() + BADNESS_WIDTH)
        for found in NOT_ASCII.finditer(text)
    )


def _decode_again(line: str) -> str:
    """ftfy's repair, unless it makes line ends or ASCII controls out of a line."""
    repaired = ftfy.fix_encoding(line)
    return line if "\n" in repaired else repaired


def _compose(text: str) -> str:
    return text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)


REPAIRS = {
    ENCODING: _repair_encoding,
    LINES: lambda text: LINE_ENDS.sub("\n", text),
    CONTROL: lambda text: CONTROLS.sub("", text),
    COMPOSED: _compose,
}
