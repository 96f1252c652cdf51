"""`sartor tokenizer` as a whole: what is learnt, what is measured, what is written."""

import random
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from sartor.base.errors import DataError, UsageError
from sartor.data.document_folder import DocumentWriter
from sartor.data.documents import documents_table
from sartor.data.token_shards.source import is_held_out
from sartor.recipes import tokenizer_making
from sartor.recipes.tokenizer import TokenizerConfig, TokenizerResult, run
from tests import tiny_folders, tiny_models

SYLLABLES = [first + second for first in "bdfgklmnprst" for second in "aeiou"]


def document(number: int) -> str:
    draw = random.Random(number)
    words = ["".join(draw.choices(SYLLABLES, k=draw.choice((1, 2, 3)))) for _ in range(30)]
    return " ".join(draw.choices(words, k=200))


def documents(folder: Path, count: int = 60) -> Path:
    with DocumentWriter(folder) as writer:
        writer.add(documents_table({"id": f"d{n}", "text": document(n), "source": "test"} for n in range(count)))
    return folder


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tokenizer_making, "is_fetched", lambda name: False)
    return documents(tmp_path / "documents")


def make(data: Path | list[str], out: Path, **settings: object) -> TokenizerResult:
    given = data if isinstance(data, list) else [str(data)]
    return run(TokenizerConfig.model_validate({"data": given, "vocab_size": 600, "out": str(out), **settings}))


def test_it_learns_from_some_documents_and_is_measured_on_the_others(data: Path, tmp_path: Path) -> None:
    result = make(data, tmp_path / "own", held_out_share=0.3)
    held_out = [document(n) for n in range(60) if is_held_out(f"d{n}", 0.3)]
    learnt = [document(n) for n in range(60) if not is_held_out(f"d{n}", 0.3)]
    assert result.learnt_bytes == sum(map(len, learnt))
    assert (result.measured_on, result.measured_documents) == ("held-out", len(held_out))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "own", local_files_only=True)
    assert len(tokenizer) == result.vocabulary == result.asked == 600
    own = result.compressions[0]
    assert own.text_bytes == sum(map(len, held_out))
    assert own.tokens == sum(len(tokenizer(text).input_ids) for text in held_out)
    assert own.bytes_per_token > 1.5
    seen = {token for text in [*held_out, *learnt] for token in tokenizer(text).input_ids}
    assert result.unused == len(set(range(264, 600)) - seen)
    assert result.unused_in_bytes == own.text_bytes + result.learnt_bytes
    longest = max(len(tokenizer.decode([index])) for index in range(264, 600))
    assert len(result.longest[0]) == longest and result.not_restored == 0


def test_it_is_compared_with_other_tokenizers_on_the_same_texts(data: Path, tmp_path: Path) -> None:
    other = tiny_folders.language_model(tmp_path / "model")
    result = make(data, tmp_path / "own", compare=[str(other)])
    own, compared, by_bytes = result.compressions
    assert compared.name == str(other) and compared.vocabulary == len(tiny_models.tokenizer())
    assert own.text_bytes == compared.text_bytes == by_bytes.text_bytes == by_bytes.tokens
    assert own.bytes_per_token > compared.bytes_per_token > by_bytes.bytes_per_token == 1
    assert result.as_dict()["compressions"][0]["bytes_per_token"] == own.bytes_per_token


def test_the_same_texts_give_the_same_folder_and_an_own_one_is_replaced(data: Path, tmp_path: Path) -> None:
    def contents(folder: Path) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    make(data, tmp_path / "one")
    make(data, tmp_path / "two", vocab_size=700)
    assert contents(tmp_path / "one") != contents(tmp_path / "two")
    make(data, tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_sample_is_drawn_by_the_ids(data: Path, tmp_path: Path) -> None:
    whole = make(data, tmp_path / "whole", held_out_share=0.1)
    half = make(data, tmp_path / "half", held_out_share=0.1, sample_bytes=whole.learnt_bytes // 2)
    assert 0.2 < half.learnt_bytes / whole.learnt_bytes < 0.8
    assert half.measured_documents == whole.measured_documents


def test_one_document_alone_is_measured_on_what_was_learnt_and_that_is_said(data: Path, tmp_path: Path) -> None:
    book = tmp_path / "book.txt"
    book.write_text(document(0) * 5)
    assert make([str(book)], tmp_path / "own").measured_on == "learnt"


def test_several_sources_count_together(data: Path, tmp_path: Path) -> None:
    book = tmp_path / "book.txt"
    book.write_text("quixotic zephyrs " * 500)
    result = make([str(data), str(book)], tmp_path / "own")
    assert any("quixotic" in token for token in result.longest)


def test_a_folder_of_something_else_is_left_alone(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "own"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="already holds something else"):
        make(data, out)
    assert (out / "notes.txt").read_text() == "mine"


def test_texts_that_are_none_are_refused(tmp_path: Path, data: Path) -> None:
    with pytest.raises(DataError, match="no text to learn from"):
        make([str(data)], tmp_path / "own", held_out_share=0.4, sample_bytes=1)
    assert not (tmp_path / "own").exists()
