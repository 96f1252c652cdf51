"""GGUF files: what is written is read back as the same function with the same tokens; the rest is refused by name."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from jinja2 import Environment
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, GgufConfig, PreTrainedModel, PreTrainedTokenizerFast

from sartor.base.errors import DataError, UsageError
from sartor.models.gguf_folder import convert_gguf
from sartor.models.gguf_names import gguf_name, half_rotary, hub_name, interleaved_rotary
from sartor.models.gguf_tokenizer import ONE_DIGIT, SPLITS, THREE_DIGITS, build_tokenizer, tokenizer_fields
from sartor.models.gguf_writer import About, Storage, readable_tokens, require_writable, write_gguf
from sartor.models.hub import load_model, load_tokenizer
from tests import tiny_models
from tests.models.tiny_gguf import write_tiny_gguf

IDS = torch.arange(10, 60)[None]
ABOUT = About("tiny", "tiny base", tiny_models.LLAMA3, end_of_turn=4, licence="apache-2.0")
LLAMA3_ROPE = {
    "rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip
HARD = [
    "", " ", "\n\n\n", "a  12\t345   67", "I'll they'VE can't", "naïve Ærøskøbing ẞ", "日本語とEnglish混ざる",
    "🙂‍↔️👩‍👩‍👧",
    "x=y**2;\r\n  return", "<|begin|>user<|eot|>", "¼ Ⅷ ٣٤٥", "e\u0301 é", "\u00a0\u2003 wide",
]  # fmt: skip


def tiny(family: str, **settings: Any) -> PreTrainedModel:
    """A random model whose biases and norms are not all alike."""
    model = tiny_models.model(family)
    for name, value in settings.items():
        setattr(model.config, name, value)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)) / 4)
    return model.__class__(model.config).eval() if "rope_parameters" in settings else model


def write(path: Path, model: PreTrainedModel, storage: Storage = "f32", about: About = ABOUT) -> Path:
    fields = tokenizer_fields(tiny_models.tokenizer("llama3"), tiny_models.VOCABULARY)
    write_gguf(path, model, fields, storage, about)
    return path


def read_back(file: Path, folder: Path) -> PreTrainedModel:
    folder.mkdir(parents=True)
    convert_gguf(file, folder, "x", torch.float32)
    return load_model(folder, torch.float32)


def fields_of(file: Path) -> dict[str, Any]:
    return {key: field.contents() for key, field in gguf.GGUFReader(file).fields.items()}


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3"])
def test_every_family_comes_back_the_same_through_our_reader_and_that_of_transformers(
    family: str, tmp_path: Path
) -> None:
    model = tiny(family, **({"sliding_window": None} if family == "mistral" else {}))
    file = write(tmp_path / "x.gguf", model)
    with torch.no_grad():
        live = model(IDS).logits
        assert torch.equal(read_back(file, tmp_path / "ours")(IDS).logits, live)
        if family == "qwen3":
            return  # transformers' reader takes heads to be 128 wide, whatever the file says
        theirs = AutoModelForCausalLM.from_pretrained(
            tmp_path, gguf_file=file.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
        )
        torch.testing.assert_close(theirs(IDS).logits, live, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("storage", "bits"), [("bf16", 8), ("f16", 11), ("q8_0", 7)])
def test_matrices_are_stored_as_asked_and_vectors_exactly(storage: Storage, bits: int, tmp_path: Path) -> None:
    model = tiny("llama")
    file = write(tmp_path / "x.gguf", model, storage)
    state = model.state_dict()
    again = read_back(file, tmp_path / "again").state_dict()
    for tensor in gguf.GGUFReader(file).tensors:
        expected = state[hub_name(tensor.name)]
        assert tensor.tensor_type.name == ("F32" if expected.ndim == 1 else storage.upper())
        difference = (again[hub_name(tensor.name)] - expected).abs().max()
        assert difference <= expected.abs().max() * 2.0**-bits * (expected.ndim == 2), tensor.name
        assert difference > 0 or expected.ndim == 1


def test_rows_that_no_block_fits_stay_in_float16(tmp_path: Path) -> None:
    file = write(tmp_path / "x.gguf", tiny_models.model("llama", width=48), "q8_0")
    kinds = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(file).tensors}
    assert kinds["blk.0.attn_q.weight"] == "F16"  # rows of 48
    assert kinds["blk.0.attn_output.weight"] == "Q8_0"  # rows of 4 heads of 8


def test_tied_heads_are_written_once(tmp_path: Path) -> None:
    model = tiny("llama", tie_word_embeddings=True)
    model.lm_head.weight = model.model.embed_tokens.weight
    file = write(tmp_path / "x.gguf", model)
    assert "output.weight" not in {tensor.name for tensor in gguf.GGUFReader(file).tensors}
    again = read_back(file, tmp_path / "again")
    assert again.config.tie_word_embeddings
    with torch.no_grad():
        assert torch.equal(again(IDS).logits, model(IDS).logits)


def test_long_context_angles_come_back_and_are_checked(tmp_path: Path) -> None:
    model = tiny("llama", rope_parameters=LLAMA3_ROPE)
    file = write(tmp_path / "x.gguf", model)
    factors = next(tensor.data for tensor in gguf.GGUFReader(file).tensors if tensor.name == "rope_freqs.weight")
    assert factors.shape == (4,) and factors[0] == 1.0 and factors[-1] == pytest.approx(8.0, rel=1e-5)
    again = read_back(file, tmp_path / "again")
    with torch.no_grad():
        assert torch.equal(again(IDS).logits, model(IDS).logits)
        plain = tiny("llama")
        plain.load_state_dict(model.state_dict())
        assert not torch.equal(plain(IDS).logits, model(IDS).logits)
    damaged = tmp_path / "y.gguf"
    damaged.write_bytes(file.read_bytes().replace(b'"factor": 8.0', b'"factor": 4.0'))
    with pytest.raises(DataError, match="rope_freqs"):
        convert_gguf(damaged, tmp_path / "again", "x")


def test_the_file_says_what_it_is_and_how_a_turn_ends(tmp_path: Path) -> None:
    fields = fields_of(write(tmp_path / "x.gguf", tiny("llama"), "bf16"))
    assert fields["general.name"] == "tiny" and fields["general.license"] == "apache-2.0"
    assert fields["general.base_model.0.name"] == "tiny base"
    assert fields["general.file_type"] == gguf.LlamaFileType.MOSTLY_BF16
    assert fields["tokenizer.chat_template"] == tiny_models.LLAMA3
    assert (fields["tokenizer.ggml.eos_token_id"], fields["tokenizer.ggml.eot_token_id"]) == (0, 4)
    assert fields["tokenizer.ggml.bos_token_id"] == 1 and fields["tokenizer.ggml.add_bos_token"] is False
    same = fields_of(write(tmp_path / "y.gguf", tiny("llama"), about=replace(ABOUT, end_of_turn=0)))
    assert "tokenizer.ggml.eot_token_id" not in same


def test_a_template_is_given_no_beginning_of_text_where_there_is_none(tmp_path: Path) -> None:
    """llama.cpp would take token 11 for it."""
    template = "{{ bos_token }}{% for message in messages %}{{ message['content'] }}{% endfor %}"
    tokenizer = tiny_models.tokenizer("chatml")
    fields = tokenizer_fields(tokenizer, tiny_models.VOCABULARY)
    write_gguf(tmp_path / "x.gguf", tiny("llama"), fields, "f32", replace(ABOUT, template=template))
    written = fields_of(tmp_path / "x.gguf")
    assert "tokenizer.ggml.bos_token_id" not in written
    asked = Environment().from_string(written["tokenizer.chat_template"])
    assert asked.render(messages=[{"content": "hi"}], bos_token=",") == "hi"
    read_back(tmp_path / "x.gguf", tmp_path / "a")
    assert (tmp_path / "a" / "chat_template.jinja").read_text() == template
    with_one = fields_of(write(tmp_path / "y.gguf", tiny("llama"), about=replace(ABOUT, template=template)))
    assert with_one["tokenizer.chat_template"] == template


def test_a_sliding_window_bounds_the_context_that_is_promised(tmp_path: Path) -> None:
    model = tiny("mistral", sliding_window=64)
    assert readable_tokens(model.config) == 64
    assert fields_of(write(tmp_path / "x.gguf", model))["llama.context_length"] == 64
    with torch.no_grad():
        assert torch.equal(read_back(tmp_path / "x.gguf", tmp_path / "a")(IDS).logits, model(IDS).logits)


@pytest.mark.parametrize("family", ["gemma2", "gemma3", "gpt2"])
def test_other_families_are_refused_by_name(family: str) -> None:
    config = tiny_models.model(family).config
    with pytest.raises(UsageError, match=config.model_type) as refused:
        require_writable(config)
    assert "safetensors" in str(refused.value.hint)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"hidden_act": "gelu"}, "gelu"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 2.0}}, "yarn"),
    ],
)
def test_settings_without_a_form_are_refused_by_name(settings: dict[str, Any], named: str) -> None:
    config = tiny_models.model("llama").config
    for name, value in settings.items():
        setattr(config, name, value)
    with pytest.raises(UsageError, match=named):
        require_writable(config)


def test_names_and_rotary_orders_are_each_others_inverse() -> None:
    for family in ("llama", "qwen2", "qwen3"):
        for name in tiny_models.model(family).state_dict():
            assert hub_name(gguf_name(name)) == name
    values = np.arange(4 * 6 * 5).reshape(24, 5)
    turned = interleaved_rotary(values, 4)
    assert (half_rotary(turned, 4) == values).all()
    assert (turned[:6, 0] // 5).tolist() == [0, 3, 1, 4, 2, 5]
    assert (interleaved_rotary(values[:, 0], 4) == turned[:, 0]).all()  # biases too
    for name in ("blk.0.ffn_gate_exps.weight", "blk.0.attn_q", "other"):
        with pytest.raises(KeyError):
            hub_name(name)


# --- tokenizers ---------------------------------------------------------------------------------------------------


def raw_tokenizer(pre: str) -> Tokenizer:
    """A trained byte-level tokenizer that splits by llama.cpp's rule `pre`, written as published models have it."""
    split = SPLITS[pre]
    raw = Tokenizer(models.BPE(ignore_merges=split.whole_words))
    raw.pre_tokenizer = {
        "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(False)]),
        "gpt-2": pre_tokenizers.ByteLevel(False),
    }.get(pre) or pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(split.rule), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    raw.normalizer = normalizers.NFC() if split.composed else None
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=380, special_tokens=["<|end|>", "<|turn|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    raw.train_from_iterator(["they'll say 123 things, 日本語 and naïve   code\n\nfor 2026"] * 3, trainer)
    return raw


def fast(raw: Tokenizer, **options: Any) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|end|>", pad_token="<|end|>", **options)


@pytest.mark.parametrize("pre", sorted(SPLITS))
def test_every_rule_is_known_by_its_form_and_gives_the_same_tokens(pre: str) -> None:
    tokenizer = fast(raw_tokenizer(pre), bos_token="<|turn|>")
    tokenizer.add_tokens(["<tool>"])
    fields = tokenizer_fields(tokenizer, 400)
    assert fields.pre == pre
    used = len(tokenizer)
    assert fields.types[used:] == [5] * (400 - used) and fields.tokens[399] == "[PAD399]"
    assert fields.types[fields.tokens.index("<tool>")] == 4 and fields.types[:2] == [3, 3]
    again = build_tokenizer(fields)
    draw = random.Random(0)
    wild = ["".join(chr(draw.choice([32, 48, 97, 0xE9, 0x301, 0x4E00, draw.randrange(0xD800)])) for _ in range(30))
            for _ in range(200)]  # fmt: skip
    for text in [*HARD, *wild, "a<tool>b<|end|><|turn|>c"]:
        assert again.encode(text).ids == tokenizer(text).input_ids, repr(text)


def test_tokens_that_are_put_around_a_text_are_told(tmp_path: Path) -> None:
    raw = raw_tokenizer("llama-bpe")
    plain = tokenizer_fields(fast(raw, bos_token="<|turn|>"), 400)
    assert (plain.add_bos, plain.add_eos) == (False, False)
    surrounded = replace(plain, add_bos=True, add_eos=True)
    tokenizer = fast(build_tokenizer(surrounded), bos_token="<|turn|>")
    assert tokenizer_fields(tokenizer, 400) == surrounded
    assert tokenizer("say").input_ids == [1, *raw.encode("say").ids, 0]


def unlike(kind: str) -> Tokenizer:
    raw = raw_tokenizer("smollm")
    if kind == "rule":
        raw.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(r"\p{L}+"), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
        )
    elif kind == "space":
        raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    elif kind == "merges":
        raw = raw_tokenizer("qwen2")
        raw.model.ignore_merges = True
    elif kind == "Lowercase":
        raw.normalizer = normalizers.Lowercase()
    elif kind == "Unigram":
        raw = Tokenizer(models.Unigram([("<|end|>", 0.0), ("a", -1.0)], unk_id=0, byte_fallback=False))
    elif kind == "byte fallback":
        raw.model.byte_fallback = True
    return raw


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("rule", "rule of splitting"), ("space", "rule of splitting"), ("merges", "rule of splitting"),
        ("Lowercase", "Lowercase"), ("Unigram", "Unigram"), ("byte fallback", "byte fallback"),
    ],
)  # fmt: skip
def test_other_tokenizers_are_refused_by_what_they_are(kind: str, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        tokenizer_fields(fast(unlike(kind)), 400)


def test_more_tokens_than_embeddings_are_refused() -> None:
    with pytest.raises(UsageError, match="300 embeddings"):
        tokenizer_fields(fast(raw_tokenizer("gpt-2")), 300)


def test_the_two_patterns_differ_in_digits_only() -> None:
    assert THREE_DIGITS.replace(r"\p{N}{1,3}", r"\p{N}") == ONE_DIGIT


def test_a_foreign_file_becomes_the_same_file_again(tmp_path: Path) -> None:
    """Read a file of other making, write it, read that: the same tokenizer, template and function."""
    write_tiny_gguf(tmp_path / "first.gguf")
    first = read_back(tmp_path / "first.gguf", tmp_path / "first")
    tokenizer = load_tokenizer(tmp_path / "first")
    fields = tokenizer_fields(tokenizer, first.config.vocab_size)
    about = replace(ABOUT, template=tokenizer.chat_template, end_of_turn=None)
    write_gguf(tmp_path / "second.gguf", first, fields, "f32", about)
    second = read_back(tmp_path / "second.gguf", tmp_path / "second")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        assert (tmp_path / "first" / name).read_text() == (tmp_path / "second" / name).read_text()
    with torch.no_grad():
        assert torch.equal(first(IDS).logits, second(IDS).logits)
