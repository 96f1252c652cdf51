"""A Llama-shaped GGUF file as a Hub folder: safetensors, tokenizer, chat template.

Written out here instead of asked of transformers, whose GGUF loader gives SmolLM2 a wrong tokenizer (it
leaves out the split into single digits, so "a  12" becomes other ids than the model was trained on) and may
keep weights packed.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from sartor.base.errors import DataError
from sartor.models.gguf_names import ARCHITECTURES, ROPE_FACTORS, Architecture, half_rotary, hub_name, rotary_heads
from sartor.models.gguf_tokenizer import SPLITS, TokenizerFields, build_tokenizer

ROPE_KEY = "sartor.rope_parameters"  # the file's own keys hold their result only
WITHOUT_BOS = "{% set bos_token = '' %}"  # what the writer puts before a template, and is no part of it
SPECIAL_KEYS = {"bos": "bos_token_id", "eos": "eos_token_id", "pad": "padding_token_id", "unk": "unknown_token_id"}


def convert_gguf(file: Path, folder: Path, name: str, dtype: torch.dtype = torch.bfloat16) -> None:
    """Write the GGUF `file` (of an architecture and a tokenizer we know) as a Hub folder into the existing
    `folder`, weights unpacked to `dtype`.

    DataError when it is something else or damaged.
    """
    try:
        reader = gguf.GGUFReader(file)
        fields = {key: field.contents() for key, field in reader.fields.items()}
    except (ValueError, IndexError, KeyError) as error:
        raise DataError(f"not a readable GGUF file: {error}", where=str(file)) from error
    architecture = ARCHITECTURES.get(str(fields.get("general.architecture")))
    if architecture is None or fields.get("tokenizer.ggml.pre") not in SPLITS:
        kind = (fields.get("general.architecture"), fields.get("tokenizer.ggml.pre"))
        raise DataError(f"architecture and tokenizer {kind} are not known", where=str(file))
    stored = _Stored(architecture, fields, str(file))
    tensors = stored.tensors(reader, dtype)
    config = stored.config(name, dtype, set(tensors))
    stored.check_rope(reader, config)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer = stored.tokenizer()
    build_tokenizer(tokenizer).save(str(folder / "tokenizer.json"))
    if tokenizer.template is not None:
        (folder / "chat_template.jinja").write_text(tokenizer.template)
    _write_json(folder / "tokenizer_config.json", stored.tokenizer_config(tokenizer))
    _write_json(folder / "config.json", config)
    _write_json(folder / "generation_config.json", stored.generation_config())


class _Stored:
    """The fields of a GGUF file, by what they mean."""

    def __init__(self, architecture: Architecture, fields: Mapping[str, Any], where: str):
        self.architecture, self.fields, self.where = architecture, fields, where

    def size(self, key: str) -> Any:
        """A field of the architecture. DataError when it is not there."""
        full = f"{self.architecture.name}.{key}"
        if full not in self.fields:
            raise DataError(f"the file lacks {full}", where=self.where)
        return self.fields[full]

    def tensors(self, reader: gguf.GGUFReader, dtype: torch.dtype) -> dict[str, torch.Tensor]:
        heads, key_heads = self.size("attention.head_count"), self.size("attention.head_count_kv")
        tensors = {}
        for tensor in reader.tensors:
            if tensor.name == ROPE_FACTORS:
                continue
            values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            turned = rotary_heads(tensor.name, heads, key_heads)
            if turned is not None and self.architecture.interleaved:
                values = half_rotary(values, turned)
            weights = torch.from_numpy(np.array(values, dtype=np.float32))
            try:
                tensors[hub_name(tensor.name)] = weights.to(dtype).contiguous()
            except KeyError:
                raise DataError(f"the tensor {tensor.name} is not known", where=self.where) from None
        return tensors

    def tokenizer(self) -> TokenizerFields:
        def field(name: str, default: Any = None) -> Any:
            return self.fields.get(f"tokenizer.ggml.{name}", default)

        template = self.fields.get("tokenizer.chat_template")
        return TokenizerFields(
            pre=field("pre"),
            tokens=field("tokens"),
            types=field("token_type"),
            merges=field("merges"),
            special_ids=self.special_ids(),
            add_bos=field("add_bos_token", False),
            add_eos=field("add_eos_token", False),
            template=None if template is None else str(template).removeprefix(WITHOUT_BOS),
        )

    def special_ids(self) -> dict[str, int]:
        keys = {name: f"tokenizer.ggml.{key}" for name, key in SPECIAL_KEYS.items()}
        return {name: self.fields[key] for name, key in keys.items() if key in self.fields}

    def generation_config(self) -> dict[str, Any]:
        """Special ids; more than one end where a turn ends with another token than a text."""
        ids: dict[str, Any] = {f"{name}_token_id": index for name, index in self._model_ids().items()}
        end_of_turn = self.fields.get("tokenizer.ggml.eot_token_id")
        if end_of_turn is not None and end_of_turn != ids.get("eos_token_id"):
            ids["eos_token_id"] = [index for index in (ids.get("eos_token_id"), end_of_turn) if index is not None]
        return ids

    def _model_ids(self) -> dict[str, int]:
        return {name: index for name, index in self.special_ids().items() if name != "unk"}

    def tokenizer_config(self, tokenizer: TokenizerFields) -> dict[str, Any]:
        return {
            "tokenizer_class": "PreTrainedTokenizerFast",
            **{f"{name}_token": tokenizer.tokens[index] for name, index in tokenizer.special_ids.items()},
            "model_max_length": self.size("context_length"),
            "clean_up_tokenization_spaces": False,
        }

    def config(self, name: str, dtype: torch.dtype, tensors: set[str]) -> dict[str, Any]:
        width, heads = self.size("embedding_length"), self.size("attention.head_count")
        head_width = self.fields.get(f"{self.architecture.name}.attention.key_length", width // heads)
        rope = {"rope_type": "default", "rope_theta": self.size("rope.freq_base")}
        return {
            "_name_or_path": name,
            "architectures": [self.architecture.model_class],
            "model_type": self.architecture.model_type,
            "dtype": str(dtype).removeprefix("torch."),
            "vocab_size": len(self.fields["tokenizer.ggml.tokens"]),
            "hidden_size": width,
            "intermediate_size": self.size("feed_forward_length"),
            "num_hidden_layers": self.size("block_count"),
            "num_attention_heads": heads,
            "num_key_value_heads": self.size("attention.head_count_kv"),
            "head_dim": head_width,
            "hidden_act": "silu",
            "max_position_embeddings": self.size("context_length"),
            "rms_norm_eps": float(f"{self.size('attention.layer_norm_rms_epsilon'):.6g}"),  # stored as float32
            "rope_parameters": json.loads(self.fields[ROPE_KEY]) if ROPE_KEY in self.fields else rope,
            "attention_bias": "model.layers.0.self_attn.o_proj.bias" in tensors,
            "mlp_bias": "model.layers.0.mlp.up_proj.bias" in tensors,
            "tie_word_embeddings": "lm_head.weight" not in tensors,
            **{f"{name}_token_id": index for name, index in self._model_ids().items()},
        }

    def check_rope(self, reader: gguf.GGUFReader, config: Mapping[str, Any]) -> None:
        """DataError unless the settings of `config` turn queries and keys as the file does."""
        factors = next((tensor.data for tensor in reader.tensors if tensor.name == ROPE_FACTORS), None)
        expected = rope_factors(AutoConfig.for_model(**config))
        given = np.ones_like(expected) if factors is None else np.asarray(factors, dtype=np.float32)
        if given.shape != expected.shape or not np.allclose(given, expected, rtol=1e-5):
            raise DataError(f"the settings of {ROPE_FACTORS} are not known", where=self.where)


def rope_factors(config: Any) -> np.ndarray:
    """By what the default rotary frequencies theta^(-2i/D) are divided, float32 [D/2]."""
    rope = config.rope_parameters
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    default = rope["rope_theta"] ** -(np.arange(0, width, 2) / width)
    if rope["rope_type"] == "default":
        return np.ones(width // 2, dtype=np.float32)
    frequencies, _ = ROPE_INIT_FUNCTIONS[rope["rope_type"]](config, torch.device("cpu"))
    return (default / frequencies.double().numpy()).astype(np.float32)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")
