"""Two more tasks to choose on, made from public data (SARTOR_DATA).

    python -m benchmarks.choice_tasks tasks/        # writes tasks/nl2bash and tasks/fastapi
    sartor choose tasks/nl2bash --out runs/nl2bash --budget 10m

`nl2bash`: a wish in English, answered with one line of Bash (Lin et al. 2018); wishes that stand there several times
accept each of their commands. Behaviour to learn, no documents.

`fastapi`: a sentence of FastAPI's documentation in which one name, set as code, was taken out; the question tells where
the sentence stands. Facts to look up: pages that test questions are about have no question among the train rows.
"""

import hashlib
import random
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.retrieval_sets import collected_texts, rows_of
from sartor.api.task import write_task
from sartor.data.task_rows import normalised_question
from sartor.retrieval.chunking import sections_of

TRAIN_ROWS, TEST_ROWS = 2_000, 300
MOST_CHARACTERS = 200  # of a wish or a command: longer ones are scripts
NAME = re.compile(r"`([A-Za-z_][\w.]{2,29})`")
FEWEST_WORDS, MOST_WORDS = 8, 40
A_PAGE = 8  # questions at most, so that no page makes half of the rows
GAP = "____"
NOT_PROSE = re.compile(r"\]\(|<\w")  # links and markup


def nl2bash(folder: Path) -> Path:
    commands: defaultdict[str, list[str]] = defaultdict(list)
    wishes: dict[str, str] = {}
    for row in rows_of("nl2bash"):
        wish, command = str(row["nl"]).strip(), str(row["bash"]).strip()
        if wish and command and max(len(wish), len(command)) <= MOST_CHARACTERS:
            key = normalised_question([{"role": "user", "content": wish}])
            wishes.setdefault(key, wish)
            if command not in commands[key]:
                commands[key].append(command)
    keys = sorted(wishes)
    random.Random(0).shuffle(keys)
    rows = [{"question": wishes[key], "answer": commands[key], "group": key} for key in keys]
    return write_task(
        folder,
        scorer="rouge",
        instruction="Answer with one line of Bash that does what is asked, and nothing else.",
        description="English to one line of Bash (NL2Bash, MIT).",
        test=rows[:TEST_ROWS],
        train=rows[TEST_ROWS : TEST_ROWS + TRAIN_ROWS],
    )


def fastapi(folder: Path) -> Path:
    rows: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as documents:
        for path, text in sorted(collected_texts("fastapi_docs").items()):
            if Path(path).name.startswith("_"):
                continue  # a test of their translations
            name = Path(path).with_suffix(".md").as_posix().replace("/", "_")
            (Path(documents) / name).write_text(text, encoding="utf-8")
            held_out = hashlib.sha256(path.encode()).digest()[0] % 3 == 0
            found = list(_gaps(text))
            random.Random(path).shuffle(found)
            rows[held_out] += [{**row, "group": path, "evidence": [name]} for row in found[:A_PAGE]]
        return write_task(
            folder,
            scorer="exact",
            instruction="Name what stands in the gap of the documentation's sentence: one name, and nothing else.",
            description="Names in sentences of FastAPI's documentation (MIT).",
            test=rows[True][:TEST_ROWS],
            train=rows[False][:TRAIN_ROWS],
            documents=documents,
        )


def _gaps(text: str) -> Iterator[dict[str, Any]]:
    """Sentences with one name set as code, that name taken out."""
    for section in sections_of(text):
        where = ": ".join(dict.fromkeys((section.path[0], section.path[-1]))) if section.path else ""
        prose = re.sub(r"```.*?```", " ", text[section.body : section.end], flags=re.DOTALL)
        for line in prose.split("\n"):
            for sentence in re.split(r"(?<=[.!?])\s+", line.strip(" *-")):
                names = NAME.findall(sentence)
                long_enough = FEWEST_WORDS <= len(sentence.split()) <= MOST_WORDS
                if len(names) == 1 and long_enough and not NOT_PROSE.search(sentence) and where:
                    name = names[0]
                    asked = sentence.replace(f"`{name}`", GAP)
                    if name.lower() not in f"{asked} {where}".lower():
                        yield {"question": f"{where}\n{asked}", "answer": name}


def main() -> None:
    out = Path(sys.argv[1])
    for make in (nl2bash, fastapi):
        print(make(out / make.__name__))


if __name__ == "__main__":
    main()
