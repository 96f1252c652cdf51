"""Where to cut what stands between two spaces into words (`words.py` says by which rules). Compiled.

All functions take the code points and the classes of the piece [characters]; `low` and `high` bound what is still
to be cut.
"""

import numpy as np

from sartor.data.filters.characters import (
    AFFIX,
    BEFORE_STOP,
    CURRENCY,
    DIGIT,
    LETTER,
    LOWER,
    PICTURE,
    PREFIX,
    QUOTE,
    UPPER,
)
from sartor.data.filters.compiled import compiled
from sartor.data.filters.word_lexicon import LONGEST_ENTRY, MULTIPLIER, TABLE_BITS, UNIT, WHOLE

LONGEST_UNIT = 4  # characters
LONGEST_JOINED = 5  # characters
LONGEST_LABEL = 64  # characters between two dots of an address
_SHIFT = 64 - TABLE_BITS
_LAST_PLACE = (1 << TABLE_BITS) - 1
_STOP, _ELLIPSIS, _PLUS, _HYPHEN, _AT, _SLASH, _COLON, _EM_DASH = 46, 0x2026, 43, 45, 64, 47, 58, 0x2014


@compiled
def look_up(key, keys, values):  # type: ignore[no-untyped-def]
    """The entry of a hash, 0 where there is none."""
    place = np.int64(((key ^ (key >> np.uint64(32))) * np.uint64(MULTIPLIER)) >> np.uint64(_SHIFT))
    while keys[place] != 0:
        if keys[place] == key:
            return values[place]
        place = (place + 1) & _LAST_PLACE
    return 0


@compiled
def _entry(points, low, high, keys, values, salt):  # type: ignore[no-untyped-def]
    if high - low > LONGEST_ENTRY:
        return 0
    key = np.uint64(0)
    for place in range(low, high):
        key = key * np.uint64(MULTIPLIER) + np.uint64(points[place] + 1)
    return look_up(key ^ np.uint64(salt), keys, values)


@compiled
def _prefix(points, classes, low, high):  # type: ignore[no-untyped-def]
    """Length of the word that is cut off at the beginning, or 0."""
    if classes[low] & (AFFIX | PREFIX):
        return 1
    point = points[low]
    if point == _PLUS:
        return 0 if low + 1 < high and classes[low + 1] & DIGIT else 1
    if point == _STOP:
        end = low + 1
        while end < high and points[end] == _STOP:
            end += 1
        return end - low if end - low > 1 else 0
    if (point == 65 or point == 67) and low + 1 < high and points[low + 1] == 36:  # A$, C$
        return 2
    if point == 85 and low + 2 < high and points[low + 1] == 83 and points[low + 2] == 36:  # US$
        return 3
    return 0


@compiled
def _suffix(points, classes, low, high, keys, values):  # type: ignore[no-untyped-def]
    """Length of the word that is cut off at the end, or 0. The longest that fits."""
    last = high - 1
    point, kind = points[last], classes[last]
    before = classes[last - 1] if last > low else 0
    if point == _STOP:
        return _final_stop(points, classes, low, high)
    if (point == 115 or point == 83) and last > low and (points[last - 1] == 39 or points[last - 1] == 0x2019):
        return 2  # 's
    for length in range(min(LONGEST_UNIT, last - low), 0, -1):
        if classes[last - length] & DIGIT and _entry(points, high - length, high, keys, values, UNIT) & UNIT:
            return length
    if point == _ELLIPSIS and last > low and points[last - 1] == _ELLIPSIS:
        return 2
    if kind & AFFIX:
        return 1
    return 1 if before & DIGIT and (point == _PLUS or kind & CURRENCY) else 0


@compiled
def _final_stop(points, classes, low, high):  # type: ignore[no-untyped-def]
    start = high - 1
    while start > low and points[start - 1] == _STOP:
        start -= 1
    if high - start > 1:
        return high - start
    if start == low:
        return 0
    if classes[start - 1] & BEFORE_STOP:
        return 1
    if start - 2 >= low:
        if classes[start - 1] & classes[start - 2] & UPPER:
            return 1
        if points[start - 2] == 0xB0 and (points[start - 1] | 32) in (99, 102, 107):  # degrees C, F, K
            return 1
    return 0


@compiled
def _inner_cut(points, classes, low, high, place):  # type: ignore[no-untyped-def]
    """Length of the word that stands at `place` between two others, or 0."""
    point = points[place]
    if classes[place] & PICTURE or point == _ELLIPSIS:
        return 1
    if point == _STOP and place + 1 < high and points[place + 1] == _STOP:
        end = place + 2
        while end < high and points[end] == _STOP:
            end += 1
        return end - place
    if place == low or place + 1 >= high:
        return 0
    before, after = classes[place - 1], classes[place + 1]
    if before & DIGIT and (after & DIGIT or points[place + 1] == _HYPHEN) and point in (_PLUS, _HYPHEN, 42, 94):
        return 1
    if point == _STOP:
        return 1 if before & (LOWER | QUOTE) and after & (UPPER | QUOTE) else 0
    if point == 44:
        return 1 if before & LETTER and after & LETTER else 0
    if not before & (LETTER | DIGIT):
        return 0
    if point in (_COLON, 60, 61, 62, _SLASH):
        return 1 if after & LETTER else 0
    if point in (_HYPHEN, _EM_DASH):
        end = place + 1
        while end < high and points[end] == point and end - place < (3 if point == _HYPHEN else 2):
            end += 1
        return end - place if end < high and classes[end] & LETTER else 0
    return 1 if point in (126, 0x2013) and after & LETTER else 0


