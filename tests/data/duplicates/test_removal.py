"""The whole search: the same survivors for any cut, order and memory; clusters, scopes, rules, verification, limits."""

import random
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sartor.base.errors import DataError, SartorError, UsageError
from sartor.data.duplicates import buckets
from sartor.data.duplicates.budget import budget_for
from sartor.data.duplicates.exact import ExactMatch
from sartor.data.duplicates.minhash import MinHash
from sartor.data.duplicates.removal import DROPS, find_duplicates
from sartor.data.duplicates.signatures import (
    ExactDuplicates,
    NearDuplicates,
    exact_signatures,
    near_signatures,
    write_signatures,
)
from sartor.data.duplicates.verdicts import verdicts
from sartor.data.duplicates.verify import Verification
from tests.data.duplicates.planted import jaccard, planted_pair, search, table_of


def words(*numbers: int) -> str:
    return " ".join(f"w{number}" for number in numbers)


def mixed_texts(seed: int = 0) -> dict[str, str]:
    """Planted pairs, chains, copies and texts of their own, with ids in an order that says nothing."""
    generator = np.random.default_rng(seed)
    texts = [
        text for similarity in (0.7, 0.75, 0.8, 0.85) for _ in range(8) for text in planted_pair(generator, similarity)
    ]
    texts += [words(*range(start, start + 100)) for start in range(1000, 1050, 5)]  # each near to the next
    texts += [texts[0]] * 3 + ["short one", "short one", ""]
    order = generator.permutation(len(texts))
    return {f"document {place:03d}": texts[at] for place, at in enumerate(order)}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.booleans())
def test_what_is_dropped_does_not_depend_on_cut_order_or_memory(seed: int, num_shards: int, reverse: bool) -> None:
    texts = mixed_texts()
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        expected, _ = search(Path(folder), [table_of(texts)])
        draw = random.Random(seed)
        names = draw.sample(list(texts), len(texts))
        shards: list[list[str]] = [[] for _ in range(num_shards)]
        for name in names:
            draw.choice(shards).append(name)
        patch.setattr(buckets, "LEAST_PIECE", 16)
        tables = [table_of({name: texts[name] for name in shard}) for shard in shards]
        found, _ = search(Path(folder), tables, memory_bytes=90_000_000, reverse=reverse)
    assert found == expected
    assert len(expected) > 20


def test_tiny_partitions_on_disk_give_what_memory_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = [table_of(mixed_texts())]
    expected, found = search(tmp_path, tables)
    assert found.budget.partitions == 1
    monkeypatch.setattr(buckets, "LEAST_PIECE", 3)
    monkeypatch.setattr(
        "sartor.data.duplicates.removal.links", lambda keys, count, _, folder: links_of_one_byte(keys, count, folder)
    )
    again, _ = search(tmp_path, tables)
    assert again == expected
    assert not list(tmp_path.glob(".*"))


def links_of_one_byte(keys: buckets.Batches, count: int, folder: Path) -> buckets.Links:
    assert buckets.partitions_needed(count, 1) > 8
    return buckets.links(keys, count, 1, folder)


def test_a_cluster_is_transitive_and_its_longest_stays(tmp_path: Path) -> None:
    texts = {f"part {start}": words(*range(start, start + 100)) for start in range(0, 50, 5)}
    texts["whole"] = words(*range(20, 140))
    assert jaccard(texts["part 0"], texts["part 45"]) < 0.45
    dropped, found = search(tmp_path, [table_of(texts)])  # a neighbour of similarity 0.9 is missed once in thousands
    assert dropped == dict.fromkeys([name for name in texts if name != "whole"], "whole")
    assert (found.compared, found.dropped, found.survivors) == (11, 10, 1)


def test_verification_drops_only_what_is_similar(tmp_path: Path) -> None:
    texts = {f"part {start:02d}": words(*range(start, start + 100)) for start in range(0, 50, 5)}
    texts |= {f"copy of {name}": text for name, text in list(texts.items())[:3]}
    everything, _ = search(tmp_path, [table_of(texts)])
    halves = [table_of(dict(list(texts.items())[:6])), table_of(dict(list(texts.items())[6:]))]
    least = Verification(least_similarity=0.8)
    dropped, found = search(tmp_path, [table_of(texts)], verification=least)
    assert len(dropped) + found.unverified == len(everything) and found.unverified > 0
    kept = texts.keys() - dropped.keys()
    for name, survivor in dropped.items():
        assert survivor in kept and jaccard(texts[name], texts[survivor]) >= 0.8
    assert all(jaccard(texts[a], texts[b]) < 0.8 for a in kept for b in kept if a < b)
    assert search(tmp_path, halves, verification=least, reverse=True)[0] == dropped


