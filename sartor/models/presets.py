"""New models by one dial: sizes from 1 million to 1 billion weights, in the Llama layout that every tool reads.

Width and depth follow published models of that size; everything else follows from them by the rules below. A model's
name counts its weights without the embedding, as laws of scale do (2001.08361, section 2.1), in round figures.
"""

from dataclasses import dataclass

import torch
from transformers import LlamaConfig, LlamaForCausalLM

ROTARY_BASE = 10_000.0
GATE_FACTOR, GATE_MULTIPLE = 8 / 3, 64  # 2002.05202: three matrices with as many weights as two of 4 · width
INITIAL_DEVIATION = 0.02  # GPT-2's
UNTIED_FROM_WIDTH = 1536  # below it the embedding is a large part of the model, and sharing it pays (2402.14905)


@dataclass(frozen=True)
class Preset:
    """The shape of a model: `layers` of `width`, `heads` of attention reading `key_heads`; `source` says whose."""

    name: str
    layers: int
    width: int
    heads: int
    key_heads: int
    source: str

    @property
    def gate_width(self) -> int:
        return -(-int(self.width * GATE_FACTOR) // GATE_MULTIPLE) * GATE_MULTIPLE

    @property
    def num_weights(self) -> int:
        """Weights of the matrices inside the layers."""
        attention = 2 * self.width**2 + 2 * self.width**2 * self.key_heads // self.heads
        return self.layers * (attention + 3 * self.width * self.gate_width)

    @property
    def ties_embedding(self) -> bool:
        return self.width < UNTIED_FROM_WIDTH

    def flops_per_token(self, vocabulary: int, window_tokens: int) -> float:
        """Floating-point operations of forward and backward pass for a token of a full window: six for each weight
        that it is multiplied with, the head's included, and causal attention (2204.02311, appendix B)."""
        attention = 6 * self.layers * self.width * window_tokens  # half of 12: a token sees half a window on average
        return 6.0 * (self.num_weights + vocabulary * self.width) + attention


ASPECT_64 = "width of 64 a layer, as nanochat"
PRESETS = {
    preset.name: preset
    for preset in (
        Preset("1m", 4, 128, 4, 4, "the smallest of TinyStories' models (2305.07759)"),
        Preset("3m", 4, 256, 4, 4, ASPECT_64),
        Preset("10m", 6, 384, 6, 6, "nanoGPT's small Shakespeare model"),
        Preset("25m", 8, 512, 8, 8, ASPECT_64),
        Preset("85m", 12, 768, 12, 12, "GPT-2 small"),
        Preset("300m", 24, 1024, 16, 16, "GPT-2 medium"),
        Preset("1b", 22, 2048, 32, 4, "TinyLlama 1.1B (2401.02385)"),
    )
}


def new_model(
    preset: Preset,
    vocabulary: int,
    window_tokens: int,
    seed: int,
    bos_token_id: int | None = None,
    eos_token_id: int | None = None,
) -> LlamaForCausalLM:
    """A model with random weights, float32, a function of the seed.

    Normal with deviation 0.02; the matrices that write into the residual stream are smaller by sqrt(2 · layers), so
    that its size does not grow with depth (GPT-2).
    """
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=preset.width,
        intermediate_size=preset.gate_width,
        num_hidden_layers=preset.layers,
        num_attention_heads=preset.heads,
        num_key_value_heads=preset.key_heads,
        max_position_embeddings=window_tokens,
        rope_parameters={"rope_type": "default", "rope_theta": ROTARY_BASE},
        tie_word_embeddings=preset.ties_embedding,
        initializer_range=INITIAL_DEVIATION,
        bos_token_id=bos_token_id,
        eos_token_id=eos_token_id,
        pad_token_id=None,
    )
    generator_state = torch.get_rng_state()
    torch.manual_seed(seed)
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                parameter.normal_(0.0, INITIAL_DEVIATION / (2 * preset.layers) ** 0.5)
    torch.set_rng_state(generator_state)
    return model
