"""The knowledge store's benchmark on a small store: cold questions find no word in memory."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.knowledge_store import UNKNOWN_WORD, ask_all, make, vocabulary
from sartor.retrieval import snapshot


def test_cold_questions_find_no_word_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words, read, seen = vocabulary(None)[:500], snapshot.WordScores._of, []

    def watched(self: snapshot.WordScores, connection: Any, word: str) -> Any:
        if word != UNKNOWN_WORD:
            seen.append((snapshot.WORD_BYTES == 0, word in self._words))
        return read(self, connection, word)

    monkeypatch.setattr(snapshot.WordScores, "_of", watched)
    made = make(tmp_path / "k.sqlite", 140, words)
    found = ask_all(tmp_path / "k.sqlite", 20, words)
    assert made["chunks"] == 140 and UNKNOWN_WORD not in words
    assert {"new_questions_in_a_session", "new_questions_cold", "memory_bytes_of_search"} <= found.keys()
    assert (False, True) in seen and (True, False) in seen and (True, True) not in seen
