"""A tokenizer for given texts: byte-level BPE learnt from them, and what it is worth on texts it has not seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from sartor.base.configuration import Config

if TYPE_CHECKING:
    from sartor.data.tokenizer_quality import Compression

SAMPLED_BYTES = 1_000_000_000  # assumed: more text changes hardly a merge of a vocabulary of 100,000


class TokenizerConfig(Config):
    """Settings of `sartor tokenizer`."""

    data: list[str] = Field(
        min_length=1,
        description="texts: folders of documents (`sartor collect`, `sartor prepare`), files, or folders of files",
    )
    vocab_size: int = Field(ge=512, description="number of tokens, with control tokens and single bytes")
    out: str = Field(description="folder to write; an earlier tokenizer there is replaced")
    pre_tokenizer: Literal["qwen2", "llama-bpe", "smollm", "gpt-2"] = Field(
        "qwen2",
        description="how text is cut into words, by llama.cpp's name: qwen2 and smollm keep every digit apart, "
        "llama-bpe takes up to three together, gpt-2 any number",
    )
    held_out_share: float | None = Field(
        None, gt=0, lt=0.5, description="share of the documents to measure on (default: as `sartor pretrain` has it)"
    )
    sample_bytes: int = Field(
        SAMPLED_BYTES, ge=1, description="learn from about so much of the text, documents drawn by their ids"
    )
    compare: list[str] = Field([], description="folders or names of models whose tokenizers are measured too")


@dataclass(frozen=True)
class TokenizerResult:
    """What was written and measured. `measured_on` is "held-out", or "learnt" where all text is one document."""

    out: Path
    vocabulary: int
    asked: int
    pre_tokenizer: str
    learnt_bytes: int
    measured_on: str
    measured_documents: int
    compressions: "Sequence[Compression]"  # of this one first
    unused: int
    unused_in_bytes: int  # how much text was looked at to find them
    longest: list[str]
    not_restored: int

    def as_dict(self) -> dict[str, Any]:
        measured = [vars(each) | {"bytes_per_token": each.bytes_per_token} for each in self.compressions]
        return vars(self) | {"out": str(self.out), "compressions": measured}


def run(config: TokenizerConfig) -> TokenizerResult:
    """Learn, measure, write. QualityError, and nothing is written, when a text does not come back from its ids."""
    from sartor.recipes.tokenizer_making import make_tokenizer

    return make_tokenizer(config)
