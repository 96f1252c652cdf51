"""Signature files of all shards as one sequence of numbered records, read a column and a batch at a time."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sartor.base.errors import DataError
from sartor.data.duplicates.signatures import METADATA_KEY

BATCH_ROWS = 1 << 17
BAND = "band_"


class SignatureFiles:
    """Records are numbered through all files in the order given. DataError for files that do not belong together."""

    def __init__(self, paths: Sequence[Path]):
        self.paths = list(paths)
        self.starts = [0]
        self.bands: list[str] = []
        stamp: bytes | None = None
        for path in self.paths:
            metadata, schema = _open(path)
            made_with = (schema.metadata or {}).get(METADATA_KEY)
            if made_with is None:
                raise DataError("holds no signatures", where=str(path), hint="make them with this version of Sartor")
            if stamp is not None and made_with != stamp:
                what = f"was made with other settings than {self.paths[0].name}"
                raise DataError(what, where=str(path), hint="make the signatures of all shards with the same settings")
            stamp = made_with
            self.bands = [name for name in schema.names if name.startswith(BAND)]
            self.starts.append(self.starts[-1] + metadata.num_rows)

    @property
    def num_records(self) -> int:
        return self.starts[-1]

    def columns(self, *names: str) -> Iterator[tuple[int, list[np.ndarray]]]:
        """(number of the first record, the columns' values) for batches of all records, in order."""
        for first, batch in self.batches(*names):
            yield first, [column.to_numpy(zero_copy_only=False) for column in batch.columns]

    def batches(self, *names: str) -> Iterator[tuple[int, pa.RecordBatch]]:
        """(number of the first record, batch) of all files, in order."""
        for index in range(len(self.paths)):
            yield from self.batches_of_file(index, *names)

    def batches_of_file(self, index: int, *names: str) -> Iterator[tuple[int, pa.RecordBatch]]:
        """(number of the first record, batch) of one file."""
        first = self.starts[index]
        try:
            # pre_buffer would hold a whole file's columns at once.
            with pq.ParquetFile(self.paths[index], pre_buffer=False) as file:
                for batch in file.iter_batches(BATCH_ROWS, columns=list(names)):
                    yield first, batch
                    first += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise _damaged(self.paths[index], error) from None


def _open(path: Path) -> tuple[pq.FileMetaData, pa.Schema]:
    try:
        with pq.ParquetFile(path) as file:
            return file.metadata, file.schema_arrow
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> DataError:
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return DataError(f"cannot be read as signatures: {reason}", where=str(path), hint="make the signatures again")
