"""A tiny GPT-2 as a folder: learnt positions, and dropout of its own, as published ones have it."""

from pathlib import Path

from transformers import GPT2LMHeadModel

from tests import tiny_models


def folder(path: Path, dropout: float = 0.0) -> Path:
    """Reads 256 tokens; `dropout` is of its embeddings and of its layers' outputs."""
    config = tiny_models.model("gpt2").config
    config.embd_pdrop = config.resid_pdrop = dropout
    GPT2LMHeadModel(config).save_pretrained(path)
    tiny_models.tokenizer().save_pretrained(path)
    return path
