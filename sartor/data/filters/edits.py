"""Changing some rows of a table of documents and leaving the others as they are, hashes included."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sartor.data.documents import SCHEMA, text_hash


def replace_rows(documents: pa.Table, name: str, edited: Mapping[int, str | None]) -> pa.Table:
    """The documents with `name` (a column of texts) changed in the rows `edited`; the table itself where none is."""
    if not edited:
        return documents
    column = _replaced(documents[name], edited)
    return documents.set_column(SCHEMA.get_field_index(name), SCHEMA.field(name), column)


def replace_texts(documents: pa.Table, edited: Mapping[int, str]) -> pa.Table:
    """The documents with other texts in the rows `edited`, and those rows' hashes."""
    hashes = {row: text_hash(text) for row, text in edited.items()}
    return replace_rows(replace_rows(documents, "text", edited), "sha256", hashes)


def _replaced(column: pa.ChunkedArray, edited: Mapping[int, str | None]) -> pa.ChunkedArray:
    mask = np.zeros(len(column), np.bool_)
    mask[list(edited)] = True
    values = pa.array([edited[row] for row in sorted(edited)], column.type)
    return pc.replace_with_mask(column, pa.array(mask), values)
