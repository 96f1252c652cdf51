"""Answers that people label: drawn for a sheet that does not tell which path gave them, and read back from it.

An answer's key is a hash of its row and text, so a label holds for every path that gave this answer, and for as long as
the answer stands, however often it is measured again.
"""

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from sartor.base.durable import replace_file
from sartor.base.errors import DataError, UsageError
from sartor.data.bad_rows import BadRow
from sartor.data.readers import read_rows
from sartor.data.turns import kind_of
from sartor.data.writers import write_jsonl
from sartor.evaluation.agreement import RIGHT_FROM

ANSWERS_FOLDER = "answers"
COLUMNS = ("key", "question", "accepted", "answer", "label")
WORDS = {"right": 1.0, "yes": 1.0, "true": 1.0, "partly": 0.5, "wrong": 0.0, "no": 0.0, "false": 0.0}


@dataclass(frozen=True)
class Answered:
    """One answer of one path as it was recorded; `score` is None where it was not scored."""

    path: str
    id: str
    question: str
    accepted: tuple[str, ...]
    text: str
    score: float | None
    where: str

    @property
    def key(self) -> str:
        # The letter keeps spreadsheets from reading a key as a number.
        return "k" + hashlib.sha256(f"{self.id}\0{self.text}".encode("utf-8", "surrogatepass")).hexdigest()[:12]


def read_answered(source: Path) -> list[Answered]:
    """The answers of a `choose` run, or of one file of answers. Errors say file, line and field."""
    folder = source / ANSWERS_FOLDER
    files = sorted(folder.glob("*.jsonl")) if source.is_dir() else [source]
    if not files:
        hint = f"give a finished run of `sartor choose`, which has {ANSWERS_FOLDER}/, or a file of answers"
        raise DataError("holds no answers", where=str(source), hint=hint)
    return [_answered(raw, place, file.stem) for file in files for place, raw in read_rows(file)]


def _answered(raw: Mapping[str, Any], place: str, path: str) -> Answered:
    for name in ("id", "question", "text"):
        if not isinstance(raw.get(name), str):
            what = f"is {kind_of(raw[name])}, not text" if name in raw else "is missing"
            hint = "give answers that `sartor choose` or `sartor evaluate --out` kept"
            raise BadRow(f"'{name}' {what}", place=place, field=name, hint=hint)
    accepted, score = raw.get("accepted"), raw.get("score")
    if not isinstance(accepted, list) or not all(isinstance(text, str) for text in accepted):
        hint = 'write a list of texts: ["Paris"]'
        raise BadRow("'accepted' is not a list of texts", place=place, field="accepted", hint=hint)
    if score is not None and (isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1):
        hint = "score the answers again with `sartor choose --rescore`"
        raise BadRow("'score' is not a number from 0 to 1", place=place, field="score", hint=hint)
    return Answered(
        path, raw["id"], raw["question"], tuple(accepted), raw["text"], None if score is None else float(score), place
    )


Stratum = tuple[str, bool | None]  # a path, and whether its scorer calls the answer right (None: it was not scored)


def homes(answers: Sequence[Answered]) -> dict[str, Stratum]:
    """By the key of each answer, the one stratum that it is drawn from: the smallest of those that hold it.

    An answer that several paths gave is in a stratum of each. Were it drawn from any of them, it would come up more
    often than the answers beside it in the larger ones, and a label would speak too much for what paths agree on.
    Drawn from one home it is as likely to come up as all that are at home there, and every stratum still gets its
    share, since what it shares is at home in a smaller one.
    """
    sizes = Counter(map(_stratum, answers))
    found: dict[str, Stratum] = {}
    for answer in answers:
        own = _stratum(answer)
        there = found.setdefault(answer.key, own)
        found[answer.key] = min(there, own, key=lambda each: (each[1] is None, sizes[each], each[0], bool(each[1])))
    return found


def stand_for(answers: Sequence[Answered], labelled: Collection[str]) -> dict[str, float]:
    """By the key of each labelled answer, how many answers that differ it stands for: as many of its home as there are
    to a label. It holds for labels of a drawn sheet, also of one that is filled in in part, and for labels of answers
    that people chose themselves as far as these are like the others of their home."""
    home_of = homes(answers)
    sizes = Counter(home_of.values())
    known = Counter(home_of[key] for key in labelled)
    return {key: sizes[home_of[key]] / known[home_of[key]] for key in labelled}


