"""Which language model judges answers, and what it is told about them; the judge itself is `evaluation/judge.py`."""

import hashlib
import json
from typing import Self

from pydantic import Field, model_validator

from sartor.base.configuration import Config


class JudgeSettings(Config):
    """`judge` in task.yaml. Without an address, `model` is one on this machine."""

    model: str = Field(min_length=1, description="starter, a Hub id or a folder; with api_base_url, its name there")
    api_base_url: str | None = Field(None, description="where it answers, such as https://api.openai.com/v1")
    api_key_env: str | None = Field(None, description="environment variable that holds the key")
    budget: float | None = Field(None, gt=0, description="US dollars that its verdicts may cost in all")
    rubric: str = Field("", description="what counts as right for this task, in a sentence or two")

    @model_validator(mode="after")
    def _whole_api(self) -> Self:
        if self.api_base_url is None and not (self.api_key_env is None and self.budget is None):
            raise ValueError("api_key_env and budget are for a remote judge: name its api_base_url")
        return self

    @property
    def identity(self) -> str:
        """A short hash over all that verdicts depend on, apart from the prompt: model, address and rubric."""
        parts = json.dumps([self.model, self.api_base_url, self.rubric])
        return hashlib.sha256(parts.encode()).hexdigest()[:16]
