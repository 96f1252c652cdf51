"""GGUF files of the starter in llama.cpp itself: the same tokens in, the same greedy tokens out."""

from pathlib import Path
from typing import Any

import pytest
import torch

from sartor.generation.local import LocalModel
from sartor.generation.protocol import Sampling
from sartor.models.hub import locate
from sartor.recipes.export import ExportConfig, run

llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed (extra `llamacpp`)")

NEW_TOKENS = 32
QUESTIONS = [
    "What is the capital of France?",
    "Write a haiku about rain.",
    "Add 17 and 25.",
    "Explain in one sentence why the sky is blue.",
    "List three fruits, one a line.",
    "Translate to German: good morning, my friend!",
]
HARD = [
    "a", " a", "a ", "  two  spaces   three    four", "\n\n\nlines\n \n", "tab\tand\r\nreturn", "12345 1,234.56 007",
    "x=y**2; // comment", "it's they'll WE'RE I'd", "naïve Ærøskøbing straße ẞ", "日本語のテキスト、中文也一样。",
    "한국어 텍스트",
    "🙂‍↔️ 👩‍👩‍👧 🇳🇴", "e\u0301 versus é", "\u00a0\u2003wide\u200bzero", "¼ Ⅷ ٣٤٥ ²", "<|im_start|>user\nhi<|im_end|>",
    "<|endoftext|>", "<|im_start", "العربية עברית", "http://example.org/a?b=c&d=%20", "def f(x):\n    return x  # ok\n",
]  # fmt: skip


@pytest.fixture(scope="module", params=["f32", "bf16"])
def exported(request: pytest.FixtureRequest, starter_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("gguf") / request.param
    run(ExportConfig(model="starter", format="gguf", dtype=request.param, out=str(out)))
    exact = llama_cpp.GGML_TYPE_F32
    return llama_cpp.Llama(
        str(out / f"model-{request.param}.gguf"), n_ctx=512, logits_all=False, verbose=False, n_threads=1, type_k=exact,
        type_v=exact, flash_attn=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def ours(starter_model: Path) -> LocalModel:
    return LocalModel.open(locate("starter"), torch.float32)


def test_text_becomes_the_same_tokens(exported: Any, ours: LocalModel) -> None:
    tokenizer = ours.chat.tokenizer
    for text in HARD:
        plain = tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
        assert exported.tokenize(text.encode(), add_bos=False, special=False) == plain, repr(text)
        control = tokenizer(text, add_special_tokens=False).input_ids
        assert exported.tokenize(text.encode(), add_bos=False, special=True) == control, repr(text)
        assert exported.tokenize(text.encode(), special=True) == tokenizer(text).input_ids, repr(text)
        assert exported.detokenize(plain).decode() == text


def test_the_template_in_the_file_asks_with_our_prompt(exported: Any, ours: LocalModel) -> None:
    from llama_cpp.llama_chat_format import Jinja2ChatFormatter

    formatter = Jinja2ChatFormatter(exported.metadata["tokenizer.chat_template"], eos_token="", bos_token="")
    for question in QUESTIONS:
        messages: Any = [{"role": "user", "content": question}]
        prompt = formatter(messages=messages).prompt
        assert exported.tokenize(prompt.encode(), add_bos=False, special=True) == ours.chat.prompt(messages)
    assert exported.token_eos() in ours.chat.stop_ids


def test_greedy_answers_are_the_same_tokens(exported: Any, ours: LocalModel) -> None:
    conversations: Any = [[{"role": "user", "content": question}] for question in QUESTIONS]
    replies = ours.generate(conversations, Sampling(max_new_tokens=NEW_TOKENS))
    for question, conversation, reply in zip(QUESTIONS, conversations, replies, strict=True):
        found: list[int] = []
        for token in exported.generate(ours.chat.prompt(conversation), temp=0.0, repeat_penalty=1.0):
            found.append(token)
            if token in ours.chat.stop_ids or len(found) == NEW_TOKENS:
                break
        assert found == reply.token_ids, question