@compiled
def _is_host_character(point):  # type: ignore[no-untyped-def]
    return 97 <= (point | 32) <= 122 or 48 <= point <= 57 or 0xA1 <= point <= 0xFFFF


@compiled
def _is_address(points, classes, low, high):  # type: ignore[no-untyped-def]
    """Whether this is a host name, perhaps with scheme, user, port and path."""
    start, dots = low, 0
    for place in range(low, high):
        dots += points[place] == _STOP
    if dots == 0:
        return False
    place = low
    while place < high and (classes[place] & (LETTER | DIGIT) or points[place] in (_PLUS, _HYPHEN, _STOP, 95)):
        place += 1
    scheme = place >= low + 2 and place + 2 < high and points[place] == _COLON
    if scheme and points[place + 1] == _SLASH and points[place + 2] == _SLASH:
        start = place + 3
    for place in range(high - 1, low, -1):
        if points[place] == _AT:
            return _is_host(points, classes, place + 1, high) or _is_host(points, classes, start, high)
    return _is_host(points, classes, start, high)


@compiled
def _is_host(points, classes, start, high):  # type: ignore[no-untyped-def]
    """Whether `start` begins a host name with its top-level domain, perhaps with port and path."""
    labels, begin, place = 0, start, start
    while place < high:
        point = points[place]
        if point == _STOP:
            whole = 0 < place - begin <= LONGEST_LABEL
            if not (whole and _is_host_character(points[begin]) and _is_host_character(points[place - 1])):
                return False
            labels, begin = labels + 1, place + 1
        elif not (_is_host_character(point) or point == _HYPHEN or point == 95):
            break
        place += 1
    if labels == 0 or place - begin < 2 or place - begin > LONGEST_LABEL - 1:
        return False
    for each in range(begin, place):
        if not classes[each] & LOWER:
            return False
    if place < high and points[place] == _COLON:
        begin = place + 1
        place = begin
        while place < high and classes[place] & DIGIT:
            place += 1
        if not 2 <= place - begin <= 5:
            return False
    return place == high or points[place] in (_SLASH, 63, 35)


@compiled
def cut(points, classes, high, keys, values, ends, suffixes):  # type: ignore[no-untyped-def]
    """Cut a piece of `high` characters; the ends of its words go to `ends`, their number is returned.

    `suffixes` is room for the ends of words that are found from the right; both hold at least `high` numbers.
    """
    low, count, num_suffixes = 0, 0, 0
    entry = 0
    while low < high:
        entry = _entry(points, low, high, keys, values, 0)
        if entry & WHOLE:
            break
        before = _prefix(points, classes, low, high)
        if before and before < high - low:
            entry = _entry(points, low + before, high, keys, values, 0)
            if entry & WHOLE:
                low += before
                ends[count] = low
                count += 1
                break
        after = _suffix(points, classes, low + before, high, keys, values) if before < high - low else 0
        if after and after < high - low:
            entry = _entry(points, low, high - after, keys, values, 0)
            if entry & WHOLE:
                suffixes[num_suffixes] = high
                num_suffixes += 1
                high -= after
                break
        if before == 0 and after == 0:
            break
        if before:
            low += before
            ends[count] = low
            count += 1
        if after:
            suffixes[num_suffixes] = high
            num_suffixes += 1
            high -= after
    if low < high:
        count = _cut_middle(points, classes, low, high, entry, ends, count)
    for place in range(num_suffixes - 1, -1, -1):
        ends[count] = suffixes[place]
        count += 1
    return _joined(points, ends, count, keys, values, suffixes) if count > 1 else count


@compiled
def _joined(points, ends, count, keys, values, marks):  # type: ignore[no-untyped-def]
    """Put together what was cut although it is one word of the lexicon: the `):` of `(as here):`.

    Longer ones first, then earlier ones. What overlaps with one that was looked at stays cut, even where that one did:
    of a row of quotes only the first two are joined, as in spaCy. `marks` is room for `count` numbers.
    """
    marks[:count] = 0  # -1: looked at; above 0: so many parts are joined from here
    for parts in range(min(LONGEST_JOINED, count), 1, -1):
        for part in range(count - parts + 1):
            begin, last = ends[part - 1] if part else 0, part + parts - 1
            if ends[last] - begin > LONGEST_JOINED:
                continue
            entry = _entry(points, begin, ends[last], keys, values, 0)
            if entry & WHOLE and entry & 0xFF == 0:
                accepted = marks[part] == 0 and marks[last] == 0
                for each in range(part, last + 1):
                    marks[each] = -1 if marks[each] == 0 else marks[each]
                if accepted:
                    marks[part] = parts
    kept, part = 0, 0
    while part < count:
        part += max(marks[part], 1)
        ends[kept] = ends[part - 1]
        kept += 1
    return kept


@compiled
def _cut_middle(points, classes, low, high, entry, ends, count):  # type: ignore[no-untyped-def]
    if entry & WHOLE:
        first, second = entry & 0xFF, entry >> 8 & 0xFF
        if first:
            ends[count] = low + first
            count += 1
        if second:
            ends[count] = low + first + second
            count += 1
    elif not _is_address(points, classes, low, high):
        place, begin = low, low
        while place < high:
            length = _inner_cut(points, classes, low, high, place)
            if length and place > low:
                if place > begin:
                    ends[count] = place
                    count += 1
                ends[count] = place + length
                count += 1
                begin = place + length
            place += max(length, 1)
        if begin == high:
            return count
    ends[count] = high
    count += 1
    return count
