"""What a collected document is: a row of an Arrow table, the same from the collector to the tokenizer.

A folder of documents holds Parquet files of such rows (`document_folder.py`); everything that cleans them works on
tables of a few thousand rows (`filters/step.py`).
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

TEXT = pa.large_string()  # a table of documents may hold more than 2 GB of text

SCHEMA = pa.schema(
    [
        pa.field("id", TEXT, nullable=False),  # names the document within its folder: a URL, path#part, WARC record
        pa.field("text", TEXT, nullable=False),  # what was written; for text/html the page's source, until extracted
        pa.field("media_type", TEXT, nullable=False),  # text/plain, text/markdown, text/html, text/x-python, ...
        pa.field("source", TEXT, nullable=False),  # where it was got from: a URL, or the file's path as it was given
        pa.field("time", TEXT),  # when it was written or fetched, ISO 8601 in UTC; null where unknown
        pa.field("licence", TEXT),  # as the source states it (SPDX identifier where it is one); null where unknown
        pa.field("sha256", TEXT, nullable=False),  # of `text` in UTF-8, as it is in this row
        pa.field("title", TEXT),
        pa.field("language", TEXT),  # ISO 639-1 (639-3 where there is none); null until identified
        pa.field("metadata", TEXT),  # a JSON object with what else the source said; null where it said nothing
    ]
)


def text_hash(text: str) -> str:
    """SHA-256 of the text, in hexadecimal. Lone surrogates, which no UTF-8 file can hold, raise UnicodeEncodeError."""
    return hashlib.sha256(text.encode()).hexdigest()


def documents_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """A table of rows that have at least id, text and source; `sha256` is computed, the rest is null or text/plain."""
    complete = [
        {**dict.fromkeys(SCHEMA.names), "media_type": "text/plain", **row, "sha256": text_hash(row["text"])}
        for row in rows
    ]
    return pa.Table.from_pylist(complete, schema=SCHEMA)


def with_text(documents: pa.Table, text: pa.Array | pa.ChunkedArray) -> pa.Table:
    """The documents with other texts [rows], hashes included."""
    hashes = pa.array([text_hash(value.as_py()) for value in text], TEXT)
    table = documents.set_column(SCHEMA.get_field_index("text"), SCHEMA.field("text"), text)
    return table.set_column(SCHEMA.get_field_index("sha256"), SCHEMA.field("sha256"), hashes)
