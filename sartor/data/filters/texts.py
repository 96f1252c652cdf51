"""A column of texts as bytes, with what several filters want to know of it, computed once."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sartor.data.documents import TEXT, text_hash
from sartor.data.filters.utf8 import count_characters
from sartor.data.filters.words import Words, find_words


@dataclass(frozen=True)
class Texts:
    """Texts in UTF-8: row i is data[offsets[i] : offsets[i + 1]].

    Words are found only in rows that are `wanted` [rows].
    """

    data: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]
    wanted: npt.NDArray[np.bool_]

    @classmethod
    def of_column(cls, column: pa.ChunkedArray) -> "Texts":
        """The texts of an Arrow column of strings without nulls; not copied where the column is one chunk."""
        array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        if isinstance(array, pa.ChunkedArray):
            array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], TEXT)
        array = array.cast(TEXT)
        _, offsets, data = array.buffers()
        wanted = np.ones(len(array), np.bool_)
        if len(array) == 0:
            return cls(np.zeros(0, np.uint8), np.zeros(1, np.int64), wanted)
        bounds = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
        whole = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(0, np.uint8)
        return cls(whole[bounds[0] : bounds[-1]], bounds - bounds[0], wanted)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def words(self) -> Words:
        return find_words(self.data, self.offsets, self.wanted)

    @cached_property
    def num_words(self) -> npt.NDArray[np.int64]:
        return np.diff(self.words.first)

    @cached_property
    def num_characters(self) -> npt.NDArray[np.int64]:
        """Code points of every text [rows]."""
        return count_characters(self.data, self.offsets)

    def array(self) -> pa.Array:
        """As an Arrow column, sharing the bytes."""
        buffers = [None, pa.py_buffer(self.offsets), pa.py_buffer(self.data)]
        return pa.Array.from_buffers(TEXT, len(self), buffers)


def with_texts(documents: pa.Table, texts: Texts, changed: npt.NDArray[np.bool_]) -> pa.Table:
    """The documents with these texts; hashes are computed again where the text is another."""
    if not changed.any():
        return documents
    column = texts.array()
    hashes = documents["sha256"].to_pylist()
    for row in np.flatnonzero(changed).tolist():
        hashes[row] = text_hash(column[row].as_py())
    table = documents.set_column(documents.schema.get_field_index("text"), documents.schema.field("text"), column)
    index = documents.schema.get_field_index("sha256")
    return table.set_column(index, documents.schema.field("sha256"), pa.array(hashes, TEXT))
