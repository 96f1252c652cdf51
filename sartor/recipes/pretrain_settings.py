"""The settings of pre-training, of the run itself and of its plan."""

import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from sartor.base.configuration import Config
from sartor.recipes.settings import changed

PresetName = Literal["1m", "3m", "10m", "25m", "85m", "300m", "1b"]
# Assumed: the embedding stays at or below the layers' size, down to a vocabulary that still spells common words.
VOCABULARIES = {"1m": 4096, "3m": 8192, "10m": 16384, "25m": 16384, "85m": 32768, "300m": 32768, "1b": 32768}
WINDOWS = {"1m": 512, "3m": 512, "10m": 512, "25m": 1024, "85m": 1024, "300m": 2048, "1b": 2048}  # assumed
UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}
COUNT = r"(?i)^\d+(\.\d+)?\s*[kmb]?$"


class PretrainSettings(Config):
    """What is trained, on what, and for how long."""

    data: list[str] = Field(
        min_length=1,
        description="texts: folders of documents (`sartor collect`, `sartor prepare`), files, or folders of files; "
        "FOLDER=2 is read twice as often",
    )
    preset: PresetName | None = Field(
        None, description="size of a new model: weights without the embedding (default: 10m, or what --base is)"
    )
    base: str | None = Field(None, description="go on with this model instead: starter, a Hub id or a folder")
    tokenizer: str | None = Field(
        None, description="folder of a tokenizer or model (default: the base's, or one trained on the texts)"
    )
    vocabulary: int | None = Field(
        None, ge=512, description="tokens of a tokenizer trained on the texts (default: by the size of the model)"
    )
    tokens: str | None = Field(
        None, description="tokens to train on, such as 20m (default: 20 a weight, at most 4 epochs)"
    )
    max_minutes: float | None = Field(None, gt=0, description="train on fewer where this would take longer")
    window_tokens: int | None = Field(
        None, ge=16, description="tokens that the model reads at once (default: by the size of the model)"
    )
    batch_tokens: int | None = Field(None, ge=16, description="tokens of a step (default: by a law of scale)")
    learning_rate: float | None = Field(None, gt=0, description="peak rate (default: by a law of scale)")
    optimizer: Literal["muon", "adamw", "adamw8bit"] = Field(
        "muon", description="muon for the matrices inside the model, AdamW for the rest; or AdamW for all"
    )
    beta2: float = Field(0.95, gt=0, lt=1, description="AdamW's decay of squared gradients")
    weight_decay: float = Field(0.1, ge=0, description="decoupled weight decay")
    clip_norm: float = Field(1.0, gt=0, description="bound of the gradient's norm")
    schedule: Literal["wsd", "cosine", "linear", "constant"] = Field(
        "wsd", description="how the rate falls: wsd stays at the peak, then decays"
    )
    decay_share: float = Field(0.2, gt=0, le=1, description="last part of the steps, in which wsd lets the rate fall")
    z_loss: float = Field(0.0, ge=0, description="weight of the squared log-normaliser of the logits (PaLM: 1e-4)")
    micro_batch_tokens: int = Field(8192, ge=64, description="tokens computed at once: lower it to save memory")
    activation_checkpointing: bool = Field(False, description="compute layers again for their gradients: less memory")
    held_out_share: float | None = Field(
        None,
        gt=0,
        lt=0.5,
        description="share of the documents that is only measured on (default: by how many there are)",
    )
    evaluations: int = Field(10, ge=1, description="how often held-out text is measured and texts are sampled")
    evaluation_tokens: int = Field(65_536, ge=16, description="tokens of held-out text to measure")
    sample_prompts: list[str] = Field(["", "Once upon a time"], description="beginnings of the sampled texts")
    sample_tokens: int = Field(64, ge=1, description="tokens of a sampled text")
    parallel: Literal["ddp", "fsdp"] = Field(
        "ddp", description="processes of torchrun each hold the model (ddp) or share out its layers' weights (fsdp)"
    )
    processes: int = Field(1, ge=1, description="processes that turn texts into tokens")
    accept_changed_environment: bool = Field(
        False, exclude=True, description="resume where rounding differs: other machine, torch, threads or processes"
    )
    seed: int = Field(0, ge=0, description="of the first weights and of the order of the texts")

    @field_validator("tokens")
    @classmethod
    def _is_a_count(cls, text: str | None) -> str | None:
        if text is not None and not (re.fullmatch(COUNT, text.strip()) and parse_count(text) >= 1):
            raise ValueError("it should be a number of tokens, such as 500k, 20m or 1.5b")
        return text

    @model_validator(mode="after")
    def _decay_share_has_a_decay(self) -> Self:
        if self.schedule != "wsd" and changed(self, ["decay_share"]):
            raise ValueError(f"--decay-share is of --schedule wsd and has no effect on {self.schedule}")
        return self

    @property
    def num_tokens(self) -> int | None:
        return None if self.tokens is None else parse_count(self.tokens)


def parse_count(text: str) -> int:
    """`20m` -> 20,000,000."""
    found = re.fullmatch(r"([\d.]+)\s*([kmb]?)", text.strip().lower())
    assert found is not None, "the setting's pattern was checked"
    return round(float(found[1]) * UNITS[found[2]])
