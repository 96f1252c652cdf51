import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from sartor.base.errors import DataError, SartorError, UsageError
from sartor.data.document_folder import DocumentFolder, DocumentWriter
from sartor.data.documents import documents_table
from sartor.data.duplicates.signatures import ExactDuplicates
from sartor.data.filters.step import Outcome
from sartor.data.pipeline.engine import Engine
from sartor.data.pipeline.rejects import read_rejects
from sartor.data.pipeline.run import Plan, finish, prepare_documents
from sartor.data.pipeline.search import DuplicateSearch
from sartor.data.pipeline.shard import verdict_path
from tests.data.pipeline.toy import DropEmpty, DropShort, Here, Lower, Saboteur, Toy, folder, kill_worker, rows

REPOSITORY = Path(__file__).resolve().parents[3]
SETTINGS = {"preset": "toy"}


def plan(source, *extra, settings=SETTINGS):
    return Plan(source, settings, Toy((*Toy().list, *extra)))


def expected():
    """Kept and dropped ids by hand."""
    kept, dropped = [], {"no_text": [], "tiny": [], "short": []}
    for row in rows(100):
        length = len(row["text"])
        reason = "no_text" if length == 0 else "tiny" if length < 30 else "short" if length < 60 else None
        (dropped[reason] if reason else kept).append(row["id"])
    return kept, dropped


def tree(path: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file() and p.name != ".lock"
    }


def test_every_document_is_kept_or_dropped_with_its_reason(tmp_path):
    source = folder(tmp_path / "in")
    assert len(source.files) > 3
    account = prepare_documents(plan(source), tmp_path / "out", Here())
    kept, dropped = expected()
    found = pa.concat_tables(DocumentFolder.open(tmp_path / "out").tables())
    assert found["id"].to_pylist() == kept
    assert all(text == text.lower() for text in found["text"].to_pylist())
    assert (account.given, account.kept, account.errors) == (100, len(kept), 0)
    by_reason = {reason: n for step in account.ledger.steps.values() for reason, n in step.dropped.items()}
    assert by_reason == {reason: len(ids) for reason, ids in dropped.items()}
    for reason, ids in dropped.items():
        assert [reject.id for reject in read_rejects(tmp_path / "out", reason)] == ids
    assert len(list(read_rejects(tmp_path / "out", most=4))) == 4
    assert account.ledger.steps["lower"].edits["texts lowered"] == sum(
        row["text"] != row["text"].lower() for row in rows(100)
    )
    assert (account.before.documents, account.after.documents) == (100, len(kept))


def test_the_documents_do_not_depend_on_the_cut(tmp_path):
    accounts, tables = [], []
    for name, file_bytes, table_rows in (("one", 10**9, 100), ("many", 300, 7)):
        source = folder(tmp_path / name / "in", file_bytes=file_bytes, table_rows=table_rows)
        accounts.append(prepare_documents(plan(source), tmp_path / name / "out", Here()))
        tables.append(pa.concat_tables(DocumentFolder.open(tmp_path / name / "out").tables()))
    assert tables[0].equals(tables[1])
    same = [dataclasses.replace(account, seconds=None) for account in accounts]
    assert same[0] == same[1]


def test_what_was_begun_under_other_rules_is_not_gone_on_with_and_what_is_complete_stays(tmp_path):
    source, out = folder(tmp_path / "in"), tmp_path / "out"
    prepare_documents(plan(source), out, Here())
    state = out / "prepare.json"
    state.write_text(json.dumps(json.loads(state.read_text()) | {"format": "sartor prepare 1"}))
    assert prepare_documents(plan(source), out, Here()).given == 100
    (out / "documents.json").unlink()
    with pytest.raises(UsageError, match="when the steps had other rules"):
        prepare_documents(plan(source), out, Here())


def test_the_same_command_again_does_nothing_and_another_is_refused(tmp_path):
    source, out = folder(tmp_path / "in"), tmp_path / "out"
    first = prepare_documents(plan(source), out, Here())
    finish(out)
    before = tree(out)
    again = prepare_documents(plan(source), out, Here())
    assert tree(out) == before
    assert not again.seconds
    assert again.ledger == first.ledger
    with pytest.raises(UsageError, match="preset was toy, now other"):
        prepare_documents(plan(source, settings={"preset": "other"}), out, Here())
    other = folder(tmp_path / "other", number=99)
    with pytest.raises(UsageError, match="the documents were others"):
        prepare_documents(plan(other), out, Here())
    assert tree(out) == before


LOSES = {
    "fewer": (lambda table: Outcome(table.slice(1)), "gave back"),
    "others": (lambda table: Outcome(table.take(list(range(len(table)))[::-1])), "or others"),
    "unjudged": (lambda table: Outcome(table, pa.array(["why"])), "judged 1 documents"),
}


