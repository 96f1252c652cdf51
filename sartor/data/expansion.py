"""Unpacking that stops when a small file turns out to be endless (a "zip bomb")."""

import io
from typing import BinaryIO

from sartor.base.durable import format_bytes
from sartor.base.errors import DataError

HARMLESS_BYTES = 100_000_000  # below this, how much a file grows does not matter
MOST_TIMES_LARGER = 200  # text packs 3 to 10 times; tables of repeated rows about 100 times


class BoundedExpansion(io.RawIOBase):
    """The bytes of `unpacked`, which unpacks `packed` as it is read. DataError as soon as more than
    `HARMLESS_BYTES` came out that are more than `MOST_TIMES_LARGER` times what went in."""

    def __init__(self, unpacked: BinaryIO, packed: BinaryIO, where: str):
        self._unpacked, self._packed, self._where = unpacked, packed, where
        self._seen = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        data = self._unpacked.read(len(buffer))
        buffer[: len(data)] = data
        self._seen += len(data)
        if self._seen > HARMLESS_BYTES and self._seen > MOST_TIMES_LARGER * self._packed.tell():
            raise DataError(
                f"unpacks to more than {MOST_TIMES_LARGER} times its size ({format_bytes(self._seen)} so far)",
                where=self._where,
                hint="this may be a bomb; if you trust it, unpack it yourself",
            )
        return len(data)

    def close(self) -> None:
        self._unpacked.close()
        super().close()
