"""A knowledge store by its name: a file, or the address of a PostgreSQL database."""

from pathlib import Path

from sartor.retrieval.postgres import PostgresStore
from sartor.retrieval.postgres_server import is_postgres
from sartor.retrieval.protocol import Store
from sartor.retrieval.store import KnowledgeStore


def open_store(name: str | Path, create: bool = False) -> Store:
    """Open it; with `create` it is made where it is missing. UsageError where there is none."""
    if isinstance(name, str) and is_postgres(name):
        return PostgresStore(name, create)
    return KnowledgeStore(Path(name).expanduser(), create)


def place(name: str, folder: Path = Path()) -> str | Path:
    """What `open_store` opens for a name that is relative to a folder, unless it is an address."""
    return name if is_postgres(name) else folder / name
