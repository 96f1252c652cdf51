"""A Llama-shaped model as one GGUF file, as llama.cpp and what is built on it read it.

Matrices are stored as asked, vectors (norms, biases) in float32, tied heads once; queries and keys are put into
llama.cpp's rotary order. What the format cannot say is refused by name instead of written wrongly.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import gguf
import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from sartor.base.errors import UsageError
from sartor.models.export import head_is_tied
from sartor.models.gguf_folder import ROPE_KEY, SPECIAL_KEYS, WITHOUT_BOS, rope_factors
from sartor.models.gguf_names import FAMILIES, ROPE_FACTORS, Architecture, gguf_name, interleaved_rotary, rotary_heads
from sartor.models.gguf_tokenizer import OTHER_FORMAT_HINT, TokenizerFields

Storage = Literal["f32", "bf16", "f16", "q8_0"]
ROPE_TYPES = ("default", "linear", "llama3")  # those whose only effect is to divide the frequencies
TYPES = {
    "f32": gguf.GGMLQuantizationType.F32,
    "bf16": gguf.GGMLQuantizationType.BF16,
    "f16": gguf.GGMLQuantizationType.F16,
    "q8_0": gguf.GGMLQuantizationType.Q8_0,
}
FILE_TYPES = {
    "f32": gguf.LlamaFileType.ALL_F32,
    "bf16": gguf.LlamaFileType.MOSTLY_BF16,
    "f16": gguf.LlamaFileType.MOSTLY_F16,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
}


@dataclass(frozen=True)
class About:
    """What the file says of itself. `end_of_turn` is the token that ends an answer."""

    name: str
    base_model: str
    template: str
    end_of_turn: int | None
    licence: str | None = None


def require_writable(config: Any) -> Architecture:
    """The GGUF architecture of a transformers config. UsageError, naming it, for what is not written."""
    architecture = FAMILIES.get(config.model_type)
    if architecture is None:
        raise UsageError(
            f"models of type {config.model_type} are not written as GGUF, only {', '.join(FAMILIES)}",
            where="--format gguf",
            hint=OTHER_FORMAT_HINT,
        )
    rope = config.rope_parameters["rope_type"]
    if rope not in ROPE_TYPES or (rope != "default" and not architecture.interleaved):
        raise _unwritable(f"positions of type {rope} ({config.model_type})")
    if config.hidden_act != "silu":
        raise _unwritable(f"the activation {config.hidden_act}")
    return architecture


def readable_tokens(config: Any) -> int:
    """How many tokens llama.cpp computes as the model does: it has no sliding window for these architectures."""
    window = getattr(config, "sliding_window", None)
    return int(min(config.max_position_embeddings, window or config.max_position_embeddings))


def write_gguf(path: Path, model: PreTrainedModel, tokenizer: TokenizerFields, storage: Storage, about: About) -> None:
    """Write `model` (adapters merged) at `path`, in place. UsageError as `require_writable`."""
    architecture = require_writable(model.config)
    writer = gguf.GGUFWriter(path, architecture.name)
    try:
        _add_about(writer, storage, about)
        _add_sizes(writer, model.config)
        _add_tokenizer(writer, tokenizer, about)
        kinds = {}
        for name, tensor in _named_tensors(model):
            kinds[name] = kind = _type_of(tensor, storage)
            size, values = gguf.quants.quant_shape_to_byte_shape(tuple(tensor.shape), kind), np.dtype(np.uint8)
            writer.add_tensor_info(name, size, values, int(np.prod(size)), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for name, tensor in _named_tensors(model):
            writer.write_tensor_data(_stored(name, tensor, kinds[name], model.config, architecture))
    finally:
        writer.close()


def _add_about(writer: gguf.GGUFWriter, storage: Storage, about: About) -> None:
    writer.add_name(about.name)
    if about.licence is not None:
        writer.add_license(about.licence)
    writer.add_base_model_count(1)
    writer.add_base_model_name(0, about.base_model)
    writer.add_file_type(FILE_TYPES[storage])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def _add_sizes(writer: gguf.GGUFWriter, config: Any) -> None:
    head_width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(readable_tokens(config))
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head_width)
    writer.add_value_length(head_width)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(head_width)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    if config.rope_parameters["rope_type"] != "default":
        writer.add_string(ROPE_KEY, json.dumps(config.rope_parameters))


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: TokenizerFields, about: About) -> None:
    writer.add_tokenizer_model("gpt2")  # llama.cpp's name for byte-level BPE
    writer.add_tokenizer_pre(tokenizer.pre)
    writer.add_token_list(tokenizer.tokens)
    writer.add_token_types(tokenizer.types)
    writer.add_token_merges(tokenizer.merges)
    for name, index in tokenizer.special_ids.items():
        writer.add_uint32(f"tokenizer.ggml.{SPECIAL_KEYS[name]}", index)
    if about.end_of_turn is not None and about.end_of_turn != tokenizer.special_ids.get("eos"):
        writer.add_eot_token_id(about.end_of_turn)
    writer.add_add_bos_token(tokenizer.add_bos)
    writer.add_add_eos_token(tokenizer.add_eos)
    writer.add_chat_template(_template(tokenizer, about.template))


def _template(tokenizer: TokenizerFields, template: str) -> str:
    """Where a file names no beginning of a text, llama.cpp takes token 11 of vocabularies of this kind for it and hands
    it to the template, which here stands for nothing."""
    return template if "bos" in tokenizer.special_ids or "bos_token" not in template else WITHOUT_BOS + template


def _named_tensors(model: PreTrainedModel) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of the file by its GGUF name. UsageError for one that the format has no name for."""
    tied = head_is_tied(model)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and tied:
            continue
        try:
            yield gguf_name(name), tensor.detach()
        except KeyError:
            raise _unwritable(f"the tensor {name}") from None
    if model.config.rope_parameters["rope_type"] != "default":
        yield ROPE_FACTORS, torch.from_numpy(rope_factors(model.config))


def _type_of(tensor: Tensor, storage: Storage) -> gguf.GGMLQuantizationType:
    """Vectors stay exact; rows that are no multiple of a quantized block's width stay in float16."""
    if tensor.ndim == 1:
        return gguf.GGMLQuantizationType.F32
    kind = TYPES[storage]
    width, _ = gguf.GGML_QUANT_SIZES[kind]
    return kind if tensor.shape[-1] % width == 0 else gguf.GGMLQuantizationType.F16


def _stored(
    name: str, tensor: Tensor, kind: gguf.GGMLQuantizationType, config: Any, architecture: Architecture
) -> np.ndarray:
    """The tensor's bytes in the file, uint8."""
    values: np.ndarray = tensor.float().cpu().numpy()
    turned = rotary_heads(name, config.num_attention_heads, config.num_key_value_heads)
    if turned is not None and architecture.interleaved:
        values = interleaved_rotary(values, turned)
    packed: np.ndarray = gguf.quants.quantize(np.ascontiguousarray(values), kind)
    return packed.view(np.uint8)


def _unwritable(what: str) -> UsageError:
    return UsageError(f"GGUF has no form for {what}", where="--format gguf", hint=OTHER_FORMAT_HINT)
