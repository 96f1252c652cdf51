"""Texts good and bad in the ways that filters look for, made by chance from a few sentences."""

import random

SENTENCES = (
    "The harbour lay quiet, and the boats were turned to the wind.",
    "Nobody had told them that the road was closed.",
    "She counted the days with care; there were eleven of them.",
    "“It will be fine,” he said, though he didn’t believe it.",
    "A naïve reader may think that café and cafe are the same word.",
    "In 1934 about 3,500 people lived there, 40 % of them fishermen.",
    "What do you want to have for dinner?",
    "Prices rose by $4.50 (see [3]) in the U.S. and by €4 in Europe.",
    "Please enable JavaScript to view it.",
    "We use cookies; read our privacy policy here.",
    "lorem ipsum dolor sit amet.",
    "function f() { return 1; }",
    "Click here",
    "Home",
    "READ MORE ABOUT THE SALE",
    "3 likes",
    "- an item of a list",
    "• another item…",
    "and so it went on...",
    "これは日本語の文です。二つ目の文。",
    "Это предложение написано по-русски.",
    "# heading ## of ### hashes",
    "",
)
GOOD = 8  # so many of them are prose


def spoiled_texts(count: int, seed: int = 0) -> list[str]:
    chance = random.Random(seed)
    return [_text(chance) for _ in range(count)]


def _text(chance: random.Random) -> str:
    share_good, lines = chance.choice((1, 0.95, 0.8, 0.4)), []
    for _ in range(chance.choice((1, 3, 8, 20))):
        good = chance.random() < share_good
        pool = SENTENCES[:GOOD] if good else SENTENCES[GOOD:]
        lines.append(" ".join(_varied(chance.choice(pool), chance) for _ in range(chance.randint(1, 5) if good else 1)))
    return chance.choice(("\n", "\n\n", "\r\n", " ")).join(lines)


def _varied(sentence: str, chance: random.Random) -> str:
    """With other words in it, so that not every text repeats itself."""
    words = sentence.split(" ")
    for _ in range(len(words) // 2):
        words[chance.randrange(len(words))] = "".join(chance.choices("abcdefghijklmnoprstuvwé", k=chance.randint(2, 9)))
    return " ".join(words) if chance.random() < 0.8 else sentence
