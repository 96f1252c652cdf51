"""The bytes of tokens add up to the bytes of the text."""

import json

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, trainers
from transformers import PreTrainedTokenizerFast

from sartor.data.text_bytes import is_byte_level, token_bytes
from sartor.data.token_shards.encoding import num_ids
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
    assert token_bytes(tokenizer).tolist() == [0, 4, 1 + len("größe".encode())]  # with the spaces before them


@pytest.fixture(scope="module")
def sentence_piece() -> PreTrainedTokenizerFast:
    """Llama's kind: a space is a character of the words, and bytes stand for what is not in the vocabulary."""
    made = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    made.decoder = decoders.Sequence(steps)
    all_bytes = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<unk>", "<s>", *all_bytes], limit_alphabet=40, show_progress=False
    )
    made.train_from_iterator(["the plain words of the mill, and of the river 123\n"] * 9, trainer)
    settings = json.loads(made.to_str())
    settings["added_tokens"] = [each for each in settings["added_tokens"] if not each["content"].startswith("<0x")]
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(settings)), bos_token="<s>", unk_token="<unk>"
    )


@pytest.mark.parametrize("text", [*TEXTS[:3], "the words", "<0xE2> of the river  and\tthe mill ."])
def test_spaces_and_single_bytes_of_sentence_pieces_are_counted(
    text: str, sentence_piece: PreTrainedTokenizerFast
) -> None:
    ids = sentence_piece.encode(text, add_special_tokens=False)
    assert not is_byte_level(sentence_piece)
    written_in_bytes = any(token.startswith("<0x") for token in sentence_piece.convert_ids_to_tokens(ids))
    assert written_in_bytes == (text not in ("plain words, 123", "the words"))
    assert int(token_bytes(sentence_piece)[ids].sum()) == len(text.encode()) + 1  # the space put before it


def test_ids_that_are_of_no_token_have_no_bytes() -> None:
    words = Tokenizer(models.WordLevel({"<end>": 0, "red": 3, "green": 5}, unk_token="<end>"))
    words.decoder = decoders.WordPiece()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end>")
    assert len(tokenizer) == 3 and num_ids(tokenizer) == 6
    assert token_bytes(tokenizer).tolist() == [0, 0, 0, 4, 0, 6]
