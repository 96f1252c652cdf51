"""The data formats that are read without asking: recognised by their columns, checked row by row.

`read_examples` gives conversations to learn from; `read_records` any kind of record.
"""

import difflib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, Generic, TypeVar

from sartor.base.configuration import nearest
from sartor.base.errors import DataError, UsageError
from sartor.data.bad_rows import BadRow, BadRows, Reject
from sartor.data.preferences import as_verdict, read_completion, read_judged, read_preference, read_prompt
from sartor.data.readers import read_rows
from sartor.data.records import Example, Judged, Preference, Text
from sartor.data.turns import (
    check_ends,
    message,
    named,
    optional_text,
    text_in,
    turns,
    unread_keys,
    with_system,
)  # fmt: skip

SAMPLE_ROWS = 1000
RawRow = dict[str, Any]
Record = Example | Text | Preference | Judged
RecordType = TypeVar("RecordType", Example, Text, Preference, Judged)


@dataclass(frozen=True)
class Format:
    """One layout of rows.

    Each of `columns` is a tuple of names of which one must be there; `optional` ones are read when present;
    `fits` may ask for more than the names.
    """

    name: str
    record: type[Record]
    read: Callable[[RawRow, str], Record]
    columns: tuple[tuple[str, ...], ...]
    optional: tuple[str, ...] = ()
    fits: Callable[[RawRow], bool] = field(default=lambda row: True)

    def found_in(self, row: RawRow) -> tuple[str, ...] | None:
        """The columns of `row` that make it this format, or None."""
        found = [next((name for name in names if row.get(name) is not None), None) for names in self.columns]
        complete = tuple(name for name in found if name is not None)
        return complete if len(complete) == len(self.columns) and self.fits(row) else None

    @property
    def reads(self) -> frozenset[str]:
        return frozenset(chain(self.optional, *self.columns))


@dataclass(frozen=True)
class ExampleSet(Generic[RecordType]):
    """What a file held: records, the format they were read as, a sentence for people, and rows left out."""

    examples: list[RecordType]
    format: Format
    description: str
    rejects: list[Reject]


def detect(rows: Sequence[RawRow], where: str = "") -> Format:
    """The one format that most of `rows` have. DataError when there is none, or more than one fits."""
    votes = Counter(_fitting(row) for row in rows)
    fitting, count = votes.most_common(1)[0] if votes else ((), 0)
    if len(fitting) == 1 and 2 * count >= len(rows):
        return FORMATS[fitting[0]]
    columns = named(_all_columns(rows))
    if len(fitting) > 1:
        options = " or ".join(f"--format {name}" for name in fitting)
        raise DataError(f"{columns} fit more than one format", where=where, hint=f"choose with {options}")
    raise DataError(f"{columns} are no known format", where=where, hint=_nearest_hint(_all_columns(rows)))


def format_named(name: str) -> Format:
    """The format that `--format` names."""
    if name not in FORMATS:
        near = nearest(name, FORMATS)
        hint = f"did you mean {near}? " if near else ""
        raise UsageError(f"unknown format '{name}'", hint=f"{hint}formats: {', '.join(FORMATS)}")
    return FORMATS[name]


def to_record(row: RawRow, chosen: Format, where: str = "") -> Record:
    """`row` as `chosen`'s record; BadRow with place, field and hint when it cannot be."""
    for names in chosen.columns:
        if all(row.get(name) is None for name in names):
            hint = f"{chosen.name} rows need it; found {named(row)}"
            raise BadRow(f"'{names[0]}' is missing", place=where, field=names[0], hint=hint)
    return chosen.read(row, where)


def read_examples(
    path: str | Path, format: str | None = None, bad_rows: BadRows | None = None
) -> ExampleSet[Example]:
    """Conversations to learn from. DataError when the file holds another kind of rows, or no usable one."""
    return read_records(path, Example, format, bad_rows)


def read_records(
    path: str | Path, record: type[RecordType], format: str | None = None, bad_rows: BadRows | None = None
) -> ExampleSet[RecordType]:
    """The rows of `path` as `record`; `format` forces what is otherwise detected from the first rows."""
    bad_rows = bad_rows or BadRows(can_skip=False)
    rejected_before = len(bad_rows.rejects)
    rows = read_rows(path, bad_rows)
    sample = list(islice(rows, SAMPLE_ROWS))
    if not sample:
        raise _nothing_usable(bad_rows.rejects[rejected_before:], path)
    chosen = format_named(format) if format else detect([row for _, row in sample], str(path))
    _check_kind(chosen, record, str(path))
    counts: Counter[str] = Counter()
    records: list[RecordType] = []
    for where, row in chain(sample, rows):
        counts.update(_columns_of(row, chosen))
        try:
            records.append(to_record(row, chosen, where))  # type: ignore[arg-type]
        except BadRow as error:
            bad_rows.handle(error, row)
    rejects = bad_rows.rejects[rejected_before:]
    if not records:
        raise _nothing_usable(rejects, path)
    return ExampleSet(records, chosen, describe(chosen, counts, len(records) + len(rejects)), rejects)


def _nothing_usable(rejects: Sequence[Reject], path: str | Path) -> DataError:
    hint = f"the first: {rejects[0].reason} ({rejects[0].where})"
    return DataError(f"none of {len(rejects)} rows can be used", where=str(path), hint=hint)


