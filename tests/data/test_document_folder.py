import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sartor.base.errors import DataError, UsageError
from sartor.data import document_file
from sartor.data.document_file import text_bytes
from sartor.data.document_folder import MANIFEST, DocumentFolder, DocumentWriter
from sartor.data.documents import SCHEMA, documents_table


def documents(*lengths: int) -> pa.Table:
    return documents_table(
        {"id": f"d{number}", "text": "é" * (length // 2) + "x" * (length % 2), "source": "s"}
        for number, length in enumerate(lengths)
    )


def write(path, *tables, **options):
    with DocumentWriter(path, **options) as writer:
        for table in tables:
            writer.add(table)
    return DocumentFolder.open(path)


def test_what_is_written_is_read_in_order(tmp_path):
    table = documents(5, 0, 7, 3)
    folder = write(tmp_path, table)
    assert (folder.num_documents, folder.num_bytes) == (4, 15)
    assert pa.concat_tables(folder.tables()).equals(table)
    assert [file.name for file in folder.files] == ["documents/00000.parquet"]
    assert folder.files[0].file_bytes == (tmp_path / folder.files[0].name).stat().st_size


def test_tables_are_bounded(tmp_path):
    folder = write(tmp_path, documents(4, 4, 4, 30, 1, 0, 2))
    assert [(part.num_rows, text_bytes(part)) for part in folder.tables(max_bytes=10)] == [
        (2, 8),
        (1, 4),
        (1, 30),
        (3, 3),
    ]


def test_files_and_row_groups_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(document_file, "TABLE_BYTES", 10)
    monkeypatch.setattr(document_file, "TABLE_ROWS", 3)
    folder = write(tmp_path, documents(0, 0, 0, 0, 6, 5, 9, 40, 1), max_file_bytes=25)
    assert [(file.rows, file.text_bytes) for file in folder.files] == [(7, 20), (1, 40), (1, 1)]
    first = pq.ParquetFile(tmp_path / folder.files[0].name).metadata
    assert [first.row_group(group).num_rows for group in range(first.num_row_groups)] == [3, 2, 1, 1]


def test_the_files_do_not_depend_on_the_tables(tmp_path, monkeypatch):
    monkeypatch.setattr(document_file, "TABLE_BYTES", 10)
    table = documents(0, 12, 3, 3, 3, 3, 0, 8, 11, 2)
    whole = write(tmp_path / "whole", table, max_file_bytes=20)
    rows = write(tmp_path / "rows", *[table.slice(row, 1) for row in range(table.num_rows)], max_file_bytes=20)
    odd = write(tmp_path / "odd", table.slice(0, 3), table.slice(3, 0), table.slice(3), max_file_bytes=20)
    assert whole.files == rows.files == odd.files
    assert len(whole.files) > 2


def test_a_folder_is_complete_or_not_one(tmp_path):
    with pytest.raises(DataError, match="there is no such folder"):
        DocumentFolder.open(tmp_path / "nowhere")
    writer = DocumentWriter(tmp_path)
    writer.add(documents(3))
    with pytest.raises(DataError, match="not a complete folder"):
        DocumentFolder.open(tmp_path)
    again = write(tmp_path, documents(1, 2))  # over what the first one left
    assert again.num_documents == 2
    with pytest.raises(UsageError, match="already"):
        DocumentWriter(tmp_path)
    assert write(tmp_path / "empty").num_documents == 0


def test_an_exception_leaves_no_file_under_its_name(tmp_path):
    with pytest.raises(RuntimeError), DocumentWriter(tmp_path) as writer:
        writer.add(documents(3))
        raise RuntimeError
    assert not list(tmp_path.rglob("*.parquet*"))


@pytest.mark.parametrize("damage", ["missing", "short", "flipped", "manifest"])
def test_damage_is_named(tmp_path, damage):
    folder = write(tmp_path, documents(3000, 50))
    file = tmp_path / folder.files[0].name
    content = file.read_bytes()
    if damage == "missing":
        file.unlink()
    elif damage == "short":
        file.write_bytes(content[:-1])
    elif damage == "flipped":
        file.write_bytes(content[:50] + bytes([content[50] ^ 1]) + content[51:])
    else:
        (tmp_path / MANIFEST).write_text("{")
    with pytest.raises(DataError, match="documents.json" if damage == "manifest" else "00000.parquet"):
        list(DocumentFolder.open(tmp_path).tables())


def test_other_tables_and_formats_are_refused(tmp_path):
    with pytest.raises(DataError, match="missing columns text"):
        write(tmp_path, documents(3).drop_columns(["text"]))
    narrow = pa.schema([field.with_type(pa.string()) for field in SCHEMA])
    assert write(tmp_path, documents(3).cast(narrow)).num_documents == 1  # the same columns in a narrower type
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    (tmp_path / MANIFEST).write_text(json.dumps(manifest | {"format": "sartor documents 9"}))
    with pytest.raises(DataError, match="another format"):
        DocumentFolder.open(tmp_path)


def test_a_file_that_cannot_be_put_in_place_is_said_and_leaves_nothing(tmp_path):
    writer = DocumentWriter(tmp_path)
    writer.add(documents(3))
    writer._writer.path = tmp_path / "documents" / "gone" / "00000.parquet"  # the place went away: rename fails
    with pytest.raises(Exception, match="cannot write"):
        writer.close()
    assert not list(tmp_path.rglob("*.part"))
