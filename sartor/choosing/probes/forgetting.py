"""What a model still knows of the world at large, before and after it was fine-tuned on one task.

Two measures, neither of which needs the model to answer in any style: how many bits a byte of general English it takes
(24 short texts), and how often the right completion of a general sentence is likelier than three wrong ones (72
sentences of nine kinds). Both were written for this project, so no model has been tuned on them.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from sartor.base.durable import replace_json
from sartor.choosing.probes.probed_path import Finding
from sartor.evaluation.statistics import paired_difference
from sartor.generation.local import LocalModel
from sartor.generation.protocol import Sampling
from sartor.train.likelihood import paired_difference as difference_of_ratios

QUESTIONS = Path(__file__).with_name("general_questions.jsonl")
TEXTS = Path(__file__).with_name("general_text.jsonl")


@dataclass(frozen=True)
class GeneralKnowledge:
    """One model's results: `right` 0 or 1 for each sentence, `bits` for each text of `sizes` bytes."""

    right: list[float]
    bits: list[float]
    sizes: list[int]

    @property
    def bits_per_byte(self) -> float:
        return sum(self.bits) / sum(self.sizes)


@cache
def material_hash() -> str:
    """Changes with the sentences and texts."""
    return hashlib.sha256(QUESTIONS.read_bytes() + TEXTS.read_bytes()).hexdigest()[:8]


def general_knowledge(model: LocalModel, model_hash: str, folder: Path) -> GeneralKnowledge:
    """Measured once for each model's weights: what is in `folder` already is taken from there."""
    file = folder / f"{model_hash}-{material_hash()}.json"
    if not file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        replace_json(file, asdict(measure_knowledge(model)))
    return GeneralKnowledge(**json.loads(file.read_text(encoding="utf-8")))


def measure_knowledge(model: LocalModel) -> GeneralKnowledge:
    """All sentences and texts in one batch."""
    questions, texts = _read(QUESTIONS), [each["text"] for each in _read(TEXTS)]
    pairs = [(row["text"], f" {ending}") for row in questions for ending in (row["right"], *row["wrong"])]
    scores = log_likelihoods(model, [*pairs, *(("", text) for text in texts)])
    endings = np.array(scores[: len(pairs)]).reshape(
        len(questions), -1
    )  # [sentences, completions], the right one first
    right = (endings[:, 0] > endings[:, 1:].max(axis=1)).astype(float).tolist()
    bits = [-score / math.log(2) for score in scores[len(pairs) :]]
    return GeneralKnowledge(right, bits, [len(text.encode()) for text in texts])


def log_likelihoods(model: LocalModel, pairs: Sequence[tuple[str, str]]) -> list[float]:
    """The natural logarithm of how likely each continuation is behind its beginning, without a chat template, all in
    one batch. The first token of a text counts only where the tokenizer puts a token of its own before it."""
    engine, tokenizer = model.engine, model.chat.tokenizer
    given = {}
    engine.share((), model.adapter)
    live, engine.live = engine.live, False
    try:
        for place, (beginning, continuation) in enumerate(pairs):
            before, whole = tokenizer.encode(beginning), tokenizer.encode(beginning + continuation)
            number = engine.add(whole, Sampling(max_new_tokens=0), adapter=model.adapter, prompt_log_probs=0)
            given[number] = place, _common(before, whole)
        scores = [0.0] * len(pairs)
        while engine.has_work:
            for event in engine.step():
                if event.prompt is not None:
                    place, known = given[event.request_id]
                    scores[place] = sum(each or 0.0 for each in event.prompt.log_probs[known:])
        return scores
    finally:
        engine.clear()
        engine.live = live


def _common(before: Sequence[int], whole: Sequence[int]) -> int:
    """How many tokens of the beginning stand in the whole text as they are: the last ones may join what follows."""
    return next(
        (place for place, pair in enumerate(zip(before, whole, strict=False)) if pair[0] != pair[1]), len(before)
    )


def forgetting(before: GeneralKnowledge, after: GeneralKnowledge) -> Finding:
    """The finding: `ci` is of the share of right completions after minus before, `bits_ci` of the bits a byte."""
    compared = paired_difference(after.right, before.right)
    sizes = np.array(after.sizes, dtype=np.float64)
    difference, error = difference_of_ratios(np.array(after.bits), np.array(before.bits), sizes)
    half = NormalDist().inv_cdf(0.975) * error
    kinds = [row["kind"] for row in _read(QUESTIONS)]
    return {
        "general_before": float(np.mean(before.right)),
        "general_after": float(np.mean(after.right)),
        "ci": [compared.low, compared.high],
        "n": compared.n,
        "bits_per_byte_before": before.bits_per_byte,
        "bits_per_byte_after": after.bits_per_byte,
        "bits_ci": [difference - half, difference + half],
        "lost": _by_kind(kinds, before.right, after.right),
    }


def _by_kind(kinds: Sequence[str], before: Sequence[float], after: Sequence[float]) -> Mapping[str, int]:
    """Completions of each kind that were right before and are wrong now."""
    lost = {kind: 0 for kind in kinds}
    for kind, was, now in zip(kinds, before, after, strict=True):
        lost[kind] += was > now
    return {kind: int(count) for kind, count in lost.items() if count}


def _read(file: Path) -> list[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