def describe(chosen: Format, counts: Counter[str], num_rows: int) -> str:
    """`saw columns question, answer in 763 rows: question/answer; not read: id`."""
    seen = ", ".join(column for column in counts if column in chosen.reads)
    unread = [column or "(no name)" for column in counts if column not in chosen.reads]
    more = f" and {len(unread) - 8} more" if len(unread) > 8 else ""
    rest = f"; not read: {', '.join(unread[:8])}{more}" if unread else ""
    rows = "row" if num_rows == 1 else "rows"
    return f"saw columns {seen} in {num_rows:,} {rows}: {chosen.name}{rest}"


def _fitting(row: RawRow) -> tuple[str, ...]:
    """Names of the formats of one row.

    A format that needs more columns hides one that needs part of them; plain text is what is nothing else.
    """
    found = {name: set(columns) for name, each in FORMATS.items() if (columns := each.found_in(row))}
    if len(found) > 1:
        found.pop("text", None)
    return tuple(name for name in found if not any(found[name] < other for other in found.values()))


def _columns_of(row: RawRow, chosen: Format) -> Iterable[str]:
    for column, value in row.items():
        if value is None:
            continue
        yield column
        if column in chosen.reads and isinstance(value, list):
            yield from sorted(f"{column}[].{key}" for key in unread_keys(value))


def _all_columns(rows: Iterable[RawRow]) -> RawRow:
    return {column: True for row in rows for column, value in row.items() if value is not None}


def _nearest_hint(columns: RawRow) -> str:
    def closeness(chosen: Format) -> float:
        return sum(_closest(names, columns) for names in chosen.columns) / len(chosen.columns)

    best = max(FORMATS.values(), key=closeness)
    lacking = [" or ".join(names) for names in best.columns if not set(names) & set(columns)]
    lacks = f"lacks {', '.join(lacking)}: rename the column that holds it" if lacking else "has other values"
    return f"nearest is {best.name}, but it {lacks}; --format NAME forces one"


def _closest(names: Iterable[str], columns: Iterable[str]) -> float:
    pairs = ((name, column) for name in names for column in columns)
    return max((difflib.SequenceMatcher(None, *pair).ratio() for pair in pairs), default=0.0)


def _check_kind(chosen: Format, record: type[Record], where: str) -> None:
    if chosen.record is record:
        return
    wanted = [each.name for each in FORMATS.values() if each.record is record]
    hint = f"this needs {', '.join(wanted)}"
    command = COMMANDS.get(chosen.record)
    raise DataError(
        f"holds {chosen.name} rows ({KINDS[chosen.record]}), not {KINDS[record]}",
        where=where,
        hint=f"{hint}; {command} learns from {KINDS[chosen.record]}" if command else hint,
    )


def _text(row: RawRow, place: str) -> Text:
    return Text(text_in(row, "text", place), place)


def _turns_of(column: str) -> Callable[[RawRow, str], Example]:
    def read(row: RawRow, place: str) -> Example:
        conversation = check_ends(turns(row[column], place, column), place, column, "assistant")
        return Example(with_system(row, conversation, place), place)

    return read


def _instruction(row: RawRow, place: str) -> Example:
    """The input, where there is one, follows the instruction after a blank line."""
    context = optional_text(row, "input", place) or optional_text(row, "context", place)
    request = text_in(row, "instruction", place) + (f"\n\n{context}" if context else "")
    answer = text_in(row, "output" if row.get("output") is not None else "response", place)
    exchange = [message("user", request), message("assistant", answer)]
    return Example(with_system(row, exchange, place), place)


def _completion(row: RawRow, place: str) -> Example:
    return Example(read_prompt(row, place) + read_completion(row, place), place)


def _question(row: RawRow, place: str) -> Example:
    """Of several accepted answers the first is the one to learn."""
    if row.get("question") is not None:
        asked = [message("user", text_in(row, "question", place))]
    else:
        asked = check_ends(turns(row["messages"], place, "messages"), place, "messages", "user")
    answer = row["answer"][0] if isinstance(row["answer"], list) and row["answer"] else row["answer"]
    reply = message("assistant", text_in({"answer": answer}, "answer", place))
    return Example(with_system(row, [*asked, reply], place), place)


_PAIR = (("chosen",), ("rejected",))
_COMPLETION = (("prompt",), ("completion",))
FORMATS = {
    each.name: each
    for each in (
        Format("text", Text, _text, (("text",),)),
        Format("messages", Example, _turns_of("messages"), (("messages",),), ("system",)),
        Format("conversations", Example, _turns_of("conversations"), (("conversations",),), ("system",)),
        Format(
            "instruction/input/output", Example, _instruction, (("instruction",), ("output", "response")),
            ("input", "context", "system"),
        ),
        Format("prompt/completion", Example, _completion, _COMPLETION, ("system",)),
        Format("question/answer", Example, _question, (("question", "messages"), ("answer",)), ("system",)),
        Format("prompt/chosen/rejected", Preference, read_preference, _PAIR, ("prompt", "system")),
        Format(
            "prompt/completion/label", Judged, read_judged, (*_COMPLETION, ("label",)), ("system",),
            lambda row: as_verdict(row["label"]) is not None,
        ),
    )
}  # fmt: skip
KINDS: dict[type[Record], str] = {
    Example: "supervised examples",
    Text: "plain text",
    Preference: "preference pairs",
    Judged: "judged completions",
}
COMMANDS: dict[type[Record], str] = {
    Example: "`sartor finetune`",
    Text: "`sartor pretrain`",
    Preference: "`sartor reward` or `sartor dpo`",
    Judged: "`sartor dpo --loss kto`",
}
