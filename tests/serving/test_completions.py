"""`/v1/completions` with a real tiny model: continuing, echoing and scoring texts and token ids."""

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import httpx
import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.generation.grammar_walk import TOKENIZERS
from tests.serving.tiny_server import TinyServer, tiny_server

TEXT = "the cat sat on the mat — añb 猫 and said <|im_start|>nothing"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyServer]:
    with tiny_server(tmp_path_factory.mktemp("tiny")) as made:
        yield made


@pytest.fixture(scope="module", params=TOKENIZERS)
def either(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyServer]:
    """A server for each kind of tokenizer: of bytes, and one that puts a space in front of what it reads and drops the
    first of what it writes."""
    with tiny_server(tmp_path_factory.mktemp("either"), tokenizer=TOKENIZERS[request.param]()) as made:
        yield made


def complete(server: TinyServer, prompt: Any = "the cat", **options: Any) -> httpx.Response:
    body = {"model": "tiny", "prompt": prompt} | options
    return httpx.post(f"{server.url}/v1/completions", json=body, timeout=60)


def choices(server: TinyServer, prompt: Any = "the cat", **options: Any) -> list[dict[str, Any]]:
    response = complete(server, prompt, **options)
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["choices"]
    return found


def ids_of(server: TinyServer, text: str) -> list[int]:
    ids: list[int] = server.chat.tokenizer(text).input_ids
    return ids


def reference(server: TinyServer, ids: list[int]) -> torch.Tensor:
    """log-probabilities [len(ids) - 1, V] of each next token, by transformers."""
    model = AutoModelForCausalLM.from_pretrained(server.folder, dtype=torch.float32)
    with torch.no_grad():
        return torch.log_softmax(model(torch.tensor([ids])).logits[0, :-1].float(), -1)


def test_a_text_is_scored_as_transformers_does(server: TinyServer) -> None:
    ids = ids_of(server, TEXT)
    (choice,) = choices(server, TEXT, echo=True, max_tokens=0, logprobs=3)
    assert choice["text"] == TEXT and choice["finish_reason"] == "length"
    listed = choice["logprobs"]
    assert listed["token_logprobs"][0] is None and listed["top_logprobs"][0] is None
    expected = reference(server, ids)
    for place, token in enumerate(ids[1:]):
        assert listed["token_logprobs"][place + 1] == pytest.approx(float(expected[place, token]), abs=1e-4)
        top = listed["top_logprobs"][place + 1]
        best = expected[place].topk(3).values
        assert max(top.values()) == pytest.approx(float(best[0]), abs=1e-4)
        assert listed["tokens"][place + 1] in top and 1 <= len(top) <= 4


def test_tokens_and_offsets_make_the_text(server: TinyServer) -> None:
    (choice,) = choices(server, TEXT, echo=True, max_tokens=5, logprobs=0, logit_bias={"0": -100})
    listed = choice["logprobs"]
    assert len(listed["tokens"]) == len(ids_of(server, TEXT)) + 5
    assert listed["top_logprobs"][0] is None
    offsets = [*listed["text_offset"], len(choice["text"])]
    pieces = [choice["text"][start:end] for start, end in pairwise(offsets)]
    assert "".join(pieces) == choice["text"]
    whole = [(token, piece) for token, piece in zip(listed["tokens"], pieces, strict=True) if token != piece]
    assert whole and all(token.startswith("bytes:\\x") for token, _ in whole[: len(ids_of(server, "猫")) - 1])


@pytest.mark.parametrize("text", ["the cat — añ 猫 and", " the cat", "the<|im_end|>cat"])
def test_each_offset_is_where_its_token_stands(either: TinyServer, text: str) -> None:
    (choice,) = choices(either, text, echo=True, max_tokens=0, logprobs=0)
    listed = choice["logprobs"]
    assert choice["text"] == text and listed["text_offset"][0] == 0
    for token, start, end in zip(listed["tokens"], *(listed["text_offset"][at:] for at in (0, 1)), strict=False):
        assert token.startswith("bytes:\\x") or text[start:end] in (token, token.removeprefix(" "))


@pytest.mark.parametrize("word", [" cat", " "])
@pytest.mark.parametrize("echo", [False, True])
def test_a_first_space_is_part_of_the_answer(either: TinyServer, word: str, echo: bool) -> None:
    written = either.chat.tokenizer.convert_ids_to_tokens(range(len(either.chat.tokenizer)))
    known = [token_id for token_id, token in enumerate(written) if token in (word.replace(" ", "Ġ"), f"▁{word[1:]}")]
    options = {"max_tokens": 3, "echo": echo, "logprobs": 0, "logit_bias": {str(known[0]): 100}}
    (choice,) = choices(either, "the", **options)
    assert choice["text"] == "the" * echo + word * 3
    assert choice["logprobs"]["text_offset"][-3:] == [3 * echo + len(word) * place for place in range(3)]
    assert choice["logprobs"]["tokens"][-3:] == [word] * 3
    streamed = complete(either, "the", **options, stream=True).text.split("\n\n")[:-2]
    parts = [json.loads(block.removeprefix("data: "))["choices"][0] for block in streamed]
    assert "".join(part["text"] for part in parts) == choice["text"]


def test_an_answer_is_what_the_engine_says_and_greedy_is_the_likeliest(server: TinyServer) -> None:
    ids = ids_of(server, "the cat")
    (choice,) = choices(server, "the cat", max_tokens=6, logprobs=2)
    for token, top, value in zip(*(choice["logprobs"][name] for name in LISTS), strict=True):
        assert top[token] == value == max(top.values())
    assert choices(server, ids, max_tokens=6, logprobs=2)[0] == choice
    assert choice["text"] == choices(server, "the cat", max_tokens=6, echo=True)[0]["text"].removeprefix("the cat")
    assert choices(server, "the cat", max_tokens=6)[0]["logprobs"] is None


