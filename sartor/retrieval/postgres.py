"""The knowledge store in a PostgreSQL database with pgvector: the same promises as the file, for several machines.

What a search needs is computed by the server: nothing is kept here that could be out of date.
"""

import hashlib
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from sartor.data.extract import Document
from sartor.retrieval.filters import checked, field_rows
from sartor.retrieval.fusion import Candidates
from sartor.retrieval.postgres_schema import candidates_query, prepare_tables
from sartor.retrieval.postgres_server import Address
from sartor.retrieval.protocol import TextEmbedder, Where
from sartor.retrieval.query import search_words
from sartor.retrieval.store import Prepared, StoredChunk
from sartor.retrieval.store_facts import StoreFacts
from sartor.retrieval.terms import Terms

if TYPE_CHECKING:
    import psycopg

Row = tuple[Any, ...]


class PostgresStore(StoreFacts):
    """One store in one database (or in the schema that `?options=-csearch_path%3DNAME,public` of the address names).

    Usable from several threads (which take turns) and next to other processes; a write is whole and durable when it
    returns, or it never was. Writers take turns. NUL, which PostgreSQL cannot hold, is kept as U+FFFD.
    """

    kind = "database"

    def __init__(self, url: str, create: bool = False):
        """Connect; with `create` missing tables are made.

        UsageError for what is no address and where there is no store; SartorError when the server does not answer.
        """
        self.address = Address(url)
        self._lock = threading.RLock()
        self._inside = False
        self._terms = Terms()
        self._connection = self._connect(create)

    def _connect(self, create: bool) -> "psycopg.Connection[Any]":
        connection = self.address.connect()
        try:
            with self.address.named_errors():
                prepare_tables(connection, self.address.shown, create)
        except BaseException:
            connection.close()
            raise
        return connection

    @property
    def location(self) -> str:
        return self.address.shown

    def close(self) -> None:
        self._connection.close()
        self._terms.close()

    def __enter__(self) -> "PostgresStore":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # --- writing ------------------------------------------------------------------------------------------------------

    def write(self, prepared: Sequence[Prepared], embedder: TextEmbedder) -> None:
        """Add or replace documents, all of them in one transaction."""
        for item in prepared:
            item.require_vectors(embedder.dimension)
        with self._writing():
            self._keep_embedder(embedder)
            self._delete([item.document.id for item in prepared])
            for item in prepared:
                self._insert(item)

    def remove(self, document_ids: Sequence[str]) -> None:
        """Remove documents and all that was made of them, in one transaction; unknown ids are no error."""
        with self._writing():
            self._delete(document_ids)

    def _insert(self, item: Prepared) -> None:
        document = item.document
        texts = tuple(map(_storable, (document.id, document.title, document.path, document.sha256, item.chunking)))
        self._execute(
            "INSERT INTO sartor_documents (id, title, path, sha256, chunking, metadata, fields, text) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s::jsonb, %s)",
            (*texts, json.dumps(document.metadata), _fields(document), _storable(document.text)),
        )
        for position, (chunk, vector) in enumerate(zip(item.chunks, item.vectors, strict=True)):
            terms = self._terms.count(f"{chunk.title}\n{chunk.text}")
            values = (chunk.start, chunk.end, _storable(chunk.title), _storable(chunk.text), terms.total())
            ((id,),) = self._execute(
                'INSERT INTO sartor_chunks (document_id, position, "start", "end", title, text, num_terms, '
                "sha256, vector) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s::vector) RETURNING id",
                (texts[0], position, *values, _hash(chunk.embedded), _as_vector(vector)),
            )
            self._execute(
                "INSERT INTO sartor_terms (term, chunk_id, count) "
                "SELECT term, %s, count FROM unnest(%s::text[], %s::integer[]) AS counted (term, count)",
                (id, list(terms), list(terms.values())),
            )

    def _delete(self, document_ids: Sequence[str]) -> None:
        self._execute(
            "DELETE FROM sartor_documents WHERE id = ANY (%s::text[])", ([_storable(id) for id in document_ids],)
        )

    # --- reading ------------------------------------------------------------------------------------------------------

    def fingerprints(self) -> dict[str, tuple[str, str]]:
        """For every document id its hash and how it was cut."""
        with self.reading():
            rows = self._execute("SELECT id, sha256, chunking FROM sartor_documents ORDER BY id")
        return {id: (sha256, chunking) for id, sha256, chunking in rows}

    def document(self, document_id: str) -> Document | None:
        columns = "id, title, text, path, sha256, metadata"
        with self.reading():
            rows = self._execute(f"SELECT {columns} FROM sartor_documents WHERE id = %s", (_storable(document_id),))
        if not rows:
            return None
        id, title, text, path, sha256, metadata = rows[0]
        return Document(id, title, text, path, sha256, json.loads(metadata))

    def count_chunks(self) -> int:
        with self.reading():
            return int(self._execute("SELECT count(*) FROM sartor_chunks")[0][0])

    def chunks(self, ids: Sequence[int]) -> dict[int, StoredChunk]:
        """The chunks with these ids."""
        columns = 'id, document_id, position, "start", "end", title, text'
        with self.reading():
            rows = self._execute(
                f"SELECT {columns} FROM sartor_chunks WHERE id = ANY (%s::bigint[])", ([int(id) for id in ids],)
            )
        return {row[0]: StoredChunk(*row) for row in rows}

    def document_ids(self, chunk_ids: Sequence[int]) -> list[str]:
        """The document of each of these chunks."""
        found = self.chunks(chunk_ids)
        return [found[int(id)].document_id for id in chunk_ids]

    def fields(self) -> dict[str, int]:
        """What a filter may name, with the number of documents that have it."""
        with self.reading():
            rows = self._execute(
                "SELECT field, count(*) FROM sartor_documents, jsonb_object_keys(fields) AS field GROUP BY field"
            )
        return {str(field): int(count) for field, count in rows}

    def vectors_of(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """The vectors that are stored for embedded texts."""
        by_hash = {_hash(text): text for text in texts}
        with self.reading():
            rows = self._execute(
                "SELECT DISTINCT ON (sha256) sha256, vector::text FROM sartor_chunks WHERE sha256 = ANY (%s::text[]) "
                "ORDER BY sha256, id",
                (list(by_hash),),
            )
        return {by_hash[sha256]: np.array(json.loads(vector), dtype=np.float32) for sha256, vector in rows}

    def candidates(
        self, queries: Sequence[str], vectors: np.ndarray, depth: int, where: Where | None = None
    ) -> list[Candidates]:
        """For every query the union of the `depth` best by full text and by vectors among the chunks that `where`
        allows, with both scores."""
        condition, parameters = _condition(where or {})
        statement = candidates_query(bool(where)).replace("{condition}", condition)
        with self.reading():
            totals = {"chunks": int(self._meta("chunks") or 0), "all_terms": max(1, int(self._meta("terms") or 0))}
            found = []
            for query, vector in zip(queries, vectors, strict=True):
                terms = [term for word in search_words(query) for term in self._terms.count(word)]
                asked = {"terms": terms, "vector": _as_vector(vector), "depth": depth}
                found.append(_candidates(self._execute(statement, parameters | totals | asked)))
        return found

    def problems(self) -> list[str]:
        """What is wrong with the store, [] when it is sound: passages against documents, words against passages,
        vectors, totals."""
        checks = (
            (
                "passages that differ from their document",
                "SELECT count(*) FROM sartor_chunks chunk JOIN sartor_documents document ON document.id = document_id "
                'WHERE substr(document.text, "start" + 1, "end" - "start") <> chunk.text',
            ),
            (
                "passages whose words are not counted as they should be",
                "SELECT count(*) FROM sartor_chunks WHERE num_terms <> "
                "(SELECT coalesce(sum(count), 0) FROM sartor_terms WHERE chunk_id = sartor_chunks.id)",
            ),
            (
                "vectors of a wrong size",
                "SELECT count(*) FROM sartor_chunks WHERE vector_dims(vector)::text <> "
                "(SELECT value FROM sartor_meta WHERE key = 'dimension')",
            ),
            (
                "totals that are not those of the passages",
                "SELECT count(*) FROM sartor_meta, (SELECT count(*) AS chunks, coalesce(sum(num_terms), 0) AS terms "
                "FROM sartor_chunks) AS real WHERE (key = 'chunks' AND value <> real.chunks::text) "
                "OR (key = 'terms' AND value <> real.terms::text)",
            ),
        )
        with self.reading():
            counts = [(what, int(self._execute(check)[0][0])) for what, check in checks]
        return [f"{count} {what}" for what, count in counts if count]

    # --- transactions -------------------------------------------------------------------------------------------------

    @contextmanager
    def reading(self) -> Iterator[None]:
        """All reads inside see one state of the store."""
        with self._transaction("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "COMMIT"):
            yield

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction. Its first step is one that only one writer can take at a time."""
        with self._transaction("BEGIN", "COMMIT"):
            self._execute("UPDATE sartor_meta SET value = (value::bigint + 1)::text WHERE key = 'generation'")
            yield
            self._execute(
                "UPDATE sartor_meta SET value = CASE key WHEN 'chunks' THEN (SELECT count(*) FROM sartor_chunks) "
                "ELSE (SELECT coalesce(sum(num_terms), 0) FROM sartor_chunks) END::text "
                "WHERE key IN ('chunks', 'terms')"
            )

    @contextmanager
    def _transaction(self, begin: str, end: str) -> Iterator[None]:
        """The outermost one counts; after a lost connection it begins on a new one."""
        with self._lock, self.address.named_errors():
            if self._inside:
                yield
                return
            self._begin(begin)
            self._inside = True
            try:
                yield
                self._connection.execute(end)
            except BaseException:
                if not self._connection.closed:
                    self._connection.execute("ROLLBACK")
                raise
            finally:
                self._inside = False

    def _begin(self, begin: str) -> None:
        import psycopg

        try:
            self._connection.execute(begin)
        except psycopg.OperationalError:
            if not self._connection.closed:
                raise
            self._connection = self._connect(create=False)
            self._connection.execute(begin)

    def _execute(self, statement: str, parameters: Any = None) -> list[Row]:
        cursor = self._connection.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []

    def _meta(self, key: str) -> str | None:
        rows = self._execute("SELECT value FROM sartor_meta WHERE key = %s", (key,))
        return str(rows[0][0]) if rows else None

    def _set_meta(self, key: str, value: str) -> None:
        self._execute(
            "INSERT INTO sartor_meta VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (key, value),
        )


def _candidates(rows: Sequence[Row]) -> Candidates:
    ids, lexical, dense = zip(*rows, strict=True) if rows else ((), (), ())
    return Candidates(np.array(ids, dtype=np.int64), np.array(lexical, dtype=float), np.array(dense, dtype=float))


def _condition(where: Where) -> tuple[str, dict[str, Any]]:
    """A filter as SQL over `document`, and its parameters."""
    parameters: dict[str, Any] = {}
    conditions = []
    for number, (name, keys) in enumerate(checked(where).items()):
        parameters |= {f"field{number}": _storable(name), f"keys{number}": list(map(_storable, keys))}
        conditions.append(f"document.fields ->> %(field{number})s = ANY (%(keys{number})s::text[])")
    return " AND ".join(conditions), parameters


def _fields(document: Document) -> str:
    """What filters look at, as JSON."""
    return json.dumps({_storable(name): _storable(key) for name, key in field_rows(document.metadata)})


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _storable(text: str) -> str:
    return text.replace("\0", "\ufffd")


def _as_vector(vector: np.ndarray) -> str:
    return "[" + ",".join(map(repr, vector.astype(np.float32).tolist())) + "]"