@pytest.mark.parametrize("way", LOSES)
def test_a_step_that_loses_documents_is_named(tmp_path, way):
    act, said = LOSES[way]
    source = folder(tmp_path / "in")
    with pytest.raises(SartorError, match=said) as raised:
        prepare_documents(plan(source, Saboteur("d11", act)), tmp_path / "out", Here())
    assert "saboteur" in raised.value.what
    assert raised.value.where is not None and raised.value.where.endswith("00000.parquet")
    assert not (tmp_path / "out" / "documents.json").exists()


@pytest.mark.parametrize("damage", ["missing", "cut", "changed"])
def test_a_damaged_shard_is_named_and_counted(tmp_path, damage):
    source, out = folder(tmp_path / "in"), tmp_path / "out"
    file = source.path / source.files[1].name
    content = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(content[:-7] if damage == "cut" else content[:60] + b"damage" + content[66:])
    with pytest.raises(DataError, match=f"it held {source.files[1].rows} documents") as raised:
        prepare_documents(plan(source), out, Here())
    assert raised.value.where == str(file)
    account = prepare_documents(plan(source), out, Here(), on_bad_shard="skip")
    assert account.errors == source.files[1].rows
    assert list(account.problems) == [source.files[1].name]
    assert account.given == account.kept + account.ledger.dropped + account.errors == 100


def test_a_shard_that_was_restored_is_used(tmp_path):
    source, out = folder(tmp_path / "in"), tmp_path / "out"
    file = source.path / source.files[1].name
    content = file.read_bytes()
    file.write_bytes(b"")
    with pytest.raises(DataError):
        prepare_documents(plan(source), out, Here())
    file.write_bytes(content)
    prepare_documents(plan(source), out, Here())
    prepare_documents(plan(source), tmp_path / "straight", Here())
    assert tree(out) == tree(tmp_path / "straight")


def test_damaged_results_are_made_again(tmp_path):
    source, out, straight = folder(tmp_path / "in"), tmp_path / "out", tmp_path / "straight"
    prepare_documents(plan(source), straight, Here())
    prepare_documents(plan(source), out, Here())
    (out / "documents.json").unlink()  # as if it had been killed before the end
    (out / "documents" / "00000.parquet").write_bytes(b"damage")
    (out / "journal" / "clean-00002.json").write_text("{")
    (out / "rejects" / "clean-00003.parquet").unlink()
    prepare_documents(plan(source), out, Here())
    assert tree(out) == tree(straight)


SEARCH = DuplicateSearch(ExactDuplicates(), None)


@dataclasses.dataclass(frozen=True)
class Signed(Toy):
    """With signatures, so that the same texts are found."""

    def signers(self):
        return SEARCH.signers()


def with_copies(path: Path) -> DocumentFolder:
    """Several shards; most texts stand in others as well, every fifth document's only there."""
    with DocumentWriter(path, max_file_bytes=500) as writer:
        for shard in range(3):
            names = [f"{shard}.{row}" if row % 5 == 0 else (7 * row + shard) % 20 for row in range(20)]
            texts = [f"text {name}, {'which is long ' * 2}" for name in names]
            table = [{"id": f"{shard}.{row}", "text": text, "source": "toy"} for row, text in enumerate(texts)]
            writer.add(documents_table(table))
    return DocumentFolder.open(path)


def searching(source: DocumentFolder, *after) -> Plan:
    return Plan(source, SETTINGS, Signed((DropEmpty(),)), Toy((Lower(), *after)), SEARCH)


def texts_of(path: Path, files) -> list[str]:
    return sorted(text for file in files for text in pa.parquet.read_table(path / file.name)["text"].to_pylist())


@pytest.mark.parametrize("bad", [0, 1])
def test_of_copies_one_stays_where_a_shard_was_left_out(tmp_path, bad):
    source, out = with_copies(tmp_path / "in"), tmp_path / "out"
    left = [file for number, file in enumerate(source.files) if number != bad]
    expected = sorted(set(texts_of(source.path, left)))
    assert len(source.files) > 2 and len(expected) < sum(file.rows for file in left)
    (source.path / source.files[bad].name).write_bytes(b"")
    account = prepare_documents(searching(source), out, Here(), on_bad_shard="skip")
    assert texts_of(out, DocumentFolder.open(out).files) == expected
    assert account.given == account.kept + account.ledger.dropped + account.errors


