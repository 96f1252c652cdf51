"""The dev split: by group, within its bounds, the same on every machine, and stable when rows are added."""

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sartor.base.errors import DataError
from sartor.data.records import Row
from sartor.data.split import group_fraction, split_dev
from sartor.data.turns import message


def rows_of(groups: Sequence[str]) -> list[Row]:
    return [Row(str(i), [message("user", f"q{i}")], ("a",), group) for i, group in enumerate(groups)]


def group_of(row: Row) -> str:
    return row.group


def numbered(count: int, first: int = 0) -> list[str]:
    return [f"group {number}" for number in range(first, first + count)]


def test_the_fraction_is_the_sha256_of_the_group() -> None:
    # printf abc | sha256sum → ba7816bf8f01cfea…
    assert group_fraction("abc") == 0xBA7816BF8F01CFEA / 2**64


group_names = st.lists(st.text(max_size=3), min_size=2, max_size=120).filter(
    lambda names: len(set(names)) > 1
)


@given(group_names)
def test_no_group_straddles_and_no_row_is_lost(groups: list[str]) -> None:
    rows = rows_of(groups)
    train, dev = split_dev(rows, group_of)
    assert train and dev
    assert not {row.group for row in train} & {row.group for row in dev}
    assert sorted(train + dev, key=lambda row: int(row.id)) == rows
    assert [row.id for row in train] == sorted((row.id for row in train), key=int)


@given(group_names, st.randoms())
def test_the_order_of_rows_does_not_matter(groups: list[str], random: Random) -> None:
    rows = rows_of(groups)
    shuffled = random.sample(rows, len(rows))
    assert {row.id for row in split_dev(rows, group_of)[1]} == {
        row.id for row in split_dev(shuffled, group_of)[1]
    }


@pytest.mark.parametrize(("before", "added"), [(200, 900), (500, 5), (1500, 700), (3000, 1000)])
def test_rows_that_are_added_move_no_other(before: int, added: int) -> None:
    first = {row.group for row in split_dev(rows_of(numbered(before)), group_of)[1]}
    second = {row.group for row in split_dev(rows_of(numbered(before + added)), group_of)[1]}
    old = set(numbered(before))
    assert second & old == first
    assert second - old  # the new rows are split as well


@pytest.mark.parametrize("count", [2, 3, 10, 60, 134, 300, 763, 1333, 2500, 10_000])
def test_the_size_keeps_its_bounds(count: int) -> None:
    train, dev = split_dev(rows_of(numbered(count)), group_of)
    assert 1 <= len(dev) <= 200
    assert len(dev) <= max(1, count / 3)
    if count >= 134:
        assert len(dev) >= 20
    if 300 <= count <= 1000:
        assert len(dev) / count == pytest.approx(0.15, abs=0.05)


def test_a_huge_group_stays_in_train() -> None:
    groups = ["huge"] * 900 + numbered(100)
    train, dev = split_dev(rows_of(groups), group_of)
    assert "huge" not in {row.group for row in dev} and dev


def test_one_group_cannot_be_split() -> None:
    with pytest.raises(DataError, match="one group") as caught:
        split_dev(rows_of(["same"] * 50), group_of)
    assert caught.value.hint and "dev file" in caught.value.hint
