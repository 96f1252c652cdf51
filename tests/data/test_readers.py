"""Files of rows: every kind reads the same rows, and every fault is named with its place and remedy."""

import csv
import datetime
import gzip
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sartor.base.errors import DataError, SartorError
from sartor.data import opening
from sartor.data.bad_rows import BadRow, BadRows
from sartor.data.opening import find_data_file
from sartor.data.readers import read_rows

ROWS = [{"question": "Who, “really”?", "answer": "a\nb"}, {"question": 'say "no"', "answer": "é"}]


def as_json_lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def as_table(rows: list[dict[str, Any]], delimiter: str, end: str = "\r\n") -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter, lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), sink)
    return sink.getvalue()


def zst(content: bytes) -> bytes:
    sink = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


ENCODERS: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {
    ".jsonl": as_json_lines,
    ".ndjson": lambda rows: b"\xef\xbb\xbf" + as_json_lines(rows).replace(b"\n", b"\r\n\r\n"),
    ".json": lambda rows: json.dumps(rows, indent=1).encode(),
    ".csv": lambda rows: as_table(rows, ","),
    ".tsv": lambda rows: b"\xef\xbb\xbf" + as_table(rows, "\t", "\n"),
    ".parquet": as_parquet,
}
PACKERS: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".zst": zst}


@pytest.mark.parametrize("packing", PACKERS)
@pytest.mark.parametrize("extension", ENCODERS)
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, extension: str, packing: str) -> None:
    path = tmp_path / f"rows{extension}{packing}"
    path.write_bytes(PACKERS[packing](ENCODERS[extension](ROWS)))
    assert [row for _, row in read_rows(path)] == ROWS


def test_places_point_at_the_row(tmp_path: Path) -> None:
    def places(name: str, content: bytes) -> list[str]:
        (tmp_path / name).write_bytes(content)
        return [where.removeprefix(f"{tmp_path}/") for where, _ in read_rows(tmp_path / name)]

    assert places("a.jsonl", b'{"a": 1}\n\n  \n{"a": 2}') == ["a.jsonl:1", "a.jsonl:4"]
    assert places("a.csv", b'a,b\n"1\n1",2\n\n3,4\n') == ["a.csv:2", "a.csv:5"]
    assert places("a.json", b'{"data": [{"a": 1}, {"a": 2}]}') == ["a.json: item 1", "a.json: item 2"]
    assert places("lines.json", b'{"a": 1}\n{"a": 2}\n') == ["lines.json:1", "lines.json:2"]
    assert places("a.parquet", as_parquet(ROWS)) == ["a.parquet: row 1", "a.parquet: row 2"]


def test_json_lines_are_streamed(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1}\n' * 3 + b"not json\n")
    rows = read_rows(path)
    assert [next(rows)[1] for _ in range(3)] == [{"a": 1}] * 3
    with pytest.raises(BadRow):
        next(rows)


