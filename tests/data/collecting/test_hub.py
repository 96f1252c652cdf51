"""Data sets of the Hub, with a stand-in for it: only Parquet files of one commit are read, never code."""

from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sartor.base.errors import DataError, SartorError
from sartor.data.collecting import collector, sources
from sartor.data.collecting.hub import HubName, find_dataset
from tests.data.collecting.collections import collect, documents


class Hub:
    """Answers like the Hub: revisions with their files."""

    def __init__(self, revisions, licence="cc-by-4.0"):
        self.revisions, self.licence, self.asked = revisions, licence, []

    def dataset_info(self, name, revision=None):
        self.asked.append((name, revision))
        commit, files = self.revisions[revision]
        siblings = [SimpleNamespace(rfilename=file) for file in files]
        return SimpleNamespace(sha=commit, siblings=siblings, card_data={"license": self.licence})


def test_parquet_files_of_a_commit_are_found_with_the_licence():
    found = find_dataset(HubName.parse("hub:a/books"), Hub({None: ("c1", ["b.parquet", "books.py", "a.parquet"])}))
    assert (found.commit, found.files, found.licence) == ("c1", ("a.parquet", "b.parquet"), "CC-BY-4.0")


def test_the_hubs_own_conversion_is_read_where_there_is_no_parquet():
    hub = Hub({None: ("c1", ["x.jsonl", "books.py"]), "refs/convert/parquet": ("c2", ["default/0000.parquet"])})
    found = find_dataset(HubName.parse("hub:a/books"), hub)
    assert (found.commit, found.files) == ("c2", ("default/0000.parquet",))
    with pytest.raises(DataError, match="no Parquet files"):
        find_dataset(HubName.parse("hub:a/books@v1"), Hub({"v1": ("c3", ["x.jsonl"])}))


def test_a_hub_out_of_reach_is_named(monkeypatch):
    class Down:
        def dataset_info(self, name, revision=None):
            raise OSError("no network")

    with pytest.raises(SartorError, match="the Hub cannot be read: no network"):
        find_dataset(HubName.parse("hub:a/books"), Down())


def test_a_data_set_is_collected_and_only_a_new_commit_is_fetched(tmp_path, monkeypatch):
    hub = Hub({None: ("c1", ["a.parquet"])})
    pq.write_table(pa.table({"text": ["one", "two"], "url": ["https://x.example/1", None]}), tmp_path / "a.parquet")
    fetched = []

    def download(dataset, commit, file):
        fetched.append((dataset, commit, file))
        return tmp_path / file

    monkeypatch.setattr(sources, "require_online", lambda name: None)
    monkeypatch.setattr(collector, "find_dataset", lambda name: find_dataset(name, hub))
    monkeypatch.setattr(collector, "download", download)
    collect(tmp_path / "out", "hub:a/books")
    rows = documents(tmp_path / "out")
    assert [(row["id"], row["text"], row["licence"]) for row in rows] == [
        ("hub:a/books@c1/a.parquet#1", "one", "CC-BY-4.0"), ("hub:a/books@c1/a.parquet#2", "two", "CC-BY-4.0"),
    ]  # fmt: skip
    assert rows[0]["source"] == "https://x.example/1" and rows[1]["source"] == "hub:a/books@c1/a.parquet"
    again = collect(tmp_path / "out", "hub:a/books")
    assert (again.unchanged, fetched) == (2, [("a/books", "c1", "a.parquet")])
    hub.revisions[None] = ("c2", ["a.parquet"])
    newer = collect(tmp_path / "out", "hub:a/books")
    assert (newer.documents, newer.removed, len(fetched)) == (2, 2, 2)
