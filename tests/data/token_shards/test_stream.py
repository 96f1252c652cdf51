"""The stream of windows against a plain reading of all documents, and its order."""

import random
from pathlib import Path

import numpy as np
import pytest

from sartor.base.errors import DataError
from sartor.data.token_shards.stream import TokenStream, Weighted, drawn_order
from tests.data.token_shards import made


def plain_reading(documents: list[list[int]], seed: int, source: int, tokens: int) -> tuple[list[int], list[bool]]:
    """The first tokens of a source's stream, and whether each begins a document."""
    ids: list[int] = []
    begins: list[bool] = []
    epoch = 0
    while len(ids) < tokens:
        for number in drawn_order(len(documents), seed, epoch, source):
            ids += documents[number]
            begins += [True] + [False] * (len(documents[number]) - 1)
        epoch += 1
    return ids[:tokens], begins[:tokens]


@pytest.mark.parametrize("window", [1, 7, 64, 5000])
def test_windows_are_a_plain_reading_cut_up(tmp_path: Path, window: int) -> None:
    documents = made.random_documents(60)
    split = made.shards(tmp_path / "tokens", documents).split("train")
    assert len(split.shards) > 5
    stream, count = TokenStream([Weighted(split)], window, seed=3), max(20, 4 * split.num_tokens // window)
    ids, begins = plain_reading(documents, 3, 0, count * window + 1)
    for index in range(count):
        found, first = stream.window(index), index * window
        assert found.ids.tolist() == ids[first : first + window + 1]
        expected = {0} | {place for place in range(window + 1) if begins[first + place]}
        assert found.starts == tuple(sorted(expected))
        assert found.where == f"train window {index}"


def test_an_epoch_trains_on_every_token_once_but_the_first_of_each_document(tmp_path: Path) -> None:
    documents = made.random_documents(40, seed=1)
    split = made.shards(tmp_path / "tokens", documents).split("train")
    window = next(size for size in range(2, 50) if split.num_tokens % size == 0)
    stream = TokenStream([Weighted(split)], window, seed=0)
    for epoch in range(3):
        targets: list[int] = []
        for index in range(epoch * stream.windows_per_epoch, (epoch + 1) * stream.windows_per_epoch):
            found = stream.window(index)
            targets += [int(found.ids[place]) for place in range(1, window + 1) if place not in found.starts]
        assert sorted(targets) == sorted(token for ids in documents for token in ids[1:])


def test_every_window_is_the_same_however_it_is_asked_for(tmp_path: Path) -> None:
    splits = [
        made.shards(tmp_path / f"tokens{seed}", made.random_documents(30 + 20 * seed, seed)).split("train")
        for seed in range(3)
    ]

    def fresh() -> TokenStream:
        mixture = zip(splits, (0.5, 0.2, 0.3), strict=True)
        return TokenStream([Weighted(split, weight) for split, weight in mixture], 32, seed=9)

    in_order, draw = fresh(), random.Random(0)
    expected = [in_order.window(index) for index in range(300)]
    shuffled, order = fresh(), draw.sample(range(300), 300)
    for index in order:
        alone = fresh().window(index) if index % 10 == 0 else shuffled.window(index)
        assert np.array_equal(alone.ids, expected[index].ids) and alone.starts == expected[index].starts
    for process in range(2):  # two workers, each its own windows
        worker = fresh()
        for index in range(process, 300, 2):
            assert np.array_equal(worker.window(index).ids, expected[index].ids)


def test_the_mixture_reads_each_source_on_where_it_stopped(tmp_path: Path) -> None:
    given = [made.random_documents(50, 4), made.random_documents(10, 5)]
    splits = [made.shards(tmp_path / str(n), documents).split("train") for n, documents in enumerate(given)]
    stream = TokenStream([Weighted(splits[0], 3), Weighted(splits[1], 1)], 16, seed=1)
    ids = [plain_reading(documents, 1, n, 200 * 16 + 1)[0] for n, documents in enumerate(given)]
    turns = [0, 0]
    for index in range(200):
        source = stream.counts(index + 1)[1] - stream.counts(index)[1]
        first = turns[source] * 16
        assert stream.window(index).ids.tolist() == ids[source][first : first + 17]
        turns[source] += 1
    assert turns == [150, 50]
    assert stream.shares[0] == pytest.approx(0.75, abs=1 / stream.windows_per_epoch)
    assert stream.windows_per_epoch == (splits[0].num_tokens + splits[1].num_tokens) // 16


def split_mix(state: int) -> int:
    """SplitMix64's output function in whole numbers, as its authors print it."""
    state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    state = (state ^ state >> 27) * 0x94D049BB133111EB % 2**64
    return state ^ state >> 31


@pytest.mark.parametrize("key", [(0, 0, 0), (7, 1, 2), (2**63 + 5, 10**6, 3)])
def test_orders_are_the_same_on_every_machine(key: tuple[int, int, int]) -> None:
    step, state = 0x9E3779B97F4A7C15, 0
    for value in key:
        state = split_mix((state + value + step) % 2**64)
    outputs = [split_mix((state + step * number) % 2**64) for number in range(1, 101)]
    assert drawn_order(100, *key).tolist() == sorted(range(100), key=outputs.__getitem__)


def test_orders_differ_by_seed_epoch_and_source_and_favour_no_document() -> None:
    keys = [(seed, epoch, source) for seed in range(4) for epoch in range(4) for source in range(4)]
    assert len({tuple(drawn_order(50, *key)) for key in keys}) == 64
    first = np.array([drawn_order(8, seed, 0, 0)[0] for seed in range(4000)])
    assert np.bincount(first, minlength=8).min() > 400  # of 500 expected


def test_a_source_without_documents_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no documents to train on"):
        TokenStream([Weighted(made.shards(tmp_path / "tokens", []).split("train"))], 8, seed=0)
