"""Tiny models learn within a minute: the loop, LoRA and the engine together do what they are for."""

import random

import pytest
import torch

from sartor.adapters.lora import LoraSettings, add_lora
from sartor.base.seeds import seed_everything
from sartor.data.batches import BatchSource
from sartor.data.chat import ChatFormat
from sartor.generation.local import LocalModel
from sartor.generation.protocol import Sampling
from sartor.models.forward import use_packed_attention
from sartor.recipes.examples import supervised_loss
from sartor.train.loop import LoopSettings, fit
from tests import tiny_models

pytestmark = pytest.mark.learn
WORDS = ("cat", "dog", "mat", "hat", "sun", "sea")
ANSWERS = dict(zip(WORDS, ("one", "two", "six", "ten", "red", "sky"), strict=True))


def conversation(word: str, answer: str | None = None) -> list[dict[str, str]]:
    asked = [{"role": "system", "content": "say the other word"}, {"role": "user", "content": f"the {word}"}]
    return asked if answer is None else [*asked, {"role": "assistant", "content": answer}]


def test_lora_teaches_a_random_model_a_table_and_the_engine_recites_it() -> None:
    chat = ChatFormat(tiny_models.tokenizer())
    model = use_packed_attention(tiny_models.model(layers=2, width=64))
    for name, weight in model.named_parameters():  # at its random start a model is too faint to tell words apart
        weight.data.mul_(5 if "proj" in name else 1 if "norm" in name else 20)
    seed_everything(0)
    add_lora(model, LoraSettings(rank=16))
    rows = [chat.render(conversation(word, ANSWERS[word]))[0] for word in WORDS for _ in range(8)]
    random.Random(0).shuffle(rows)
    settings = LoopSettings(num_steps=400, learning_rate=1e-2, warmup_steps=10)
    result = fit(model, BatchSource(rows, 16, 2048, seed=0), supervised_loss, settings)
    assert result.train_loss < 0.2
    replies = LocalModel(model, chat).generate([conversation(word) for word in WORDS], Sampling(max_new_tokens=16))
    assert [reply.text for reply in replies] == [ANSWERS[word] for word in WORDS]
    assert {reply.finish for reply in replies} == {"stop"}


def test_served_is_trained() -> None:
    """The engine's log-probabilities of what it said are those that training computes for the same rows."""
    from sartor.data.chat import Rendered
    from sartor.data.packing import pack
    from sartor.train.log_probs import batch_log_probs

    chat = ChatFormat(tiny_models.tokenizer())
    model = use_packed_attention(tiny_models.model())
    add_lora(model, LoraSettings(rank=4))
    local = LocalModel(model, chat)
    asked = [conversation(word) for word in WORDS]
    replies = local.generate(asked, Sampling(max_new_tokens=10, temperature=0.8, seed=1))
    rows = []
    for each, reply in zip(asked, replies, strict=True):
        prompt = chat.prompt(each)
        rows.append(Rendered(prompt + reply.token_ids, [False] * len(prompt) + [True] * len(reply.token_ids)))
    with torch.no_grad():
        trained = batch_log_probs(model, pack(rows), temperature=0.8)
    sampled = torch.tensor([value for reply in replies for value in reply.log_probs])
    assert len(sampled) > len(WORDS)
    torch.testing.assert_close(sampled, trained, rtol=1e-4, atol=1e-4)
