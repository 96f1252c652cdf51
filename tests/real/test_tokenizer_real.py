"""A tokenizer trained on real books against the starter's, and in llama.cpp's own reading where that is installed."""

import os
from pathlib import Path

import pytest

from sartor.data.token_shards.encoding import TextEncoder, backend_settings
from sartor.data.token_shards.layout import DTYPES
from sartor.data.token_shards.source import open_source
from sartor.data.token_shards.tokenize import tokenize
from sartor.models.hub import load_tokenizer
from sartor.models.starter import is_fetched, starter_folder
from sartor.recipes.tokenizer import TokenizerConfig, TokenizerResult, run

DATA = Path(os.environ.get("SARTOR_DATA", Path(__file__).parents[3] / "shared" / "data")) / "raw" / "standardebooks"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="no standardebooks (SARTOR_DATA)")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> TokenizerResult:
    out = tmp_path_factory.mktemp("tokenizer") / "books"
    return run(TokenizerConfig(data=[str(DATA / "children.jsonl.gz")], vocab_size=8192, out=str(out)))


def test_a_sixth_of_the_starters_vocabulary_comes_close_to_it_on_an_unseen_book(made: TokenizerResult) -> None:
    found = {each.name: each.bytes_per_token for each in made.compressions}
    assert made.vocabulary == 8192 and made.measured_on == "held-out" and made.not_restored == 0
    assert found["this one"] > 3.6
    assert ("starter" in found) == is_fetched("starter")
    if "starter" in found:
        assert found["this one"] > 0.93 * found["starter"]
    assert made.unused < 0.05 * made.vocabulary


def test_books_become_shards_with_the_ids_of_transformers(made: TokenizerResult, tmp_path: Path) -> None:
    source, tokenizer = open_source(DATA / "children.jsonl.gz"), load_tokenizer(made.out)
    shards = tokenize(source, tokenizer, tmp_path / "tokens", 0.5)
    shards.verify()
    books = [text for table in source.tables(10**7) for text in table["text"].to_pylist()]
    written = {
        tuple(split.document(index)[1:-1].tolist())
        for split in (shards.split("train"), shards.split("held_out"))
        for index in range(split.num_documents)
    }
    assert books and all(shards.split(name).num_documents for name in ("train", "held_out"))
    assert written == {tuple(tokenizer(text, split_special_tokens=True).input_ids) for text in books}


@pytest.mark.skipif(not is_fetched("starter"), reason="the starter is not on this machine")
def test_looking_up_pieces_gives_the_starters_ids() -> None:
    tokenizer = load_tokenizer(starter_folder("starter"))
    quick = TextEncoder(backend_settings(tokenizer), DTYPES["uint16"])
    assert quick._by_pieces
    num_compared = 0
    for table in open_source(DATA / "children.jsonl.gz").tables(10**6):
        for text, raw in zip(table["text"].to_pylist(), quick.encode(table["text"].to_pylist()), strict=True):
            ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
            assert memoryview(raw).cast("H").tolist() == ids
            num_compared += len(ids)
    assert num_compared > 300_000
