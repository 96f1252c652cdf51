"""Shards as they are read, and damage to any of their files."""

import random
from pathlib import Path

import numpy as np
import pytest

from sartor.base.errors import DataError
from sartor.data.token_shards.reader import TokenShards
from tests.data.token_shards import made


def test_documents_come_back_as_they_were_written(tmp_path: Path) -> None:
    documents = made.random_documents(50)
    split = made.shards(tmp_path / "tokens", documents).split("train")
    assert len(split.shards) > 3
    assert [split.document(index).tolist() for index in range(50)] == documents
    assert split.lengths.tolist() == [len(ids) for ids in documents]
    assert split.num_tokens == sum(map(len, documents)) and split.num_documents == 50
    assert split.text_bytes.tolist() == [2 * len(ids) for ids in documents]
    assert split.num_bytes == split.text_bytes.sum()
    assert split.document(0).dtype == np.uint16
    for outside in (-1, 50):
        with pytest.raises(IndexError):
            split.document(outside)


def test_a_split_may_be_empty(tmp_path: Path) -> None:
    split = made.shards(tmp_path / "tokens", made.random_documents(4)).split("held_out")
    assert (split.num_tokens, split.num_documents, split.num_bytes) == (0, 0, 0)
    assert split.lengths.tolist() == split.text_bytes.tolist() == []


def test_a_folder_that_is_not_finished_does_not_open(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataError, match="holds no token shards"):
            TokenShards.open(folder)


def damage(path: Path, kind: str, draw: random.Random) -> None:
    content = path.read_bytes()
    if kind == "flip":
        place = draw.randrange(len(content))
        path.write_bytes(content[:place] + bytes([content[place] ^ (1 << draw.randrange(8))]) + content[place + 1 :])
    elif kind == "truncate":
        path.write_bytes(content[: draw.randrange(len(content))])
    elif kind == "zero":
        path.write_bytes(bytes(len(content)))
    elif kind == "remove":
        path.unlink()
    elif kind == "swap":
        other = draw.choice([each for each in path.parent.iterdir() if each != path and each.read_bytes() != content])
        path.write_bytes(other.read_bytes())
        other.write_bytes(content)


@pytest.mark.parametrize("kind", ["flip", "truncate", "zero", "remove", "swap"])
def test_any_damage_to_any_file_is_found(tmp_path: Path, kind: str) -> None:
    draw = random.Random(kind)
    for number in range(10):
        folder = tmp_path / f"{number}"
        made.shards(folder, made.random_documents(30, number))
        TokenShards.open(folder, verify=True)
        choices = sorted((folder / "train").iterdir()) + ([folder / "tokens.json"] if kind != "swap" else [])
        damage(draw.choice(choices), kind, draw)
        with pytest.raises(DataError) as found:
            TokenShards.open(folder, verify=True)
        assert str(folder) in str(found.value.where) and found.value.hint


def test_sizes_are_looked_at_even_when_bytes_are_not(tmp_path: Path) -> None:
    made.shards(tmp_path / "tokens", made.random_documents(30))
    path = tmp_path / "tokens" / "train" / "00001.tokens"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(DataError, match="damaged") as found:
        TokenShards.open(tmp_path / "tokens")
    assert found.value.where == str(path)
