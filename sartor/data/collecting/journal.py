"""The journal of a collection: which items there are, what came of each, and their documents until they are published.

One SQLite file. What is committed survives a kill, and a power cut but for the last moments; the rest is done again.
Every run of the command is a *round*, which stays open until its documents are published; a later round visits
all items again and takes unchanged ones as they are.
"""

import io
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from sartor.base.errors import DataError, SartorError
from sartor.data.collecting.entry import Rejected
from sartor.data.collecting.web.polite import RobotsAnswer

FORMAT = "sartor collection 1"
TABLES = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS items (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, name TEXT NOT NULL,
    source INTEGER NOT NULL, depth INTEGER NOT NULL,
    seen INTEGER NOT NULL,                 -- the last round in which it belonged to the sources
    settled INTEGER NOT NULL DEFAULT 0,    -- the last round in which it was visited to its end
    outcome TEXT, problem TEXT,
    found INTEGER NOT NULL DEFAULT 0, documents INTEGER NOT NULL DEFAULT 0, rejected INTEGER NOT NULL DEFAULT 0,
    left_out TEXT NOT NULL DEFAULT '{}', fingerprint TEXT, etag TEXT, last_modified TEXT
);
CREATE INDEX IF NOT EXISTS items_in_order ON items (source, key);
CREATE TABLE IF NOT EXISTS links (parent INTEGER NOT NULL, child INTEGER NOT NULL, PRIMARY KEY (parent, child));
CREATE TABLE IF NOT EXISTS batches (
    item INTEGER NOT NULL, round INTEGER NOT NULL, number INTEGER NOT NULL, content BLOB NOT NULL,
    PRIMARY KEY (item, round, number)
);
CREATE TABLE IF NOT EXISTS rejects (
    item INTEGER NOT NULL, round INTEGER NOT NULL,
    id TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL, raw TEXT
);
CREATE INDEX IF NOT EXISTS rejects_of_item ON rejects (item, round);
CREATE TABLE IF NOT EXISTS robots (origin TEXT PRIMARY KEY, status TEXT NOT NULL, content TEXT NOT NULL, time REAL);
"""
SMALL_BYTES = 16_384
OF_ITEM = ("batches", "rejects")
NEW, UNCHANGED, KEPT = "new", "unchanged", "kept"
"""Outcomes: visited; as it was; could not be reached, so what was collected earlier stays."""


@dataclass(frozen=True)
class Item:
    """A file, a web address or a part of a data set; `depth` is how many links may be followed from it."""

    number: int
    key: str
    kind: str
    name: str
    source: int
    depth: int
    settled: int
    documents: int
    fingerprint: str | None
    etag: str | None
    last_modified: str | None


COLUMNS = ", ".join(Item.__dataclass_fields__)


@dataclass
class Tally:
    """What came of one item: `found` candidates are documents or rejected."""

    found: int = 0
    documents: int = 0
    rejected: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


class Journal:
    """`path` is the SQLite file; DataError when it is of another program or damaged."""

    def __init__(self, path: Path):
        self.path = path
        try:
            self._database = sqlite3.connect(path, isolation_level=None)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")  # a power cut may undo the last commits, none by half
            self._database.executescript(TABLES)
        except sqlite3.DatabaseError as error:
            hint = "choose another folder, or remove this one and collect again"
            raise DataError(f"is not a readable journal: {error}", where=str(path), hint=hint) from None
        if self.fact("format", FORMAT) != FORMAT:
            raise DataError("is the journal of another version", where=str(path), hint="collect into another folder")
        self.set_fact("format", FORMAT)
        self.round = int(self.fact("round", "0"))

    def fact(self, name: str, default: str) -> str:
        row = self._database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else default

    def set_fact(self, name: str, value: str) -> None:
        self._database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    @property
    def is_open(self) -> bool:
        """Whether a round was begun and not published."""
        return self.fact("open", "no") == "yes"

    def begin_round(self) -> None:
        """Go on with the open round, or begin the next."""
        if not self.is_open:
            with self._transaction():
                self.set_fact("round", str(self.round + 1))
                self.set_fact("open", "yes")
            self.round += 1

    def end_round(self) -> None:
        """The round's documents are published."""
        self.set_fact("open", "no")

    def is_seen(self, key: str) -> bool:
        """Whether an item belongs to this round already."""
        query = "SELECT 1 FROM items WHERE key = ? AND seen = ?"
        return self._database.execute(query, (key, self.round)).fetchone() is not None

    def see(self, key: str, kind: str, name: str, source: int, depth: int = 0) -> bool:
        """Note that an item belongs to this round; whether it was not seen in it before. Of several sources that have
        it, it belongs to the first."""
        if self.is_seen(key):
            self._database.execute("UPDATE items SET source = ? WHERE key = ? AND source > ?", (source, key, source))
            return False
        self._database.execute(
            "INSERT INTO items (key, kind, name, source, depth, seen) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key) "
            "DO UPDATE SET kind = excluded.kind, name = excluded.name, source = excluded.source, "
            "depth = excluded.depth, seen = excluded.seen",
            (key, kind, name, source, depth, self.round),
        )
        return True

    def see_all(self, items: Sequence[tuple[str, str, str, int]]) -> None:
        """`see` for many files at once: (key, kind, name, source)."""
        with self._transaction():
            for item in items:
                self.see(*item)

    def item(self, key: str) -> Item:
        return Item(*self._database.execute(f"SELECT {COLUMNS} FROM items WHERE key = ?", (key,)).fetchone())

    def pending(self, kinds: Sequence[str]) -> Iterator[Item]:
        """Items of this round that are not settled yet, those nearest to the sources first."""
        marks = ", ".join("?" * len(kinds))
        rows = self._database.execute(
            f"SELECT {COLUMNS} FROM items WHERE seen = ? AND settled < ? AND kind IN ({marks}) "
            "ORDER BY depth DESC, source, number",
            (self.round, self.round, *kinds),
        ).fetchall()
        return (Item(*row) for row in rows)

    def count_seen(self, kinds: Sequence[str]) -> int:
        marks = ", ".join("?" * len(kinds))
        query = f"SELECT count(*) FROM items WHERE seen = ? AND kind IN ({marks})"
        return int(self._database.execute(query, (self.round, *kinds)).fetchone()[0])

    def clear_unfinished(self, item: Item) -> None:
        """Forget what an interrupted visit of this round left of an item."""
        with self._transaction():
            for table in OF_ITEM:
                self._database.execute(f"DELETE FROM {table} WHERE item = ? AND round = ?", (item.number, self.round))

    def keep(self, item: Item, number: int, table: pa.Table | None, rejects: Sequence[Rejected]) -> None:
        """A part of what is found in an item; it counts when the item is settled."""
        with self._transaction():
            self._keep(item, number, table, rejects)

    def settle(
        self,
        item: Item,
        tally: Tally,
        last: tuple[int, pa.Table | None, Sequence[Rejected]],
        fingerprint: str | None = None,
        etag: str | None = None,
        last_modified: str | None = None,
        children: Sequence[tuple[str, str, int]] = (),
    ) -> list[Item]:
        """The item was visited to its end: its last part, its facts and the addresses found in it, (kind, key, depth),
        become valid together, and what earlier rounds had of it goes. The children that are new are returned."""
        with self._transaction():
            self._keep(item, *last)
            for table in OF_ITEM:
                self._database.execute(f"DELETE FROM {table} WHERE item = ? AND round < ?", (item.number, self.round))
            self._database.execute(
                "UPDATE items SET settled = ?, outcome = ?, problem = NULL, found = ?, documents = ?, rejected = ?, "
                "left_out = ?, fingerprint = ?, etag = ?, last_modified = ? WHERE number = ?",
                (self.round, NEW, tally.found, tally.documents, tally.rejected, json.dumps(tally.left_out))
                + (fingerprint, etag, last_modified, item.number),
            )
            self._database.execute("DELETE FROM links WHERE parent = ?", (item.number,))
            return [child for child in (self._link(item, *each) for each in children) if child is not None]

    def leave(self, item: Item, outcome: str, problem: str | None = None) -> list[Item]:
        """What an earlier round found in the item stays, with the addresses found in it, of which the new ones are
        returned."""
        query = f"SELECT {COLUMNS} FROM items WHERE number IN (SELECT child FROM links WHERE parent = ?)"
        with self._transaction():
            self._database.execute(
                "UPDATE items SET settled = ?, outcome = ?, problem = ? WHERE number = ?",
                (self.round, outcome, problem, item.number),
            )
            children = [Item(*row) for row in self._database.execute(query, (item.number,)).fetchall()]
            return [
                child for child in children if self.see(child.key, child.kind, child.name, item.source, child.depth)
            ]

    def has_links(self, item: Item) -> bool:
        """Whether addresses were found in the item when it was last read."""
        query = "SELECT 1 FROM links WHERE parent = ? LIMIT 1"
        return self._database.execute(query, (item.number,)).fetchone() is not None

    def forget_unseen(self) -> int:
        """Remove what does not belong to the sources any more; how many documents went."""
        where = "SELECT number FROM items WHERE seen < ?"
        with self._transaction():
            query = "SELECT coalesce(sum(documents), 0) FROM items WHERE seen < ?"
            gone = int(self._database.execute(query, (self.round,)).fetchone()[0])
            for table in OF_ITEM:
                self._database.execute(f"DELETE FROM {table} WHERE item IN ({where})", (self.round,))
            self._database.execute(f"DELETE FROM links WHERE parent IN ({where})", (self.round,))
            self._database.execute("DELETE FROM items WHERE seen < ?", (self.round,))
        return gone

    def tables(self) -> Iterator[pa.Table]:
        """All documents, by source, then by key: the order does not depend on when an item was visited."""
        cursor = self._database.execute(
            "SELECT content FROM items JOIN batches ON item = items.number ORDER BY source, key, batches.number"
        )
        for (content,) in cursor:
            yield pa.ipc.open_stream(content).read_all()

    def rejects(self) -> Iterator[dict[str, Any]]:
        """Everything that could not be read, in the same order."""
        cursor = self._database.execute(
            "SELECT name, id, reason, detail, raw FROM items JOIN rejects ON item = items.number "
            "ORDER BY source, key, rejects.rowid"
        )
        for name, id, reason, detail, raw in cursor:
            row = {"item": name, "id": id, "reason": reason, "detail": detail}
            yield row | ({"raw": raw} if raw is not None else {})

    def outcomes(self) -> Iterator[tuple[str, str, str | None, int, int, int, dict[str, int]]]:
        """(name, outcome, problem, found, documents, rejected, left out by kind) of every settled item."""
        query = "SELECT name, outcome, problem, found, documents, rejected, left_out FROM items WHERE settled = ?"
        for *facts, left_out in self._database.execute(query, (self.round,)):
            yield (*facts, json.loads(left_out))

    def has_new_documents(self) -> bool:
        """Whether documents were read in this round, and not only found unchanged."""
        query = "SELECT 1 FROM items WHERE settled = ? AND outcome = ? AND documents > 0 LIMIT 1"
        return bool(self._database.execute(query, (self.round, NEW)).fetchall())

    def reasons(self) -> Counter[str]:
        return Counter(dict(self._database.execute("SELECT reason, count(*) FROM rejects GROUP BY reason").fetchall()))

    def robots(self, origin: str) -> RobotsAnswer | None:
        row = self._database.execute("SELECT status, content, time FROM robots WHERE origin = ?", (origin,)).fetchone()
        return RobotsAnswer(*row) if row else None

    def keep_robots(self, origin: str, answer: RobotsAnswer) -> None:
        values = (origin, answer.status, answer.text, answer.time)
        self._database.execute("INSERT OR REPLACE INTO robots VALUES (?, ?, ?, ?)", values)

    def close(self) -> None:
        """What is in the log beside the file goes into the file."""
        self._database.close()

    def _keep(self, item: Item, number: int, table: pa.Table | None, rejects: Sequence[Rejected]) -> None:
        if table is not None and table.num_rows:
            values = (item.number, self.round, number, _packed(table))
            self._database.execute("INSERT INTO batches VALUES (?, ?, ?, ?)", values)
        self._database.executemany(
            "INSERT INTO rejects VALUES (?, ?, ?, ?, ?, ?)",
            [(item.number, self.round, each.id, each.reason, each.detail, each.raw) for each in rejects],
        )

    def _link(self, parent: Item, kind: str, key: str, depth: int) -> Item | None:
        is_new = self.see(key, kind, key, parent.source, depth)
        child = self.item(key)
        self._database.execute("INSERT OR IGNORE INTO links VALUES (?, ?)", (parent.number, child.number))
        return child if is_new else None

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._database, self.path)


class _Transaction:
    """All or nothing; a full disk becomes an error that says so."""

    def __init__(self, database: sqlite3.Connection, path: Path):
        self._database, self._path = database, path

    def __enter__(self) -> None:
        self._database.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        try:
            self._database.execute("COMMIT" if kind is None else "ROLLBACK")
        except sqlite3.Error as problem:
            error = problem
        if isinstance(error, sqlite3.OperationalError):
            hint = "make space or mend the disk, then run the same command again: it goes on"
            raise SartorError(f"the journal cannot be written: {error}", where=str(self._path), hint=hint) from None


def _packed(table: pa.Table) -> bytes:
    """The table as an Arrow stream; compressed, unless it is so small that setting up the compression costs more."""
    options = pa.ipc.IpcWriteOptions(compression="zstd" if table.nbytes > SMALL_BYTES else None)
    buffer = io.BytesIO()
    with pa.ipc.new_stream(buffer, table.schema, options=options) as writer:
        writer.write_table(table)
    return buffer.getvalue()