@pytest.mark.parametrize("bad", [0, -1])
def test_a_shard_restored_after_the_search_is_compared_with_the_others(tmp_path, bad):
    def fail(table):
        raise KeyError("stopped here")

    source, out, straight = with_copies(tmp_path / "in"), tmp_path / "out", tmp_path / "straight"
    prepare_documents(searching(source), straight, Here())
    file = source.path / source.files[bad].name
    content = file.read_bytes()
    file.write_bytes(b"")
    readable = source.files[1:] if bad == 0 else source.files[:-1]
    ids = pa.parquet.read_table(source.path / readable[-1].name)["id"].to_pylist()
    at = next(name for name in ids if int(name.partition(".")[2]) % 5 == 0)  # no copy: it is seen after the search
    with pytest.raises(RuntimeError, match="stopped here"):
        prepare_documents(searching(source, Saboteur(at, fail)), out, Here(), on_bad_shard="skip")
    assert list((out / "journal").glob("finish-*")), "something was done with the verdicts of the first search"
    file.write_bytes(content)
    prepare_documents(searching(source), out, Here())
    assert tree(out) == tree(straight)


def test_verdicts_on_other_documents_are_refused(tmp_path):
    source, out = with_copies(tmp_path / "in"), tmp_path / "out"
    prepare_documents(searching(source), out, Here())
    (out / "documents.json").unlink()
    (out / "journal" / "finish-00000.json").unlink()
    table = pa.parquet.read_table(verdict_path(out, 0))
    pa.parquet.write_table(table.slice(1), verdict_path(out, 0))
    with pytest.raises(SartorError, match="there are verdicts on"):
        prepare_documents(searching(source), out, Here())


def test_a_bug_in_a_step_keeps_its_traceback(tmp_path):
    def fail(table):
        raise KeyError("no such thing")

    with pytest.raises(RuntimeError, match="(?s)in fail.*no such thing"):
        prepare_documents(plan(folder(tmp_path / "in"), Saboteur("d52", fail)), tmp_path / "out", Here())
    assert not list((tmp_path / "out").rglob("*.part"))


KILLED = """
import sys
from pathlib import Path
from sartor.data.document_folder import DocumentFolder
from sartor.data.pipeline.engine import Engine
from sartor.data.pipeline.run import Plan, prepare_documents
from tests.data.pipeline.toy import Saboteur, Toy, kill_all
source = DocumentFolder.open(sys.argv[1])
for at in sys.argv[3:]:
    steps = (*Toy().list, Saboteur(at, kill_all))
    prepare_documents(Plan(source, {"preset": "toy"}, Toy(steps)), Path(sys.argv[2]), Engine())
"""


@pytest.mark.parametrize("at", ["d18", "d52", "d99"])
def test_killed_inside_a_shard_the_same_command_ends_with_the_same_bytes(tmp_path, at):
    source, out, straight = folder(tmp_path / "in"), tmp_path / "out", tmp_path / "straight"
    code = subprocess.run(
        [sys.executable, "-c", KILLED, str(source.path), str(out), at], cwd=REPOSITORY, timeout=60
    ).returncode
    assert code == -9
    assert not (out / "documents.json").exists()
    for target in (out, straight):
        prepare_documents(plan(source, Saboteur("nowhere", Outcome)), target, Here())
    assert tree(out) == tree(straight)
    assert json.loads((out / "documents.json").read_text())["files"]


def test_a_worker_that_was_killed_is_said_and_the_same_command_goes_on(tmp_path):
    source, out = folder(tmp_path / "in"), tmp_path / "out"
    with pytest.raises(SartorError, match="a worker process was killed"):
        prepare_documents(plan(source, Saboteur("d72", kill_worker)), out, Engine())
    assert list((out / "journal").iterdir())
    prepare_documents(plan(source, Saboteur("nowhere", Outcome)), out, Here())
    prepare_documents(plan(source, Saboteur("nowhere", Outcome)), tmp_path / "straight", Here())
    assert tree(out) == tree(tmp_path / "straight")


def test_no_documents_are_documents_too(tmp_path):
    source = folder(tmp_path / "in", number=0)
    assert prepare_documents(plan(source), tmp_path / "out", Here()).kept == 0
    assert DocumentFolder.open(tmp_path / "out").num_documents == 0


@pytest.mark.parametrize("processes", [1, 2])
def test_the_output_does_not_depend_on_the_engine(tmp_path, processes):
    source = folder(tmp_path / "in")
    prepare_documents(plan(source), tmp_path / "here", Here())
    prepare_documents(plan(source), tmp_path / "processes", Engine(processes=processes))
    assert tree(tmp_path / "here") == tree(tmp_path / "processes")


def test_engines_that_do_not_exist_are_refused():
    with pytest.raises(UsageError, match="no engine 'spark'"):
        Engine("spark").check()


def test_steps_are_used_in_order(tmp_path):
    source = folder(tmp_path / "in")
    backwards = Plan(source, SETTINGS, Toy((DropShort(), Lower(), DropEmpty())))
    account = prepare_documents(backwards, tmp_path / "out", Here())
    assert list(account.ledger.steps) == ["length", "lower", "empty"]
    assert account.ledger.steps["empty"].dropped.total() == 0  # the first step took them all