# name, content, end of `where`, part of what, part of hint
BAD_FILES: list[tuple[str, bytes, str, str, str]] = [
    ("empty.jsonl", b"", "empty.jsonl", "is empty", "written to the end"),
    ("blank.jsonl", b"\n \n", "blank.jsonl", "holds no rows", "written to the end"),
    ("empty.jsonl.gz", gzip.compress(b""), "empty.jsonl.gz", "holds no rows", "written"),
    ("header.csv", b"question,answer\n", "header.csv", "holds no rows", "written"),
    ("none.json", b"[]", "none.json", "holds no rows", "written"),
    ("rows.xlsx", b"PK", "rows.xlsx", "unknown kind", ".jsonl, .ndjson, .json, .csv, .tsv, .parquet"),
    ("broken.jsonl", b'{"a": 1}\n{"a": }\n', ":2", "Expecting value at column 7", "correct the line"),
    ("single.jsonl", b"{'a': 1}\n", ":1", "not JSON", "double quotes"),
    ("list.jsonl", b'[\n{"a": 1}\n]', ":1", "not JSON", "called .json"),
    ("pretty.jsonl", b'{\n"a": 1\n}', ":1", "not JSON", "in one line"),
    ("array.jsonl", b'{"a": 1}\n[1, 2]\n', ":2", "is a list, not an object", "{"),
    ("number.jsonl", b"3\n", ":1", "is `3`, not an object", "{"),
    ("twice.jsonl", b'{"a": 1, "a": 2}\n', ":1", "the key 'a' occurs twice", "correct"),
    ("deep.jsonl", b"[" * 100_000 + b"\n", ":1", "nested too deeply", "correct"),
    ("digits.jsonl", b'{"a": ' + b"1" * 5000 + b"}\n", ":1", "too many digits", "correct"),
    ("half.jsonl", b'{"a": "\\ud83d"}\n', ":1", "surrogate", "correct"),
    (
        "latin.jsonl",
        b'{"a": 1}\n{"a": "caf\xe9"}\n',
        ":2",
        "not UTF-8 text (byte 0xe9 at column 11)",
        "UTF-8",
    ),
    ("wide.jsonl", '{"a": 1}\n'.encode("utf-16"), ":1", "not UTF-8", "UTF-16"),
    ("cut.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 99)[:-9], "cut.jsonl.gz", "cannot be read", "damaged"),
    ("not.jsonl.gz", b'{"a": 1}\n', "not.jsonl.gz", "cannot be read", "damaged"),
    ("cut.jsonl.zst", zst(b'{"a": 1}\n' * 99)[:-3], "cut.jsonl.zst", "cannot be read", "damaged"),
    ("not.jsonl.zst", b'{"a": 1}\n', "not.jsonl.zst", "cannot be read", "damaged"),
    ("broken.json", b'[{"a": 1},\n {"a" 2}]', ":2", "not JSON", "correct"),
    ("object.json", b'{"rows": []}', "object.json", "an object with keys rows", '{"data"'),
    ("text.json", b'"hello"', "text.json", "not a list of rows", '{"data"'),
    ("item.json", b'[{"a": 1}, 7]', ": item 2", "is `7`, not an object", "{"),
    ("latin.json", b'[\n{"a": "caf\xe9"}]', ":2", "not UTF-8", "UTF-8"),
    ("wide.csv", b"a,b\n1,2\n1,2,3\n", ":3", "has 3 cells where the header has 2 columns", "quotes"),
    ("narrow.csv", b'a,b\n"1\n1",2\n3\n', ":4", "has 1 cells where the header has 2 columns", "quotes"),
    ("open.csv", b'a,b\n1,"2\n3,4\n', ":2", "opened and never closed", "close every quote"),
    ("after.csv", b'a,b\n"1"x,2\n', ":2", "not well-formed", "twice"),
    ("same.csv", b"a,b,a\n1,2,3\n", ":1", "two columns are called 'a'", "own name"),
    ("semicolon.csv", b"a;b\n1;2\n", ":1", "separated by semicolons", ".tsv"),
    ("commas.tsv", b"a,b\n1,2\n", ":1", "separated by commas", ".csv"),
    ("latin.csv", b"a,b\n1,2\ncaf\xe9,2\n", ":3", "not UTF-8 text (byte 0xe9 at column 4)", "UTF-8"),
    ("not.parquet", b"hello world", "not.parquet", "not a readable Parquet file", ".jsonl"),
    ("cut.parquet", as_parquet(ROWS)[:-20], "cut.parquet", "Parquet", ".jsonl"),
]


@pytest.mark.parametrize(
    ("name", "content", "where", "what", "hint"), BAD_FILES, ids=[b[0] for b in BAD_FILES]
)
def test_a_bad_file_is_named(
    tmp_path: Path, name: str, content: bytes, where: str, what: str, hint: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        list(read_rows(path))
    error = caught.value
    assert error.where and error.where.startswith(str(path)) and error.where.endswith(where)
    assert what in error.what and "\n" not in error.what
    assert error.hint and hint in error.hint
    assert error.exit_code == 3


def test_paths_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_bytes(b'{"a": 1}\n')
    with pytest.raises(DataError, match="did you mean .*train.jsonl"):
        read_rows(tmp_path / "trian.jsonl")
    with pytest.raises(DataError, match="holds train.jsonl"):
        read_rows(tmp_path / "zz.csv")
    with pytest.raises(DataError, match="give one of its files: train.jsonl"):
        read_rows(tmp_path)
    with pytest.raises(DataError, match="does not exist either"):
        read_rows(tmp_path / "no" / "train.jsonl")
    with pytest.raises(DataError, match="cannot be opened"):
        read_rows(tmp_path / ("x" * 300 + ".jsonl"))
    with pytest.raises(DataError, match="cannot be opened"):
        read_rows("a\0b.jsonl")


def test_a_line_without_end_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "LONGEST_LINE_BYTES", 100)
    (tmp_path / "rows.jsonl").write_bytes(b'{"a": 1}\n{"a": "' + b"x" * 200 + b'"}\n')
    with pytest.raises(DataError, match=r"rows.jsonl:2: the line is too long"):
        list(read_rows(tmp_path / "rows.jsonl"))


SKIPPED = [
    ("rows.jsonl", b'{"a": 1}\nnope\n{"a": "caf\xe9"}\n[]\n{"a": 2}\n', ["nope", '{"a": "caf\\xe9"}', "[]"]),
    ("rows.json", b'[{"a": 1}, 7, {"a": 2}]', [7]),
    ("rows.csv", b'a\n1\n2,2\n"3"3\n\xff\n2\n', ["2,2", '"3"3', "\\xff"]),
]


@pytest.mark.parametrize(("name", "content", "raws"), SKIPPED, ids=[case[0] for case in SKIPPED])
def test_skipped_rows_are_kept_with_their_reason(
    tmp_path: Path, name: str, content: bytes, raws: list[Any]
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    bad_rows = BadRows("skip")
    kept = [row["a"] for _, row in read_rows(path, bad_rows)]
    assert [str(value) for value in kept] == ["1", "2"]
    assert [reject.raw for reject in bad_rows.rejects] == raws
    assert all(reject.where.startswith(f"{path}:") and reject.reason for reject in bad_rows.rejects)
    assert bad_rows.summary().startswith(f"{len(raws)} rows left out: ")


def test_a_parquet_row_that_is_not_utf8_is_skipped_alone(tmp_path: Path) -> None:
    texts = pyarrow.array([b"one", b"\xff", b"three"], pyarrow.binary()).view(pyarrow.utf8())
    pyarrow.parquet.write_table(pyarrow.table({"a": texts}), tmp_path / "rows.parquet")
    bad_rows = BadRows("skip")
    assert [row["a"] for _, row in read_rows(tmp_path / "rows.parquet", bad_rows)] == ["one", "three"]
    assert [reject.where for reject in bad_rows.rejects] == [f"{tmp_path / 'rows.parquet'}: row 2"]


def test_times_in_nanoseconds_need_no_pandas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)  # so that importing it fails
    when, long = 1_700_000_000_123_456_789, 1_500_000_001
    moments = pyarrow.array([when, None], pyarrow.timestamp("ns", "UTC"))
    table = pyarrow.table(
        {
            "a": ["one", "two"],
            "at": moments,
            "took": pyarrow.array([long, None], pyarrow.duration("ns")),
            "clock": pyarrow.array([long, None], pyarrow.time64("ns")),
            "log": pyarrow.array([[when], []], pyarrow.list_(pyarrow.timestamp("ns"))),
            "more": pyarrow.StructArray.from_arrays([moments], ["at"]),
        }
    )
    pyarrow.parquet.write_table(table, tmp_path / "rows.parquet")
    one, two = [row for _, row in read_rows(tmp_path / "rows.parquet")]
    at = datetime.datetime(2023, 11, 14, 22, 13, 20, 123456)
    assert one["at"].replace(tzinfo=None) == at and one["at"].utcoffset() == datetime.timedelta()
    assert (one["a"], one["log"], one["more"]["at"]) == ("one", [at], one["at"])
    assert one["took"] == datetime.timedelta(seconds=1, microseconds=500_000) and one["clock"].microsecond == 500_000
    assert two == {"a": "two", "at": None, "took": None, "clock": None, "log": [], "more": {"at": None}}


def test_skipping_is_offered_where_it_can_be_chosen(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(b"nope\n")
    with pytest.raises(BadRow, match="--on-bad-row skip"):
        list(read_rows(tmp_path / "rows.jsonl", BadRows("stop")))
    with pytest.raises(BadRow) as caught:
        list(read_rows(tmp_path / "rows.jsonl"))
    assert caught.value.hint == "correct the line"


def test_rejects_are_written_whole(tmp_path: Path) -> None:
    bad_rows = BadRows("skip")
    bad_rows.handle(
        BadRow("is empty", place="a.jsonl:3", field="answer", hint="fill it in"), {"answer": "\ud800"}
    )
    bad_rows.handle(BadRow("is odd", place="a.jsonl:9"), "raw \u2028 é")
    bad_rows.write(tmp_path / "rejects.jsonl")
    lines = (tmp_path / "rejects.jsonl").read_bytes().decode("utf-8").split("\n")
    first = {"where": "a.jsonl:3", "field": "answer", "reason": "is empty", "raw": {"answer": "\ud800"}}
    assert json.loads(lines[0]) == first
    assert json.loads(lines[1])["raw"] == "raw \u2028 é"
    assert lines[2:] == [""] and [path.name for path in tmp_path.iterdir()] == ["rejects.jsonl"]
    with pytest.raises(SartorError, match="cannot write"):
        bad_rows.write(tmp_path / "none" / "rejects.jsonl")


def test_one_file_for_a_name(tmp_path: Path) -> None:
    assert find_data_file(tmp_path, "train") is None
    (tmp_path / "train.csv.gz").write_bytes(b"")
    (tmp_path / "train.txt").write_bytes(b"")
    assert find_data_file(tmp_path, "train") == tmp_path / "train.csv.gz"
    (tmp_path / "train.jsonl").write_bytes(b"")
    with pytest.raises(DataError, match="both train.csv.gz and train.jsonl"):
        find_data_file(tmp_path, "train")


@given(
    rows=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), min_size=1), min_size=1)
)
def test_tables_round_trip_any_text(tmp_path_factory: pytest.TempPathFactory, rows: list[str]) -> None:
    written = [{"a": text, "b": "x"} for text in rows]
    path = tmp_path_factory.mktemp("tables") / "rows.csv"
    path.write_bytes(as_table(written, ","))
    assert [row for _, row in read_rows(path)] == written


@given(data=st.data())
def test_damaged_files_lose_nothing_unseen(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Bytes of a good file are overwritten: a line is a row or a reject, or the file is refused by name."""
    extension = data.draw(st.sampled_from([".jsonl", ".json", ".csv", ".parquet", ".jsonl.gz", ".jsonl.zst"]))
    base, _, packing = extension[1:].partition(".")
    content = bytearray(PACKERS["." + packing if packing else ""](ENCODERS["." + base](ROWS * 3)))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / f"rows{extension}"
    path.write_bytes(content)
    bad_rows = BadRows("skip")
    try:
        rows = list(read_rows(path, bad_rows))
    except SartorError as error:
        assert error.where and error.hint and "\n" not in error.what
        return
    if extension == ".jsonl":
        assert len(rows) + len(bad_rows.rejects) == len(
            [line for line in content.split(b"\n") if line.strip()]
        )
