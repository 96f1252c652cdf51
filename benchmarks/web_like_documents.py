"""A mixture of documents that is like the web's: real texts cut to the lengths of pages, and spoiled ones among them.

Sources, all below SARTOR_DATA: books (Standard Ebooks), encyclopedia (WikiText-2), documentation of software (FastAPI,
PEPs), questions and answers (Dolly, OpenAssistant), web pages (WARC samples), the declaration of human rights in 390
languages (udhr2). A third of the documents is spoiled in one of the ways in which pages are bad.
"""

import gzip
import json
import random
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fastwarc.warc import ArchiveIterator, WarcRecordType
from resiliparse.extract.html2text import extract_plain_text

from benchmarks.finetune_vs_trl import data_folder

SPOILED_SHARE = 1 / 3
MEDIAN_CHARACTERS, SPREAD = 1_400, 1.0  # of a log-normal distribution; mean about 2,300
LONGEST_CHARACTERS = 60_000
WEIGHTS = {"books": 0.3, "encyclopedia": 0.15, "software": 0.2, "answers": 0.2, "web": 0.1, "languages": 0.05}

Lines = list[str]


def web_like_documents(count: int, seed: int = 0) -> Iterator[dict[str, str]]:
    """`count` documents: id (with source and what was done to it), text."""
    chance = random.Random(seed)
    sources = load_sources(data_folder() / "raw")
    names, weights = list(WEIGHTS), list(WEIGHTS.values())
    for number in range(count):
        text = ""
        while not text.strip():  # datatrove's readers pass over empty texts
            name = chance.choices(names, weights)[0]
            text = excerpt(chance.choice(sources[name]), chance)
        kind = "as it is"
        if chance.random() < SPOILED_SHARE:
            kind = chance.choice(list(SPOILERS))
            text = "\n".join(SPOILERS[kind](text.split("\n"), chance))
        yield {"id": f"{number:06d} {name} {kind}", "text": text}


def load_sources(raw: Path) -> dict[str, Lines]:
    """Long and short texts of each source."""
    books = [row["text"] for name in ("children", "novels_nonfiction") for row in rows(raw / f"standardebooks/{name}")]
    software = [row["text"] for name in ("peps/peps", "fastapi_docs/docs") for row in rows(raw / name)]
    answers = [row["response"] for row in rows(raw / "dolly/dolly_open_qa")]
    answers += [
        text for row in rows(raw / "oasst_en_100/en_100_tree") for text in thread(row["prompt"]) if len(text) > 400
    ]
    with gzip.open(raw / "wikitext2/valid.txt.gz", "rt") as stream:
        encyclopedia = stream.read()
    with zipfile.ZipFile(raw / "nltk_pd/udhr2.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".txt")]
        languages = [archive.read(name).decode("utf-8", "replace") for name in names]
    return {
        "books": books,
        "encyclopedia": [encyclopedia],
        "software": software,
        "answers": answers,
        "web": web_pages(raw / "warc_samples/dolma__sample-0001.warc.gz"),
        "languages": languages,
    }


def web_pages(path: Path) -> Lines:
    """The main text of the HTML pages of a WARC file."""
    with path.open("rb") as stream:
        records = ArchiveIterator(stream, record_types=WarcRecordType.response)
        pages = [record.reader.read().decode("utf-8", "replace") for record in records]
    return [extract_plain_text(page, main_content=True) for page in pages]


def rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(f"{path}.jsonl.gz", "rt") as stream:
        return [json.loads(line) for line in stream]


def thread(message: dict[str, Any]) -> Iterator[str]:
    """The texts of a message and of all replies to it."""
    yield message["text"]
    for reply in message.get("replies", ()):
        yield from thread(reply)


def excerpt(text: str, chance: random.Random) -> str:
    """A stretch of a random length that begins at a line."""
    length = min(int(chance.lognormvariate(0, SPREAD) * MEDIAN_CHARACTERS), LONGEST_CHARACTERS)
    if len(text) <= length:
        return text
    start = text.find("\n", chance.randrange(len(text) - length)) + 1
    return text[start : start + length]


def repeated_lines(lines: Lines, chance: random.Random) -> Lines:
    return lines + chance.choices(lines, k=max(1, int(len(lines) * chance.uniform(0.01, 0.6))))


def repeated_phrases(lines: Lines, chance: random.Random) -> Lines:
    words = " ".join(lines).split()[:12] or ["empty"]
    return [*lines, " ".join([" ".join(words)] * chance.randint(1, 8))]


def bullets(lines: Lines, chance: random.Random) -> Lines:
    share = chance.uniform(0.7, 1)
    return [chance.choice(("- ", "• ")) + line if chance.random() < share else line for line in lines]


def trailing_dots(lines: Lines, chance: random.Random) -> Lines:
    share = chance.uniform(0.1, 0.6)
    return [line + "..." if chance.random() < share else line for line in lines]


def short_lines(lines: Lines, chance: random.Random) -> Lines:
    words, width = " ".join(lines).split(), chance.randint(2, 12)
    return [" ".join(words[start : start + width]) for start in range(0, len(words), width)]


def shouted(lines: Lines, chance: random.Random) -> Lines:
    share = chance.uniform(0.2, 1)
    return [line.upper() if chance.random() < share else line for line in lines]


def boilerplate(lines: Lines, chance: random.Random) -> Lines:
    phrases = (
        "Please enable JavaScript to view this page.",
        "This site uses cookies. Read our privacy policy.",
        "Lorem ipsum dolor sit amet, consectetur adipiscing elit.",
        "function init() { return window.load; }",
        "Home | About | Contact",
    )
    spread = chance.uniform(0.02, 0.3)
    return [each for line in lines for each in ([line, chance.choice(phrases)] if chance.random() < spread else [line])]


def symbols(lines: Lines, chance: random.Random) -> Lines:
    marks = chance.choice(("#", "…", "|", "=", "*", "12.5"))
    return [f"{line} {marks} {marks}" for line in lines]


def typographic(lines: Lines, chance: random.Random) -> Lines:
    """Curly quotes, dashes, spaces that do not break, accents: what is not ASCII."""
    changes = {"'": "’", " the ": " the\u00a0", "-": "—", "e ": "é ", '"': "“", ", ": "、"}
    for before, after in chance.sample(sorted(changes.items()), 3):
        lines = [line.replace(before, after) for line in lines]
    return lines


SPOILERS: dict[str, Callable[[Lines, random.Random], Lines]] = {
    each.__name__: each
    for each in (
        repeated_lines, repeated_phrases, bullets, trailing_dots, short_lines, shouted, boilerplate, symbols,
        typographic,
    )
}  # fmt: skip
