"""Typing mistakes: as many as stated, realistic, and never where they change what is asked."""

import random
import re

import pytest

from sartor.choosing.probes.typos import NEIGHBOURS, slip, with_typos

TEXT = "please tell me where the people leave their heavy boxes after lunch when nobody works inside that dusty store"


def distance(a: str, b: str) -> int:
    """Edits between two words, an exchange of neighbours being one (Damerau)."""
    rows = [[max(i, j) if not (i and j) else 0 for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            rows[i][j] = min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (a[i - 1] != b[j - 1]))
            if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
                rows[i][j] = min(rows[i][j], rows[i - 2][j - 2] + 1)
    return rows[-1][-1]


def test_each_slip_is_one_edit_behind_the_first_letter() -> None:
    chance = random.Random(0)
    for word in ["boxes", "letter", "aaaa", "can't", "ab"] * 100:
        made = slip(word, chance)
        assert distance(word, made) == 1 and made[0] == word[0]


def test_neighbours_lie_side_by_side() -> None:
    assert set(NEIGHBOURS["g"]) >= set("fhtb") and not set(NEIGHBOURS["g"]) & set("apqlm")
    assert all(key in NEIGHBOURS[other] for key, others in NEIGHBOURS.items() for other in others)


@pytest.mark.parametrize(("rate", "count"), [(0.01, 1), (0.25, 4), (1.0, 17)])
def test_the_rate_is_that_of_the_words_that_may_be_touched(rate: float, count: int) -> None:
    eligible = [word for word in TEXT.split() if len(word) >= 4]
    assert len(eligible) == 17
    made = with_typos(TEXT, (), random.Random(1), rate=rate)
    assert made is not None
    changed = [pair for pair in zip(TEXT.split(), made.split(), strict=True) if pair[0] != pair[1]]
    assert len(changed) == count and all(len(before) >= 4 for before, _ in changed)


@pytest.mark.parametrize(
    "text",
    [
        "Anna Reed at PORT-9",
        "12:30 4.35 b2b x86_64",
        "run_all --fast /usr/local/bin http://example.org/page me@example.org",
        'say "please wait" or `rm -rf build`',
        "main() os.path foo::bar",
        "it is so",
    ],
)
def test_what_must_stay_stays(text: str) -> None:
    assert with_typos(text, (), random.Random(0), rate=1.0) is None


def test_words_of_the_answer_stay() -> None:
    made = with_typos("book tables near river", ('{"place": "River", "what": "tables"}',), random.Random(0), rate=1.0)
    assert made is not None and made.split()[1] == "tables" and made.split()[3] == "river"


def test_no_slip_makes_a_known_word() -> None:
    chance = random.Random(0)
    assert all(slip("card", chance, {"car", "cars", "cad", "care"}) not in {"car", "cars", "cad"} for _ in range(2000))


def test_same_seed_same_typos() -> None:
    made = {with_typos(TEXT, (), random.Random("7 typos r1")) for _ in range(3)}
    assert len(made) == 1 and made != {TEXT}


def test_everything_around_the_words_is_kept() -> None:
    text = "  where, please: the boxes?\nand   (quickly) now!  "
    made = with_typos(text, (), random.Random(3), rate=1.0)
    assert made is not None and re.sub(r"\w+", "", made) == re.sub(r"\w+", "", text)