LISTS = ("tokens", "top_logprobs", "token_logprobs")


def test_many_prompts_of_every_kind(server: TinyServer) -> None:
    texts = ["the cat", "the dog", "said"]
    alone = [choices(server, text, max_tokens=4)[0]["text"] for text in texts]
    together = choices(server, texts, max_tokens=4)
    assert [choice["text"] for choice in together] == alone and [each["index"] for each in together] == [0, 1, 2]
    assert choices(server, [ids_of(server, text) for text in texts], max_tokens=4) == together
    sampled = complete(server, texts, max_tokens=4, n=2, temperature=1, seed=3, echo=True).json()
    assert [choice["index"] for choice in sampled["choices"]] == list(range(6))
    assert [choice["text"].startswith(texts[place // 2]) for place, choice in enumerate(sampled["choices"])] == [
        True
    ] * 6
    assert sampled["usage"]["prompt_tokens"] == sum(len(ids_of(server, text)) for text in texts)
    assert sampled == complete(server, texts, max_tokens=4, n=2, temperature=1, seed=3, echo=True).json() | {
        name: sampled[name] for name in ("id", "created")
    }


@pytest.mark.parametrize("options", [{}, {"logprobs": 2}, {"echo": True}, {"echo": True, "logprobs": 1, "n": 2}])
def test_a_stream_says_the_same(server: TinyServer, options: dict[str, Any]) -> None:
    prompts = ["the cat añ", "the dog"]
    asked = {"max_tokens": 5, "temperature": 0.7, "seed": 1, **options}
    whole = complete(server, prompts, **asked).json()
    response = complete(server, prompts, **asked, stream=True, stream_options={"include_usage": True})
    *blocks, last, rest = response.text.split("\n\n")
    assert (last, rest) == ("data: [DONE]", "")
    *parts, usage = [json.loads(block.removeprefix("data: ")) for block in blocks]
    assert usage["usage"] == whole["usage"] and usage["choices"] == [] and parts[0]["usage"] is None
    for choice in whole["choices"]:
        own = [part["choices"][0] for part in parts if part["choices"][0]["index"] == choice["index"]]
        assert "".join(part["text"] for part in own) == choice["text"]
        assert [part["finish_reason"] for part in own] == [None] * (len(own) - 1) + [choice["finish_reason"]]
        if choice["logprobs"] is not None:
            for name, values in choice["logprobs"].items():
                assert [value for part in own for value in part["logprobs"][name]] == values


def test_control_tokens_typed_in_a_prompt_count_as_such(server: TinyServer) -> None:
    rendered = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    conversation = [{"role": "user", "content": "hi"}]
    asked = httpx.post(
        f"{server.url}/v1/chat/completions", json={"model": "tiny", "messages": conversation, "max_tokens": 5}
    ).json()
    answer = complete(server, rendered, max_tokens=5).json()
    assert answer["choices"][0]["text"] == asked["choices"][0]["message"]["content"]
    assert answer["usage"] == asked["usage"]


def test_penalties_biases_and_stops_reach_the_engine(server: TinyServer) -> None:
    plain = choices(server, max_tokens=8, logprobs=0)[0]["logprobs"]["tokens"]
    word = server.chat.tokenizer(" dog", add_special_tokens=False).input_ids
    forced = choices(server, max_tokens=4, logit_bias={str(word[0]): 100})[0]["text"]
    assert forced == server.chat.tokenizer.decode([word[0]] * 4)
    spread = choices(server, max_tokens=8, logprobs=0, frequency_penalty=2, logit_bias={str(word[0]): 5})[0]
    assert spread["logprobs"]["tokens"] != plain
    text = choices(server, max_tokens=8, logit_bias={"0": -100})[0]["text"]
    assert (
        choices(server, max_tokens=8, logit_bias={"0": -100}, stop=text[2:4])[0]["text"]
        == text[: text.index(text[2:4])]
    )


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"prompt": []}, "prompt"),
        ({"prompt": [[]]}, "prompt[0]"),
        ({"prompt": ["a", [1]]}, "prompt"),
        ({"prompt": [1, "a"]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": [[None], [None]]}, "prompt"),  # found by the fuzzer: it was taken for a list of ids
        ({"prompt": [400]}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": "\ud800"}, "prompt"),
        ({"prompt": ["a"] * 129}, "prompt"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 4096}, "max_tokens"),
        ({"prompt": [5] * 4096}, "prompt"),
        ({"logprobs": 21}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"suffix": "x"}, "suffix"),
        ({"best_of": 2}, "best_of"),
        ({"ech": True}, "ech"),
        ({"logit_bias": {"400": 1}}, "logit_bias"),
        ({"model": "rag"}, "model"),
        ({"model": "vectors"}, "model"),
        ({"messages": []}, "messages"),
    ],
)
def test_refusals_name_the_parameter(server: TinyServer, options: dict[str, Any], param: str) -> None:
    response = httpx.post(
        f"{server.url}/v1/completions",
        content=json.dumps({"model": "tiny", "prompt": "the cat"} | options).encode(),
        headers={"content-type": "application/json"},
    )
    assert response.status_code == 400, response.text
    named = response.json()["error"]["param"]
    assert named == param or named.startswith(f"{param}[")
