"""Texts to the terms that full text counts: exactly those of SQLite's FTS5 with its Porter stemmer.

Other stores count words with this, so that a question ranks the same passages wherever they are kept.
"""

import sqlite3
import threading
from collections import Counter

TOKENIZER = "porter unicode61"


class Terms:
    """Counts the terms of texts; usable from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._connection.execute(f"CREATE VIRTUAL TABLE texts USING fts5 (text, tokenize='{TOKENIZER}')")
        self._connection.execute("CREATE VIRTUAL TABLE terms USING fts5vocab (texts, instance)")

    def count(self, text: str) -> Counter[str]:
        """How often each term occurs."""
        with self._lock:
            self._connection.execute("BEGIN")
            try:
                self._connection.execute("INSERT INTO texts (text) VALUES (?)", (text,))
                rows = self._connection.execute("SELECT term, count(*) FROM terms GROUP BY term").fetchall()
            finally:
                self._connection.execute("ROLLBACK")
        return Counter(dict(rows))

    def close(self) -> None:
        self._connection.close()
