"""A model for other tools: a Hub-layout folder, a PEFT adapter or a GGUF file.

What was written is read back and scored again on real rows; only when it says what the live model says does it get
its place.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from sartor.base.configuration import Config

if TYPE_CHECKING:
    from sartor.recipes.rescoring import Rescoring

Format = Literal["safetensors", "peft", "gguf"]


class ExportConfig(Config):
    """Settings of `sartor export`."""

    model: str = Field(description="what to export: a run folder, a model folder, starter or a Hub id")
    format: Format = Field(
        "safetensors",
        description="a whole model in the Hub's layout, the adapter alone in PEFT's, or one file for llama.cpp",
    )
    dtype: Literal["auto", "f32", "bf16", "f16", "q8_0"] = Field(
        "auto", description="how weights are stored: auto is as the base model's are, q8_0 (8 bits) is for GGUF"
    )
    out: str = Field(description="folder to write; an earlier export there is replaced")


@dataclass(frozen=True)
class ExportResult:
    """What was published: sizes in bytes by file name, the comparison with the live model, a line for each use."""

    out: Path
    format: Format
    dtype: str
    files: dict[str, int]
    rescoring: "Rescoring"
    uses: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        return vars(self) | {"out": str(self.out), "rescoring": vars(self.rescoring)}


def run(config: ExportConfig) -> ExportResult:
    """Write, read back, compare, publish. QualityError, and nothing is published, when the written model differs."""
    from sartor.base.console import say
    from sartor.base.durable import format_bytes
    from sartor.recipes.exporting import find_source, publish, read_back, require_place, storage_of, unpublished, write
    from sartor.recipes.rescoring import compare, probe_rows

    out = Path(config.out).absolute()
    source = find_source(config.model)
    require_place(out, source)
    storage = storage_of(config, source)
    probe = probe_rows(source.run)
    say(f"loading {config.model}")
    with unpublished(out) as new:
        live, without_adapter = write(config.format, storage, source, probe, new)
        size = sum(path.stat().st_size for path in new.iterdir())
        say(f"{format_bytes(size)} written; reading it back and scoring it again")
        rescoring = compare(live, read_back(config.format, source, probe, new), probe, storage, without_adapter)
        return publish(config, storage, source, rescoring, new, out)
