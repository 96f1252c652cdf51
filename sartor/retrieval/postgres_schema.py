"""The tables of a knowledge store in PostgreSQL, and the search as SQL."""

from typing import TYPE_CHECKING, Any

from sartor.base.errors import DataError, SartorError, UsageError

if TYPE_CHECKING:
    import psycopg

SCHEMA_VERSION = "1"
MAKING = 0x53415254  # "SART": the advisory lock under which the tables are made
TABLES = (
    "CREATE EXTENSION IF NOT EXISTS vector",
    "CREATE TABLE sartor_meta (key text PRIMARY KEY, value text NOT NULL)",
    """CREATE TABLE sartor_documents (
        id text COLLATE "C" PRIMARY KEY, title text NOT NULL, path text NOT NULL, sha256 text NOT NULL,
        chunking text NOT NULL, metadata text NOT NULL, fields jsonb NOT NULL, text text NOT NULL
    )""",
    """CREATE TABLE sartor_chunks (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        document_id text COLLATE "C" NOT NULL REFERENCES sartor_documents (id) ON DELETE CASCADE,
        position integer NOT NULL, "start" integer NOT NULL, "end" integer NOT NULL,
        title text NOT NULL, text text NOT NULL, num_terms integer NOT NULL,
        sha256 text NOT NULL, vector vector NOT NULL,
        UNIQUE (document_id, position)
    )""",
    """CREATE TABLE sartor_terms (
        term text COLLATE "C" NOT NULL, chunk_id bigint NOT NULL REFERENCES sartor_chunks (id) ON DELETE CASCADE,
        count integer NOT NULL,
        PRIMARY KEY (term, chunk_id) INCLUDE (count)
    )""",
    "CREATE INDEX sartor_chunks_sha256 ON sartor_chunks (sha256)",
    "CREATE INDEX sartor_terms_of_chunk ON sartor_terms (chunk_id)",
    f"INSERT INTO sartor_meta VALUES ('schema', '{SCHEMA_VERSION}'), ('generation', '0'), ('chunks', '0'), "
    "('terms', '0')",
)

CANDIDATES = """
WITH allowed AS MATERIALIZED (
    SELECT chunk.id FROM sartor_chunks chunk JOIN sartor_documents document ON document.id = chunk.document_id
    WHERE {condition}
), nearest AS (
    SELECT id FROM sartor_chunks WHERE {allowed} ORDER BY (vector <#> %(vector)s::vector) + 0, id LIMIT %(depth)s
), posting AS MATERIALIZED (
    SELECT term, chunk_id, count FROM sartor_terms WHERE term = ANY (%(terms)s::text[])
), weight AS (
    SELECT term, greatest(ln((%(chunks)s::float8 - count(*) + 0.5) / (count(*) + 0.5)), 1e-6) AS idf
    FROM posting GROUP BY term
), matched AS (
    SELECT chunk.id, sum(
        weight.idf * posting.count * 2.2
        / (posting.count + 1.2 * (0.25 + 0.75 * chunk.num_terms * %(chunks)s / %(all_terms)s::float8))
    ) AS score
    FROM unnest(%(terms)s::text[]) AS asked (term)
    JOIN weight USING (term) JOIN posting USING (term) JOIN sartor_chunks chunk ON chunk.id = posting.chunk_id
    WHERE {allowed_chunk}
    GROUP BY chunk.id ORDER BY score DESC, chunk.id LIMIT %(depth)s
)
SELECT chunk.id, coalesce(matched.score, 0), -(chunk.vector <#> %(vector)s::vector)
FROM (SELECT id FROM nearest UNION SELECT id FROM matched) AS found
JOIN sartor_chunks chunk USING (id) LEFT JOIN matched USING (id)
ORDER BY chunk.id
"""
"""The candidates of one question, exactly.

The `+ 0` keeps the planner from answering the order with an approximate index on the vectors, should somebody make
one: with a filter such an index loses rows (pgvector #671). PostgreSQL's ts_rank is not BM25, so BM25 is computed from
the postings as FTS5 computes it: k1 1.2, b .75, idf over the whole store and at least 1e-6. A term that two of the
question's words share counts twice.
"""


def candidates_query(filtered: bool) -> str:
    """CANDIDATES with its conditions; `filtered` also needs the parameters of `condition`."""
    if not filtered:
        start = CANDIDATES.index("nearest AS")
        return ("WITH " + CANDIDATES[start:]).format(allowed="true", allowed_chunk="true")
    within = "IN (SELECT id FROM allowed)"
    return CANDIDATES.format(condition="{condition}", allowed=f"id {within}", allowed_chunk=f"chunk.id {within}")


def prepare_tables(connection: "psycopg.Connection[Any]", shown: str, create: bool) -> None:
    """Make the tables where they are missing (with `create`), in one transaction.

    UsageError when they are missing, DataError when another version made them.
    """
    import psycopg

    if not _has_tables(connection):
        if not create:
            raise UsageError("there is no knowledge store here", where=shown, hint="make one with sartor index")
        try:
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (MAKING,))
                if not _has_tables(connection):  # no other process was quicker
                    for statement in TABLES:
                        connection.execute(statement)
        except (psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFile):
            raise SartorError(
                "this PostgreSQL server has no pgvector", where=shown, hint="install the extension `vector` on it"
            ) from None
    row = connection.execute("SELECT value FROM sartor_meta WHERE key = 'schema'").fetchone()
    if row is None or row[0] != SCHEMA_VERSION:
        found = row[0] if row else "none"
        raise DataError(
            f"made by another version of Sartor (schema {found}, this one reads {SCHEMA_VERSION})",
            where=shown,
            hint="index the documents into a new database",
        )


def _has_tables(connection: "psycopg.Connection[Any]") -> bool:
    row = connection.execute("SELECT to_regclass('sartor_meta')").fetchone()
    return row is not None and row[0] is not None