def test_verification_notices_documents_that_are_missing(tmp_path: Path) -> None:
    write_signatures(
        tmp_path / "a", [near_signatures(table_of({"a": words(*range(9)), "b": words(*range(9))}), NearDuplicates(), 0)]
    )
    short = table_of({"a": words(*range(9))})
    with pytest.raises(DataError, match="signatures are of row 1"):
        find_duplicates([tmp_path / "a"], [tmp_path / "drops"], verification=Verification(), tables=lambda _: [short])


def test_exact_copies_and_short_texts(tmp_path: Path) -> None:
    texts = {
        "a": "Yes, of course.",
        "b": "yes,  of\ncourse. ",
        "c": "Cafe\u0301",
        "d": "Café",
        "e": "Yes of course",
        "f": "",
    }
    rule = ExactDuplicates()
    dropped, _ = search(tmp_path, [table_of(texts)], rule, exact_signatures)
    assert sorted(map(sorted, dropped.items())) == [["a", "b"], ["c", "d"]]
    with_case = ExactDuplicates(match=ExactMatch(fold_case=False))
    assert set(search(tmp_path, [table_of(texts)], with_case, exact_signatures)[0]) < {"c", "d"}
    assert search(tmp_path, [table_of(texts)])[1].compared == 0  # none has an n-gram of five words


@pytest.mark.parametrize(("keep", "survivor"), [("longest", "long"), ("earliest", "old"), ("latest", "new")])
def test_the_rule_says_which_stays(tmp_path: Path, keep: str, survivor: str) -> None:
    times = {
        "old": "1969-05-01",
        "new": "2026-05-01T10:00:00Z",
        "long": "2020-01-01T00:00:00+02:00",
        "unknown": None,
        "odd": "May",
    }
    texts = {name: words(*range(100)) + " more" * (name == "long") for name in times}
    table = table_of(texts, time=lambda name: times[name])
    dropped, _ = search(tmp_path, [table], NearDuplicates(keep=keep))
    assert dropped == dict.fromkeys(texts.keys() - {survivor}, survivor)


def test_scopes_keep_copies_apart(tmp_path: Path) -> None:
    texts = {f"{dump} {number}": words(*range(50)) for dump in "xy" for number in range(3)}
    table = table_of(texts, language=lambda name: name[0], metadata=lambda name: f'{{"dump": "{name[0]}"}}')
    cut = [table.slice(0, 2), table.slice(2)]
    for scope, stay in (("everything", 1), ("language", 2), ("metadata.dump", 2), ("metadata.other", 1), ("shard", 2)):
        for rule, sign in (
            (NearDuplicates(scope=scope), near_signatures),
            (ExactDuplicates(scope=scope), exact_signatures),
        ):
            dropped, _ = search(tmp_path, cut, rule, sign)
            assert len(texts) - len(dropped) == stay
    assert all(
        name[0] == survivor[0] for name, survivor in search(tmp_path, cut, NearDuplicates(scope="language"))[0].items()
    )
    with pytest.raises(ValueError, match="it should be everything"):
        NearDuplicates(scope="dump")


def test_verdicts_name_the_reason_and_the_survivor() -> None:
    def drops(*rows: tuple[int, str]) -> pa.Table:
        return pa.table([[row for row, _ in rows], [name for _, name in rows]], schema=DROPS)

    found = verdicts(4, {"exact_duplicate": drops((1, "a")), "near_duplicate": drops((1, "b"), (3, "b"))})
    assert found.to_pydict() == {
        "reason": [None, "exact_duplicate", None, "near_duplicate"],
        "detail": [None, "a", None, "b"],
    }


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    table = table_of({"a": words(*range(9))})
    write_signatures(tmp_path / "a", [near_signatures(table, NearDuplicates(), 0)])
    write_signatures(tmp_path / "b", [near_signatures(table, NearDuplicates(match=MinHash(seed=2)), 1)])
    (tmp_path / "c").write_bytes(b"PAR1")
    pq.write_table(table, tmp_path / "d")
    for name, problem in (
        ("b", "other settings"),
        ("c", "cannot be read"),
        ("d", "holds no signatures"),
        ("e", "cannot be read"),
    ):
        with pytest.raises(DataError, match=problem) as caught:
            find_duplicates([tmp_path / "a", tmp_path / name], [tmp_path / "1", tmp_path / "2"])
        assert caught.value.where == str(tmp_path / name)


