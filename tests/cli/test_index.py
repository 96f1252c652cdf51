"""`sartor index`, `search` and `doctor` on knowledge files, as a person uses them, with a tiny embedding model."""

import json

import pytest

from sartor.cli.main import main
from sartor.recipes import index as recipe
from sartor.retrieval import watching
from tests.tiny_folders import embedding_model, use_embedder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return embedding_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def docs(tmp_path, monkeypatch, model):
    use_embedder(monkeypatch, model)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "red.md").write_text("# Red\nThe red ship moors here.\n")
    (folder / "tea.txt").write_text("Green tea.")
    (folder / "rows.jsonl").write_text('{"id": "row", "text": "The blue ship.", "year": 2024, "open": true}\n')
    return folder


def told(capsys, *arguments, code=0):
    """What the command printed as JSON, and what it said on stderr."""
    assert main([*map(str, arguments), "--json"]) == code
    out, err = capsys.readouterr()
    return json.loads(out) if out else None, err


def ids(passages):
    return {passage["document_id"] for passage in passages}


def test_index_list_search_delete_compact(docs, capsys):
    first, _ = told(capsys, "index", docs, "--out", "k.sqlite")
    assert (first["added"], first["chunks"], first["embedded"], first["bad_files"]) == (3, 3, 3, {})
    (docs / "tea.txt").write_text("Black tea.")
    (docs / "red.md").rename(docs / "moved.md")
    again, _ = told(capsys, "index", docs, "--out", "k.sqlite")
    assert [again[key] for key in ("added", "replaced", "removed", "unchanged", "embedded")] == [1, 1, 1, 1, 1]
    assert [entry["id"] for entry in told(capsys, "index", "k.sqlite", "--list")[0]] == ["moved.md", "row", "tea.txt"]
    assert ids(told(capsys, "search", "k.sqlite", "ship")[0]) == {"moved.md", "row", "tea.txt"}
    for where in (["year=2024"], ["open=true"], ["year=2023", "year=2024"], ["year=2024", "folder="]):
        options = [part for pair in where for part in ("--where", pair)]
        assert ids(told(capsys, "search", "k.sqlite", "ship", *options)[0]) == {"row"}, where
    assert told(capsys, "search", "k.sqlite", "ship", "--where", "year=2023")[0] == []
    _, said = told(capsys, "search", "k.sqlite", "ship", "--where", "yaer=2024", code=2)
    assert "no document has a field 'yaer'" in said and "did you mean year?" in said
    _, said = told(capsys, "index", "k.sqlite", "--delete", "row", "tea.tx", code=2)
    assert "did you mean tea.txt?" in said
    told(capsys, "index", "k.sqlite", "--delete", "row", "tea.txt")
    assert ids(told(capsys, "search", "k.sqlite", "ship")[0]) == {"moved.md"}
    assert told(capsys, "index", "k.sqlite", "--compact")[0]["bytes"] > 0
    found, _ = told(capsys, "index", "k.sqlite", "--stats")
    assert (found["documents"], found["vectors"], found["ranking"]["mode"]) == (1, 1, "fused")


def test_bad_files_stop_or_are_named_and_what_was_known_stays(docs, capsys):
    told(capsys, "index", docs, "--out", "k.sqlite")
    (docs / "new.txt").write_text("The new ship.")
    (docs / "rows.jsonl").write_text('{"id": "row", "text": "The grey ship."}\n{"id": 7, "txt": "?"}\n')
    _, said = told(capsys, "index", docs, "--out", "k.sqlite", code=3)
    assert "hint:" in said and len(told(capsys, "index", "k.sqlite", "--list")[0]) == 3
    report, said = told(capsys, "index", docs, "--out", "k.sqlite", "--on-bad-file", "skip")
    assert str(docs / "rows.jsonl") in report["bad_files"] and "rows.jsonl:2" in said
    assert (report["added"], report["replaced"], report["removed"]) == (1, 1, 0)
    assert {entry["id"] for entry in told(capsys, "index", "k.sqlite", "--list")[0]} >= {"red.md", "new.txt", "row"}


def test_what_was_known_of_a_bad_file_stays_however_the_folder_is_spelled(docs, capsys):
    (docs / "deep").mkdir()
    (docs / "deep" / "more.jsonl").write_text('{"id": "deep row", "text": "The old ship."}\n')
    told(capsys, "index", "docs", "--out", "k.sqlite")
    (docs / "rows.jsonl").write_text("{\n")
    (docs / "deep" / "more.jsonl").write_text("{\n")
    (docs / "tea.txt").unlink()
    report, _ = told(capsys, "index", docs, "--out", "k.sqlite", "--on-bad-file", "skip")
    assert len(report["bad_files"]) == 2 and report["removed"] == 1
    left = {entry["id"] for entry in told(capsys, "index", "k.sqlite", "--list")[0]}
    assert left == {"red.md", "row", "deep row"}


def test_doctor_names_what_is_wrong_with_a_store(docs, capsys):
    told(capsys, "index", docs, "--out", "k.sqlite")
    report, _ = told(capsys, "doctor", "k.sqlite")
    assert report["k.sqlite"]["documents"] == 3 and report["k.sqlite"]["problems"] == []
    (docs / "bad.sqlite").write_text("not a store " * 99)
    report, _ = told(capsys, "doctor", "k.sqlite", docs / "bad.sqlite", code=1)
    assert "damaged" in report[str(docs / "bad.sqlite")]["problems"][0]
    assert main(["doctor", "k.sqlite"]) == 0 and "no problem found" in capsys.readouterr().out


@pytest.mark.parametrize("polling", [True, False])
def test_watching_takes_every_change(docs, monkeypatch, capsys, polling):
    monkeypatch.setattr(watching, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(watching, "QUIET_SECONDS", 0.02)
    if polling:
        monkeypatch.setattr(watching, "watchfiles", None)
    elif watching.watchfiles is None:
        pytest.skip("watchfiles is not installed")
    steps = recipe.watch(docs, str(docs / "k.sqlite"))  # a store among its documents does not wake itself
    assert next(steps).report.added == 3
    (docs / "tea.txt").write_text("Black tea.")
    changed = next(steps).report
    assert (changed.replaced, changed.embedded, changed.unchanged) == (1, 1, 2)
    (docs / "broken.pdf").write_bytes(b"not one")
    assert list(next(steps).bad_files) == [str(docs / "broken.pdf")]
    (docs / "broken.pdf").unlink()
    (docs / "red.md").unlink()
    assert next(steps).report.removed == 1
    assert capsys.readouterr().err.count("broken.pdf") <= 2


def test_ctrl_c_ends_watching_cleanly(docs, monkeypatch, capsys):
    def interrupted(source, ignored):
        yield
        raise KeyboardInterrupt

    monkeypatch.setattr(recipe, "changes", interrupted)
    assert main(["index", str(docs), "--out", "k.sqlite", "--watch"]) == 0
    out, err = capsys.readouterr()
    assert "3 documents added" in out and "Ctrl-C ends" in err and "the store is whole" in err
    assert main(["doctor", "k.sqlite"]) == 0


def test_options_that_do_not_go_together(docs, capsys):
    _, said = told(capsys, "index", docs, code=2)
    assert "--out is missing" in said
    _, said = told(capsys, "index", "k.sqlite", "--list", "--out", "x", code=2)
    assert "name the knowledge file alone" in said
    _, said = told(capsys, "search", "k.sqlite", "ship", "--where", "year", code=2)
    assert "is not FIELD=VALUE" in said
