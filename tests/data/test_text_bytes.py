"""The bytes of tokens add up to the bytes of the text."""

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

from sartor.data.text_bytes import is_byte_level, token_bytes
from tests import tiny_models

TEXTS = ["plain words, 123", "Grüße — 東京 🙂", "  spaces\tand\nlines\n", ""]


@pytest.mark.parametrize("text", TEXTS)
def test_bytes_of_a_texts_tokens_are_the_texts(text: str) -> None:
    tokenizer = tiny_models.tokenizer()
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert int(token_bytes(tokenizer)[ids].sum()) == len(text.encode())


def test_control_tokens_are_no_text() -> None:
    tokenizer = tiny_models.tokenizer()
    sizes = token_bytes(tokenizer)
    assert len(sizes) == len(tokenizer)
    assert all(int(sizes[index]) == 0 for index in tokenizer.all_special_ids)
    assert int((sizes == 0).sum()) == len(
        {*tokenizer.all_special_ids, *(i for i, t in tokenizer.added_tokens_decoder.items() if t.special)}
    )


def test_a_vocabulary_of_words_counts_what_it_decodes_to() -> None:
    words = Tokenizer(models.WordLevel({"<end>": 0, "red": 1, "größe": 2}, unk_token="<end>"))
    words.normalizer, words.decoder = normalizers.NFC(), decoders.WordPiece()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end>")
    assert not is_byte_level(tokenizer) and is_byte_level(tiny_models.tokenizer())
    assert token_bytes(tokenizer).tolist() == [0, 3, len("größe".encode())]