def test_too_little_memory_or_disk_is_said_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="1,000,000,000 signatures need .* of memory"):
        budget_for(1_000_000_000, memory_bytes=1_000_000_000)
    assert (
        budget_for(10_000_000, memory_bytes=1_000_000_000).text().startswith("10,000,000 signatures, sorted in memory")
    )
    assert "in 2 parts on disk" in budget_for(10_000_000, memory_bytes=600_000_000).text()
    write_signatures(tmp_path / "a", [near_signatures(table_of({"a": words(*range(9))}), NearDuplicates(), 0)])
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10})())
    with pytest.raises(SartorError, match="disk is full"):
        find_duplicates([tmp_path / "a"], [tmp_path / "drops"])


SEARCH = """
import sys
from pathlib import Path
from sartor.base.device import peak_rss_bytes
from sartor.data.duplicates.removal import find_duplicates

folder = Path(sys.argv[1])
find_duplicates([folder / "few"], [folder / "few.drops"])  # loads what the search itself does not count
signatures = sorted(folder.glob("*.signatures"))
before = peak_rss_bytes()
found = find_duplicates(signatures, [path.with_suffix(".drops") for path in signatures], int(sys.argv[2]))
print(found.budget.partitions, found.dropped, found.budget.memory_bytes, peak_rss_bytes() - before)
"""


def test_memory_stays_within_what_was_said(tmp_path: Path) -> None:
    """Two million signatures, most of them copies: the peak in a process of its own, against the budget."""
    rule = NearDuplicates(match=MinHash(bands=2))
    few = near_signatures(table_of({"a": words(*range(9)), "b": words(*range(9))}), rule, 0)
    write_signatures(tmp_path / "few", [few])
    schema = few.schema
    draw, count = np.random.default_rng(0), 125_000
    for shard in range(16):
        keys = draw.integers(0, 1_500_000, (2, count)).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        keys[0] = draw.integers(0, 2**63, count)
        ids = [f"{shard}-{row}" for row in range(count)]
        numbers = [np.full(count, shard), np.arange(count), np.arange(count)]
        columns = [ids, *numbers, draw.integers(0, 2**63, count), *keys]
        table = pa.table(
            [pa.array(each, kind) for each, kind in zip(columns, schema.types, strict=True)], schema=schema
        )
        write_signatures(tmp_path / f"{shard:02d}.signatures", [table])
    command = [sys.executable, "-c", SEARCH, str(tmp_path), "140000000"]
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=240, check=True)
    partitions, dropped, promised, grown = map(int, finished.stdout.split())
    assert partitions >= 4 and dropped > 500_000
    assert grown < promised <= 140_000_000


@pytest.mark.parametrize(
    ("exact_scope", "near_scope"),
    [("everything", "everything"), ("everything", "language"), ("language", "everything")],
)
def test_exact_and_near_together_never_drop_the_last_copy(tmp_path: Path, exact_scope: str, near_scope: str) -> None:
    texts = mixed_texts()
    texts |= {f"{name} {number}": f" {text.upper()}" for number in range(2) for name, text in list(texts.items())[::3]}
    table = table_of(texts, language=lambda name: "en" if len(name) % 2 else "de")
    exact, _ = search(tmp_path, [table], ExactDuplicates(scope=exact_scope), exact_signatures)
    near, _ = search(tmp_path, [table], NearDuplicates(scope=near_scope))
    dropped = exact | near
    for name in dropped:
        seen = [name]
        while seen[-1] in dropped:  # ends, for every step leads to a better document
            seen.append(exact.get(seen[-1]) or near[seen[-1]])
            assert len(seen) < 20
    assert exact and near and len(dropped) < len(texts)
