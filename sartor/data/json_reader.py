"""Rows from JSON Lines and JSON files."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from sartor.base.errors import DataError
from sartor.data.bad_rows import BadRow, BadRows
from sartor.data.opening import BYTE_ORDER_MARK, decode, not_utf8, numbered_lines, opened

Row = dict[str, Any]


def read_json_lines(path: Path, bad_rows: BadRows) -> Iterator[tuple[str, Row]]:
    """One object a line, streamed; a line that is no object is a bad row."""
    with opened(path) as stream:
        for number, line in numbered_lines(stream, path):
            try:
                text = decode(line, f"{path}:{number}")
                if text.strip():
                    yield f"{path}:{number}", _json_row(text, f"{path}:{number}")
            except BadRow as error:
                bad_rows.handle(error, line.decode("utf-8", "backslashreplace").rstrip("\r\n"))


def read_json(path: Path, bad_rows: BadRows) -> Iterator[tuple[str, Row]]:
    """A list of objects, or {"data": [...]}, read whole; a file with one object a line is read as such."""
    with opened(path) as stream:
        content = stream.read().removeprefix(BYTE_ORDER_MARK)
    try:
        document = _parse_json(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise not_utf8(content, f"{path}:{line}") from None
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and _first_line_is_a_row(content):
            yield from read_json_lines(path, bad_rows)
            return
        what = f"is not JSON: {error.msg} at column {error.colno}"
        raise DataError(what, where=f"{path}:{error.lineno}", hint=_file_hint(error.doc)) from None
    except (ValueError, RecursionError) as error:
        what = f"is not usable JSON: {_reason(error)}"
        raise DataError(what, where=str(path), hint="correct the file") from None
    for number, item in enumerate(_items(document, path), start=1):
        place = f"{path}: item {number}"
        try:
            yield place, _checked_row(item, place)
        except BadRow as error:
            bad_rows.handle(error, item)


def _items(document: Any, path: Path) -> list[Any]:
    if isinstance(document, dict) and isinstance(document.get("data"), list):
        document = document["data"]
    if isinstance(document, list):
        return document
    is_object = isinstance(document, dict)
    found = f"an object with {_listed(document)}" if is_object else f"a {type(document).__name__}"
    hint = 'write a list of rows, [{…}, {…}], or {"data": [{…}]}; one object a line is called .jsonl'
    raise DataError(f"is {found}, not a list of rows", where=str(path), hint=hint)


def _json_row(text: str, place: str) -> Row:
    try:
        row = _parse_json(text)
    except json.JSONDecodeError as error:
        what = f"is not JSON: {error.msg} at column {error.colno}"
        raise BadRow(what, place=place, hint=_line_hint(text)) from None
    except (ValueError, RecursionError) as error:
        raise BadRow(f"is not usable JSON: {_reason(error)}", place=place, hint="correct the row") from None
    return _checked_row(row, place)


def _checked_row(row: Any, place: str) -> Row:
    if not isinstance(row, dict):
        kind = "a list" if isinstance(row, list) else f"`{str(row)[:40]}`"
        what = f"is {kind}, not an object with named fields"
        raise BadRow(what, place=place, hint='write {"question": "…", …}')
    return row


def _parse_json(text: str) -> Any:
    document = json.loads(text, object_pairs_hook=_object)
    if re.search(r"\\u[dD][89a-fA-F]", text):
        try:
            json.dumps(document, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError("half of a surrogate pair (\\ud800 to \\udfff) stands alone") from None
    return document


def _object(pairs: list[tuple[str, Any]]) -> Row:
    row = dict(pairs)
    if len(row) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key '{twice}' occurs twice")
    return row


def _file_hint(text: str) -> str:
    if "{'" in text[:100]:
        return "JSON wants double quotes around names and texts"
    return "correct the file; one with an object a line is called .jsonl"


def _line_hint(text: str) -> str:
    if text.startswith("["):
        return "a list of rows in one file is called .json; in .jsonl every line is one object"
    if text.startswith("{'"):
        return "JSON wants double quotes around names and texts"
    if text.strip() == "{":
        return "in .jsonl every row stands in one line; a list of rows is called .json"
    return "correct the line"


def _first_line_is_a_row(content: bytes) -> bool:
    with suppress(ValueError):
        return isinstance(json.loads(content.split(b"\n", 1)[0]), dict)
    return False


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return "a number has too many digits" if "digits" in str(error) else str(error)


def _listed(row: Row) -> str:
    return f"keys {', '.join(list(row)[:5])}" if row else "no keys"
