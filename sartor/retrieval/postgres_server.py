"""A connection to a PostgreSQL server, and what its errors mean to a person. A password is never shown."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sartor.base.errors import DataError, SartorError, UsageError

if TYPE_CHECKING:
    import psycopg

SCHEMES = ("postgresql://", "postgres://")
CONNECT_SECONDS = 10
LOCK_MILLISECONDS = 30_000
SECRETS = ("password", "passfile", "sslpassword", "sslkey")


def is_postgres(name: object) -> bool:
    """Whether something that names a knowledge store is the address of a PostgreSQL database."""
    return isinstance(name, str) and name.startswith(SCHEMES)


class Address:
    """`url` without its secrets, for people (`shown`), and the errors that it may cause.

    UsageError for what is no address of a PostgreSQL database, or when psycopg is not installed.
    """

    def __init__(self, url: str):
        self.url = url
        self.shown = re.sub(r"//[^/?#]*@", "//…@", url).partition("?")[0]
        try:
            import psycopg
            from psycopg.conninfo import conninfo_to_dict
        except ImportError:
            raise UsageError(
                "knowledge in PostgreSQL needs psycopg",
                where=self.shown,
                hint="pip install 'sartor[postgres]'",
            ) from None
        try:
            parts: dict[str, Any] = dict(conninfo_to_dict(url))
        except psycopg.Error:
            raise UsageError(
                "this is no address of a PostgreSQL database",
                where=self.shown,
                hint="like postgresql://user@host:5432/database; the password may come from PGPASSWORD or ~/.pgpass",
            ) from None
        self._secrets = [str(parts[name]) for name in SECRETS if parts.get(name)]
        host = parts.get("host") or "localhost"
        port = f":{parts['port']}" if parts.get("port") else ""
        user = f"{parts['user']}@" if parts.get("user") else ""
        self.shown = f"postgresql://{user}{host}{port}/{parts.get('dbname', '')}"

    def connect(self) -> "psycopg.Connection[Any]":
        """A new connection whose transactions are the caller's; it waits at most LOCK_MILLISECONDS for a lock."""
        import psycopg

        with self.named_errors():
            connection = psycopg.connect(
                self.url,
                autocommit=True,
                connect_timeout=CONNECT_SECONDS,
                application_name="sartor",
                client_encoding="utf8",
            )
            connection.execute(f"SET lock_timeout = {LOCK_MILLISECONDS}")
            connection.execute("SET client_min_messages = warning")
            return connection

    @contextmanager
    def named_errors(self) -> Iterator[None]:
        """What goes wrong with the server as a SartorError; mistakes in the SQL stay what they are."""
        import psycopg

        try:
            yield
        except psycopg.errors.LockNotAvailable:
            raise SartorError(
                "cannot use the knowledge store: it is locked",
                where=self.shown,
                hint="another process is writing to it; try again when that is done",
            ) from None
        except psycopg.errors.InsufficientPrivilege as error:
            raise SartorError(
                f"cannot use the knowledge store: {self._reason(error)}",
                where=self.shown,
                hint="let a user with that right do it, or connect as one",
            ) from None
        except (psycopg.errors.DiskFull, psycopg.errors.ReadOnlySqlTransaction) as error:
            raise SartorError(
                f"cannot write to the knowledge store: {self._reason(error)}",
                where=self.shown,
                hint="what was written before is untouched",
            ) from None
        except psycopg.errors.DataCorrupted as error:
            raise DataError(
                f"damaged: {self._reason(error)}", where=self.shown, hint="restore the database from a copy"
            ) from None
        except psycopg.OperationalError as error:
            raise SartorError(
                f"cannot use the knowledge store: {self._reason(error)}",
                where=self.shown,
                hint="check that the server runs and the address, user and password are right",
            ) from None

    def _reason(self, error: Exception) -> str:
        """The first line of an error, which says what it is, without secrets."""
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[0] if lines else type(error).__name__
        for secret in self._secrets:
            reason = reason.replace(secret, "…")
        return reason
