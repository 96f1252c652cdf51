"""Tiny random models of the families that matter, and a tiny tokenizer: quick, offline, the real code."""

import functools
import random

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from sartor.data.chat import Rendered

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
LLAMA3 = (
    "{{ '<|begin|>' }}{% for message in messages %}{{ '<|head|>' + message['role'] + '<|/head|>\\n\\n' + "
    "message['content'] | trim + '<|eot|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|head|>assistant<|/head|>\\n\\n' }}{% endif %}"
)
GEMMA = (
    "{{ '<bos>' }}{% for message in messages %}{% if message['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "{{ '<turn>' + ('model' if message['role'] == 'assistant' else 'user') + '\\n' }}"
    "{{ message['content'] | trim + '</turn>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<turn>model\\n' }}{% endif %}"
)
FORGETFUL = (  # drops what earlier assistant turns thought, as reasoning models' templates do
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' and not loop.last %}{{ message['content'].split('</think>')[-1] }}"
    "{% else %}{{ message['content'] }}{% endif %}{{ '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
ENDS_TWICE = (  # an end of turn and, behind the last one, an end of text, as Phi-3's template writes
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|stop|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
OPENS_THINKING = (  # asks with the thinking begun and writes answers without any, as DeepSeek's distilled models do
    "{% for message in messages %}{% if message['role'] == 'assistant' %}"
    "{{ '<|assistant|>' + message['content'].split('</think>')[-1] + eos_token }}"
    "{% else %}{{ '<|' + message['role'] + '|>' + message['content'] }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|><think>\n' }}{% endif %}"
)
TEMPLATES = {
    "chatml": CHATML,
    "llama3": LLAMA3,
    "gemma": GEMMA,
    "forgetful": FORGETFUL,
    "ends twice": ENDS_TWICE,
    "opens thinking": OPENS_THINKING,
    "none": None,
}
LEARNABLE = [kind for kind in TEMPLATES if kind != "opens thinking"]  # by what they write of an answer
SPECIALS = {
    "chatml": ["<|im_start|>", "<|im_end|>"],
    "forgetful": ["<|im_start|>", "<|im_end|>"],
    "llama3": ["<|begin|>", "<|head|>", "<|/head|>", "<|eot|>"],
    "gemma": ["<bos>", "<turn>", "</turn>"],
    "ends twice": ["<|system|>", "<|user|>", "<|assistant|>", "<|stop|>"],
    "opens thinking": ["<|system|>", "<|user|>", "<|assistant|>"],
    "none": [],
}
BOS = {"llama3": "<|begin|>", "gemma": "<bos>"}
VOCABULARY = 400
FAMILIES = ("llama", "qwen2", "qwen3", "gemma2", "gemma3", "mistral", "gpt2")


@functools.cache
def tokenizer(kind: str = "chatml") -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with the chat template `kind`."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|end|>", *SPECIALS[kind]],
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    raw.train_from_iterator(["the cat sat on the mat and said nothing at all to the dog"] * 3, trainer)
    made = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        eos_token="<|end|>",
        pad_token="<|end|>",
        bos_token=BOS.get(kind),
        additional_special_tokens=SPECIALS[kind],
    )
    made.chat_template = TEMPLATES[kind]
    return made


def model(
    family: str = "llama", seed: int = 0, layers: int = 2, width: int = 32, attention_dropout: float = 0.0
) -> PreTrainedModel:
    """A random model in float32 and evaluation mode; windows of 5 tokens where the family has them, attention dropout
    where it is a GPT-2."""
    torch.manual_seed(seed)
    sizes = dict(
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=VOCABULARY,
        max_position_embeddings=256,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=0,
    )
    wide = {**sizes, "head_dim": 8}
    made = {
        "llama": lambda: LlamaForCausalLM(LlamaConfig(**wide)),
        "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**sizes)),
        "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**wide)),
        "gemma2": lambda: Gemma2ForCausalLM(Gemma2Config(**wide, sliding_window=5, query_pre_attn_scalar=8)),
        "gemma3": lambda: Gemma3ForCausalLM(Gemma3TextConfig(**wide, sliding_window=5, query_pre_attn_scalar=8)),
        "mistral": lambda: MistralForCausalLM(MistralConfig(**wide, sliding_window=5)),
        "gpt2": lambda: GPT2LMHeadModel(
            GPT2Config(
                n_embd=width,
                n_layer=layers,
                n_head=4,
                vocab_size=VOCABULARY,
                n_positions=256,
                attn_pdrop=attention_dropout,
                embd_pdrop=0.0,
                resid_pdrop=0.0,
                bos_token_id=None,
                eos_token_id=0,
            )
        ),
    }[family]()
    return made.eval()


def rows(lengths: list[int], shared: int = 0, seed: int = 0) -> list[Rendered]:
    """Rows of random tokens: `shared` common ones, then `length` own ones of which the last two thirds are learnt."""
    draw = random.Random(seed)
    prefix = [draw.randrange(10, VOCABULARY) for _ in range(shared)]
    made = []
    for length in lengths:
        own = [draw.randrange(10, VOCABULARY) for _ in range(length)]
        made.append(Rendered(prefix + own, [False] * (shared + length // 3) + [True] * (length - length // 3)))
    return made


def reference_log_probs(reference: torch.nn.Module, given: list[Rendered]) -> torch.Tensor:
    """log p of every learnt token, row by row, with transformers' own eager attention and full logits."""
    found = []
    for row in given:
        ids = torch.tensor(row.ids)
        log_probs = torch.log_softmax(reference(input_ids=ids[None]).logits[0], -1)
        found += [log_probs[place - 1, ids[place]] for place in range(1, len(ids)) if row.trained[place]]
    return torch.stack(found)
