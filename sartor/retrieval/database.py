"""A SQLite file that survives crashes: how it is opened, and what its errors mean to a person."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from sartor.base.errors import DataError, SartorError

FIRST_SAFE_WRITE_AHEAD_LOG = (3, 51, 3)
BUSY_SECONDS = 30.0
PRAGMAS = (
    "mmap_size = 0",
    "trusted_schema = OFF",
    "foreign_keys = ON",
    "synchronous = FULL",
    "cache_size = -65536",
    "secure_delete = ON",  # what is deleted is overwritten with zeros
)
Upgrades = Mapping[int, Callable[[sqlite3.Connection], None]]


def journal_mode(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> str:
    """The journal that is safe in this SQLite: before 3.51.3 a write-ahead log can corrupt the file when it
    is reset.
    """
    return "WAL" if version >= FIRST_SAFE_WRITE_AHEAD_LOG else "TRUNCATE"


def open_database(
    path: Path, schema: Sequence[str], application_id: int, version: int, upgrades: Upgrades
) -> sqlite3.Connection:
    """A connection to `path`, whose tables are made in one transaction when the file is new, and brought to this
    version in one when `upgrades` knows how (version to what makes it the next).

    Transactions are the caller's (`BEGIN`, `COMMIT`); a commit is durable when it returns; no memory mapping.
    DataError when the file is something else or of another schema version.
    """
    with named_errors(path):
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            for pragma in (*PRAGMAS, f"journal_mode = {journal_mode()}"):
                connection.execute(f"PRAGMA {pragma}")
            _require_schema(connection, path, schema, application_id, version)
            _upgrade(connection, version, upgrades)
            _require_version(connection, path, version)
        except BaseException:
            connection.close()
            raise
    return connection


def _require_schema(
    connection: sqlite3.Connection, path: Path, schema: Sequence[str], application_id: int, version: int
) -> None:
    if _is_new(connection):
        connection.execute("BEGIN IMMEDIATE")
        if _is_new(connection):  # no other process was quicker
            marks = (f"PRAGMA application_id = {application_id}", f"PRAGMA user_version = {version}")
            for statement in (*schema, *marks):
                connection.execute(statement)
        connection.execute("COMMIT")
    if connection.execute("PRAGMA application_id").fetchone()[0] != application_id:
        raise DataError("a database, but not a knowledge store", where=str(path), hint="name another file")


def _upgrade(connection: sqlite3.Connection, version: int, upgrades: Upgrades) -> None:
    """One transaction for the whole way; another process may have gone it meanwhile."""
    if _version(connection) == version or _version(connection) not in upgrades:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        while (found := _version(connection)) in upgrades:
            upgrades[found](connection)
            connection.execute(f"PRAGMA user_version = {found + 1}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _require_version(connection: sqlite3.Connection, path: Path, version: int) -> None:
    found = _version(connection)
    if found != version:
        raise DataError(
            f"made by another version of Sartor (schema {found}, this one reads {version})",
            where=str(path),
            hint="index the documents into a new file",
        )


def _is_new(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """What goes wrong with the file itself as a SartorError; mistakes in the SQL stay what they are."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise DataError(
                f"damaged, or not a knowledge store: {error}",
                where=str(path),
                hint="restore it from a copy, or index the documents into a new file",
            ) from error
        hint = HINTS.get(code)
        if hint is None:
            raise
        raise SartorError(f"cannot use the knowledge store: {error}", where=str(path), hint=hint) from error


HINTS = {
    sqlite3.SQLITE_BUSY: "another process is writing to it; try again when that is done",
    sqlite3.SQLITE_LOCKED: "another process is writing to it; try again when that is done",
    sqlite3.SQLITE_FULL: "make space on the disk; what was written before is untouched",
    sqlite3.SQLITE_IOERR: "check that the disk is healthy; what was written before is untouched",
    sqlite3.SQLITE_READONLY: "make the file and its folder writable",
    sqlite3.SQLITE_CANTOPEN: "check that the folder exists and the file may be read and written",
    sqlite3.SQLITE_PERM: "check that the file may be read and written",
    sqlite3.SQLITE_AUTH: "check that the file may be read and written",
}
