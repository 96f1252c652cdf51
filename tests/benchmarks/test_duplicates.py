"""The sides of the comparison find the same clusters, and say how much of their time went into cutting words."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks.duplicates import SHARDS, Stopwatch, run_rensa, run_sartor
from sartor.data.documents import documents_table
from sartor.data.duplicates import minhash


@pytest.fixture
def documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Eight documents; 0 and 5 are the same."""
    monkeypatch.setattr(minhash, "word_hashes", minhash.word_hashes)  # put back what is timed
    texts = [" ".join(f"word{number}x{place}" for place in range(60)) for number in range(8)]
    texts[5] = texts[0]
    for shard in range(SHARDS):
        rows = [{"id": str(at), "text": texts[at], "source": "made"} for at in range(shard, len(texts), SHARDS)]
        pq.write_table(documents_table(rows), tmp_path / f"{shard}.parquet")
    return tmp_path


def test_sartors_words_are_timed_apart(documents: Path, tmp_path: Path) -> None:
    words = Stopwatch()
    found = run_sartor(documents, tmp_path, words)
    assert found.keys() == {"0", "5"} and len(set(found.values())) == 1 and words.seconds > 0


def test_the_words_that_rensa_is_given_are_timed_apart(documents: Path, tmp_path: Path) -> None:
    pytest.importorskip("rensa", reason="rensa is not installed (extra `bench`)")
    words = Stopwatch()
    found = run_rensa(documents, tmp_path, words)
    assert found.keys() == {"0", "5"} and len(set(found.values())) == 1 and words.seconds > 0
