"""Terms are exactly what FTS5 counts."""

import sqlite3
import threading

from sartor.retrieval.terms import Terms


def test_terms_are_those_of_full_text():
    assert Terms().count("The sailors were sailing, sails! Café foo_bar 日本 x\0y") == {
        "the": 1, "sailor": 1, "were": 1, "sail": 2, "cafe": 1, "foo": 1, "bar": 1, "日本": 1, "x": 1, "y": 1,
    }  # fmt: skip
    assert Terms().count("") == Terms().count("?! …") == {}


def test_a_count_leaves_nothing_behind_and_threads_share_it():
    terms, failures = Terms(), []

    def work(word: str) -> None:
        for _ in range(50):
            if terms.count(f"{word} {word}") != {word: 2}:
                failures.append(word)

    threads = [threading.Thread(target=work, args=(word,)) for word in ("red", "green", "blue")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == [] and terms.count("two") == {"two": 1}


def test_every_match_of_full_text_is_a_shared_term():
    texts = ["Ships sail.", "A ship's sails", "sailor", "Straße", "naïve café"]
    connection, terms = sqlite3.connect(":memory:"), Terms()
    connection.execute("CREATE VIRTUAL TABLE t USING fts5 (text, tokenize='porter unicode61')")
    connection.executemany("INSERT INTO t VALUES (?)", [(text,) for text in texts])
    for word in ("ship", "sailing", "strasse", "straße", "NAIVE", "cafés"):
        found = {text for (text,) in connection.execute("SELECT text FROM t WHERE t MATCH ?", (f'"{word}"',))}
        assert found == {text for text in texts if terms.count(text) & terms.count(word)}
