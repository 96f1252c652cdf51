"""Which documents are only measured on: rows of one file are many documents, pieces of one text are one."""

from pathlib import Path

import pyarrow as pa
import pytest

from sartor.data.document_folder import DocumentWriter
from sartor.data.documents import documents_table
from sartor.data.filters.segments import segment
from sartor.data.token_shards.source import DocumentSource, is_held_out, open_source
from sartor.recipes.pretrain_held_out import held_out_share


def collected(folder: Path, table: pa.Table) -> DocumentSource:
    with DocumentWriter(folder) as writer:
        writer.add(table)
    return open_source(folder)


def rows(number: int, words: int = 1) -> pa.Table:
    texts = [f"{row} " * words for row in range(number)]
    names = [f"rows.jsonl#{row + 1}" for row in range(number)]
    return documents_table(
        [{"id": name, "text": text, "source": "rows.jsonl"} for name, text in zip(names, texts, strict=True)]
    )


def ids(source: DocumentSource) -> list[str]:
    return [name for table in source.tables(1_000_000) for name in table["id"].to_pylist()]


def test_a_tenth_of_the_rows_of_one_file_is_held_out(tmp_path: Path) -> None:
    source = collected(tmp_path / "rows", rows(60))
    share = held_out_share(source)
    assert share is not None and sum(is_held_out(name, share) for name in ids(source)) == 6


def test_pieces_of_a_row_stay_together(tmp_path: Path) -> None:
    source = collected(tmp_path / "pieces", segment(rows(60, words=200), 150))
    share = held_out_share(source)
    assert share is not None and len(ids(source)) > 120
    held_out = {name.partition("##")[0] for name in ids(source) if is_held_out(name, share)}
    others = {name.partition("##")[0] for name in ids(source) if not is_held_out(name, share)}
    assert (len(held_out), len(others)) == (6, 54)


@pytest.mark.parametrize("number", [0, 1])
def test_of_one_document_there_is_no_share(tmp_path: Path, number: int) -> None:
    assert held_out_share(collected(tmp_path / "few", segment(rows(number, words=200), 150))) is None
