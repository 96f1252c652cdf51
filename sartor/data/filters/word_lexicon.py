"""English words that the rules for words would cut wrongly, and units: what `words.py` looks up.

The contractions and abbreviations are the usual ones of English tokenizers; they follow spaCy's English rules, so that
a threshold counted in words means what it means in published pipelines.
"""

from functools import lru_cache
from itertools import product

import numpy as np
import numpy.typing as npt

LONGEST_ENTRY = 12  # characters
MULTIPLIER = 0x9E3779B97F4A7C15  # of the rolling hash of a word's code points; odd, so that it can be undone
WHOLE, UNIT = 1 << 16, 1 << 17  # the lower 16 bits are two lengths: of the first and the second part, 0 where it ends
TABLE_BITS = 13

_NO_CONTRACTION = "Ill ill Its its Hell hell Shell shell Shed shed were Were Well well Whore whore"
_PRONOUNS = "i you he she it we they"
_ASKING = "who what when where why how there that this"
_WITH_HAVE = "i you we they could might must should would not"
_VERBS = "ca could do does did had may might must need ought sha should wo would"
_OTHER_VERBS = "ai are is was were have has dare"
_WHOLE_WORDS = (
    "' '' C++ doin Doin doin' Doin' goin Goin goin' Goin' nothin Nothin nothin' Nothin' nuthin nuthin' Nuthin "
    "Nuthin' ol Ol ol' Ol' somethin Somethin somethin' Somethin' em 'em ll 'll nuff 'nuff 'S 's ‘S ‘s and/or w/o "
    "'re 'Cause 'cause 'cos 'Cos 'coz 'Coz 'cuz 'Cuz 'bout 'd ma'am Ma'am o'clock O'clock lovin' Lovin' havin' "
    "Havin' Mt. Ak. Ala. Apr. Ariz. Ark. Aug. Calif. Colo. Conn. Dec. Del. Feb. Fla. Ga. Ia. Id. Ill. Ind. Jan. "
    "Jul. Jun. Kan. Kans. Ky. La. Mar. Mass. Mich. Minn. Miss. N.C. N.D. N.H. N.J. N.M. N.Y. Neb. Nebr. Nev. Nov. "
    "Oct. Okla. Ore. Pa. S.C. Sep. Sept. Tenn. Va. Wash. Wis. a.m. p.m. Adm. Bros. co. Co. Corp. D.C. Dr. e.g. "
    "E.g. E.G. Gen. Gov. i.e. I.e. I.E. Inc. Jr. Ltd. Md. Messrs. Mo. Mont. Mr. Mrs. Ms. Ph.D. Prof. Rep. Rev. "
    "Sen. St. vs. v.s. ä. ö. ü."
)
_MOUTHS = ") )) ))) ( (( ((( ] } / | P p O o 0 * 3 > X x D"
_OTHER_FACES = (
    "=) (= [= =( =/ =| ]= =3 =D :1 :o) (o: :() >:( >:o xD XD xDD XDD 8D ^_^ ^__^ ^___^ >.< >.> <.< ._. ;_; -_- "
    "-__- v.v V.V v_v V_V o_o o_O O_o O_O 0_o o_0 0_0 o.O O.o O.O o.o 0.0 o.0 0.o @_@ <3 <33 <333 </3 (^_^) (-_-) "
    "(._.) (>_<) (*_*)"
)
_UNITS = (
    "km km² km³ m m² m³ dm dm² dm³ cm cm² cm³ mm mm² mm³ ha µm nm yd in ft kg g mg µg t lb oz m/s km/h kmh mph "
    "hPa Pa mbar mb MB kb KB gb GB tb TB T G M K % км км² км³ м м² м³ дм дм² дм³ см см² см³ мм мм² мм³ нм кг г мг "
    "м/с км/ч кПа Па"
)