def draw(answers: Sequence[Answered], number: int) -> list[Answered]:
    """`number` answers that differ, in turn from every path and from what its scorer calls right and wrong.

    Within each such stratum those with the lowest hash come first, so that what is at home there is a simple random
    sample (`homes`), and the same one whenever it is drawn. Unscored answers are not drawn.
    """
    scored = [answer for answer in answers if answer.score is not None]
    home_of = homes(scored)
    once = {answer.key: answer for answer in reversed(scored)}
    strata: dict[Stratum, list[Answered]] = {}
    for answer in sorted(once.values(), key=lambda answer: _hash("draw", answer)):
        strata.setdefault(home_of[answer.key], []).append(answer)
    in_turn = zip_longest(*(strata[name] for name in sorted(strata)))
    drawn = [answer for turn in in_turn for answer in turn if answer is not None][:number]
    return sorted(drawn, key=lambda answer: _hash("order", answer))


def _stratum(answer: Answered) -> Stratum:
    return answer.path, None if answer.score is None else answer.score >= RIGHT_FROM


def _hash(purpose: str, answer: Answered) -> str:
    return hashlib.sha256(f"{purpose} {answer.key}".encode()).hexdigest()


def write_sheet(file: Path, answers: Sequence[Answered]) -> None:
    """One row an answer with an empty label; nothing in it tells path or score. UsageError when the file is there, or
    of a kind that cannot be written."""
    if file.suffix not in (".csv", ".jsonl"):
        raise UsageError("is no .csv or .jsonl file", where=str(file), hint="name a file such as labels.csv")
    if file.exists():
        raise UsageError("is there already", where=str(file), hint="name another file: labels may be in this one")
    rows = [
        dict(zip(COLUMNS, (each.key, each.question, list(each.accepted), each.text, None), strict=True))
        for each in answers
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".jsonl":
        write_jsonl(file, rows)
        return
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    for row in rows:
        table.writerow({name: _cell(value) for name, value in row.items()})
    replace_file(file, text.getvalue())


def _cell(value: Any) -> str:
    """The value as a cell that a spreadsheet does not take for a formula."""
    text = " | ".join(value) if isinstance(value, list) else value or ""
    return f" {text}" if text.startswith(("=", "+", "-", "@")) else text


@dataclass(frozen=True)
class Labels:
    """Labels by the key of the answer; `blank` rows have none yet, `unknown` ones are of no answer that is there."""

    by_key: dict[str, float]
    blank: int
    unknown: int


def read_labels(file: Path, answers: Sequence[Answered]) -> Labels:
    """What people say of `answers`. A row names its answer by `key`, as sheets do, or by `id` (and `path` where several
    have answered). DataError with file, line and field for a label that cannot be read, or two that contradict."""
    keys = {answer.key for answer in answers}
    by_place = {(answer.path, answer.id): answer.key for answer in answers}
    found: dict[str, tuple[float, str]] = {}
    blank = unknown = 0
    for place, raw in read_rows(file):
        label = _label(raw, place)
        if label is None:
            blank += 1
            continue
        key = _key(raw, place, by_place)
        if key not in keys:
            unknown += 1
        elif key in found and found[key][0] != label:
            what = f"the answer has another label in {found[key][1]}"
            raise BadRow(what, place=place, field="label", hint="keep one of the two")
        else:
            found[key] = (label, place)
    return Labels({key: label for key, (label, _) in found.items()}, blank, unknown)


def _label(raw: Mapping[str, Any], place: str) -> float | None:
    """The label, or None where there is none yet."""
    if "label" not in raw:
        raise BadRow("'label' is missing", place=place, field="label", hint="write 1 for right and 0 for wrong")
    value = raw["label"]
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    text = str(value).strip().casefold()
    try:
        number = WORDS[text] if text in WORDS else float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        hint = f"write 1 for right, 0 for wrong, or a share between; words: {', '.join(WORDS)}"
        raise BadRow(f"'{value}' is no label", place=place, field="label", hint=hint)
    return number


def _key(raw: Mapping[str, Any], place: str, by_place: Mapping[tuple[str, str], str]) -> str:
    if raw.get("key"):
        return str(raw["key"])
    if raw.get("id") is None:
        raise BadRow("'key' is missing", place=place, field="key", hint="or name the answer by 'id' and 'path'")
    paths = sorted({path for path, _ in by_place})
    path = raw.get("path") or (paths[0] if len(paths) == 1 else None)
    if path is None:
        hint = f"say whose answer it is: {', '.join(paths)}"
        raise BadRow("'path' is missing", place=place, field="path", hint=hint)
    if str(path) not in paths:
        raise BadRow(f"there is no path '{path}'", place=place, field="path", hint=f"paths: {', '.join(paths)}")
    if (str(path), str(raw["id"])) not in by_place:
        hint = "ids are those of the test rows"
        raise BadRow(f"path {path} has no answer to row '{raw['id']}'", place=place, field="id", hint=hint)
    return by_place[str(path), str(raw["id"])]
