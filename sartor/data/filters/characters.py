"""What kind of character a code point is: a table of bits, looked up once per character by the compiled loops.

Letters, spaces and punctuation are those of Python's `str` and `unicodedata`; the marks that end a sentence are
Unicode's property Sentence_Terminal; the rest are the sets that word boundaries are defined by (`words.py`).
"""

import unicodedata
from functools import lru_cache

import numpy as np
import numpy.typing as npt

SPACE = 1 << 0  # str.isspace
LETTER = 1 << 1  # str.isalpha
LOWER = 1 << 2  # a letter that is not a capital; letters without case are both LOWER and UPPER
UPPER = 1 << 3
DIGIT = 1 << 4  # 0 to 9
PUNCTUATION = 1 << 5  # any Unicode category P
SENTENCE_END = 1 << 6  # Sentence_Terminal
LINE_END = 1 << 7  # what str.splitlines splits at
SYMBOL = 1 << 8  # a word of nothing but these does not count as a word of language
AFFIX = 1 << 9  # a word of its own at the beginning and at the end of what stands between spaces
PREFIX = 1 << 10  # the same, at the beginning only
QUOTE = 1 << 11
CURRENCY = 1 << 12
PICTURE = 1 << 13  # category So: dingbats, emoji, box drawing
BEFORE_STOP = 1 << 14  # a full stop at the end is a word of its own after these

_TABLE_SIZE = 0x110000
_LAST_LETTER = 0x40000  # no letter, space or mark is assigned above it
_SENTENCE_ENDS = (
    "21 2e 3f 589 61d-61f 6d4 700-702 7f9 837 839 83d-83e 964-965 104a-104b 1362 1367-1368 166e 1735-1736 17d4-17d6 "
    "17d9-17da 1803 1809 1944-1945 1aa8-1aab 1b5a-1b5b 1b5e-1b5f 1b7d-1b7e 1c3b-1c3c 1c7e-1c7f 203c-203d 2047-2049 "
    "2e2e 2e3c 2e53-2e54 3002 a4ff a60e-a60f a6f3 a6f7 a876-a877 a8ce-a8cf a92f a9c8-a9c9 aa5d-aa5f aaf0-aaf1 abeb "
    "fe52 fe56-fe57 ff01 ff0e ff1f ff61 10a56-10a57 10f55-10f59 10f86-10f89 11047-11048 110be-110c1 11141-11143 "
    "111c5-111c6 111cd 111de-111df 11238-11239 1123b-1123c 112a9 1144b-1144c 115c2-115c3 115c9-115d7 11641-11642 "
    "1173c-1173e 11944 11946 11a42-11a43 11a9b-11a9c 11c41-11c42 11ef7-11ef8 11f43-11f44 16a6e-16a6f 16af5 "
    "16b37-16b38 16b44 16e98 1bc9f 1da88"
)
_SYMBOLS = (
    "0-8 b-1f 21-2f 3a-40 5b-60 7b-9f ab b4 bb 2013-2014 2019 201c-201e 2026 2236 2501 25ba 3001-3002 3008-300d "
    "3010-3011 ff01 ff05 ff08-ff09 ff0c ff0e ff11 ff1a-ff1b ff1f ff5e"
)
_LINE_ENDS = "a-d 1c-1e 85 2028-2029"
_QUOTES = "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉〈〉⟦⟧"
_MARKS = "…,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪"
_CURRENCIES = "$£€¥฿₽﷼₴₠₡₢₣₤₥₦₧₨₩₪₫₭₮₯₰₱₲₳₵₶₷₸₹₺₻₼₾₿"


@lru_cache(maxsize=1)
def character_classes() -> npt.NDArray[np.uint32]:
    """The bits of every code point [0x110000]."""
    table = np.zeros(_TABLE_SIZE, np.uint32)
    table[:_LAST_LETTER] = [_bits(chr(point)) for point in range(_LAST_LETTER)]
    for ranges, bit in ((_SENTENCE_ENDS, SENTENCE_END | SYMBOL), (_SYMBOLS, SYMBOL), (_LINE_ENDS, LINE_END)):
        for first, last in _ranges(ranges):
            table[first : last + 1] |= bit
    for characters, bits in (
        (_QUOTES, QUOTE | AFFIX | BEFORE_STOP),
        (_MARKS, AFFIX | BEFORE_STOP),
        ("—–", AFFIX),
        ("§%=", PREFIX),
        (_CURRENCIES, PREFIX | CURRENCY),
        ("%²-+|", BEFORE_STOP),
        ("0123456789", DIGIT | BEFORE_STOP),
    ):
        table[[ord(character) for character in characters]] |= bits
    table.setflags(write=False)
    return table


def _bits(character: str) -> int:
    if character.isalpha():
        lower, upper = not character.isupper() and not character.istitle(), not character.islower()
        return LETTER | (LOWER | BEFORE_STOP) * lower | UPPER * upper
    category = unicodedata.category(character)
    return SPACE * character.isspace() | PUNCTUATION * category.startswith("P") | (PICTURE | AFFIX) * (category == "So")


def _ranges(text: str) -> list[tuple[int, int]]:
    """`a-c 10` -> [(10, 12), (16, 16)]: code points in hexadecimal, both ends included."""
    pairs = [part.partition("-") for part in text.split()]
    return [(int(first, 16), int(last or first, 16)) for first, _, last in pairs]