@lru_cache(maxsize=1)
def lexicon() -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int32]]:
    """An open hash table: keys [2 ** TABLE_BITS], 0 where empty, and the entries beside them."""
    keys, values = np.zeros(1 << TABLE_BITS, np.uint64), np.zeros(1 << TABLE_BITS, np.int32)
    entries = [(word_hash(unit) ^ UNIT, UNIT) for unit in _UNITS.split()]
    entries += [(word_hash("".join(parts)), _packed(parts)) for parts in _special_words()]
    for key, value in entries:
        place = first_place(key)
        while keys[place] not in (0, key):
            place = (place + 1) % len(keys)
        keys[place], values[place] = key, value
    return keys, values


def word_hash(word: str) -> int:
    """The hash of a word, as `words.py` computes it: a polynomial of its code points, modulo 2 ** 64."""
    value = 0
    for character in word:
        value = (value * MULTIPLIER + ord(character) + 1) % 2**64
    return value


def first_place(key: int) -> int:
    return (key ^ key >> 32) * MULTIPLIER % 2**64 >> (64 - TABLE_BITS)


def _packed(parts: tuple[str, ...]) -> int:
    first, second = (len(parts[0]), len(parts[1])) if len(parts) > 2 else (len(parts[0]) * (len(parts) > 1), 0)
    return WHOLE | first | second << 8


def _special_words() -> list[tuple[str, ...]]:
    """Each word as the parts that it is cut into; at most three."""
    words: list[tuple[str, ...]] = []
    words += [(word,) for word in _WHOLE_WORDS.split()]
    words += [(f"{letter}.",) for letter in "abcdefghijklmnopqrstuvwxyz"]
    words += [(face,) for face in _faces()]
    words += [(f"{hour}", half) for hour in range(1, 13) for half in ("a.m.", "am", "p.m.", "pm")]
    for first, rest in _contractions():
        words += [(start, *rest) for start in (first, first.capitalize())]
    words += [("y'", "all"), ("y", "all")]
    words += [tuple(part.replace("'", "’") for part in parts) for parts in words]
    return [parts for parts in words if "".join(parts) not in _NO_CONTRACTION.split()]


def _faces() -> list[str]:
    """Faces made of punctuation, which are one word: :-) and its like."""
    faces = [eyes + nose + mouth for eyes, nose, mouth in product(":", ("", "-"), _MOUTHS.split())]
    faces += [
        eyes + nose + mouth for eyes, nose, mouth in product((";", "8", ":'"), ("", "-"), ")D(") if eyes + mouth != "8("
    ]
    faces += [mouth + nose + eyes for mouth, nose, eyes in product("([", ("", "-"), ":")] + [
        "(-;",
        "(;",
        "(-8",
        "):",
        ")-:",
    ]
    return faces + _OTHER_FACES.split()


def _contractions() -> list[tuple[str, tuple[str, ...]]]:
    """(word in small letters, what follows it): with the apostrophe and, as people type, without."""
    pronouns, asking, demonstratives = _PRONOUNS.split(), _ASKING.split(), ["these", "those"]
    found: list[tuple[str, tuple[str, ...]]] = []
    for mark in ("'", ""):
        found += [("i", (f"{mark}m",)), ("i", (f"{mark}m", "a"))]
        for word in pronouns + asking + demonstratives:
            for helper in ("ll", "d"):
                found += [(word, (mark + helper,)), (word, (mark + helper, f"{mark}ve"))]
        found += [(word, (f"{mark}ve",)) for word in _WITH_HAVE.split()]
        found += [(word, (f"{mark}re",)) for word in ["you", "we", "they"]]
        found += [(word, (f"{mark}s",)) for word in ["he", "she", "it", *asking]]
        questions = [word for word in asking if word not in ("that", "this")] + demonstratives
        found += [(word, (mark + helper,)) for word in questions for helper in ("re", "ve")]
        negated = f"n{mark}t"
        verbs = _VERBS.split()
        found += [(verb, (negated,)) for verb in verbs + _OTHER_VERBS.split()]
        found += [(verb, (negated, f"{mark}ve")) for verb in verbs]
    found += [("can", ("not",)), ("gon", ("na",)), ("got", ("ta",)), ("let", ("'s",)), ("c'm", ("on",))]
    return found + [("how", ("'d", "'y"))]
