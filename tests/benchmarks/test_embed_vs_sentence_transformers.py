"""Every side is told with its number format, and ratios are told at the same one."""

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks import embed_vs_sentence_transformers
from benchmarks.embed_vs_sentence_transformers import Side, Turn, compare

SECONDS = {("sartor", "float32"): 2.0, ("peer", "float32"): 3.0, ("sartor", "bfloat16"): 1.0, ("peer", "bfloat16"): 2.0}


def test_ratios_at_the_same_precision_stand_beside_that_of_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    def side(name: Side) -> Callable[[list[str]], np.ndarray]:
        return lambda texts: np.full((len(texts), 1), SECONDS[name])

    def told(embed: Callable[[list[str]], np.ndarray], texts: list[str]) -> Turn:
        seconds = float(embed(texts)[0, 0])
        return Turn(seconds, seconds / 2, np.ones((len(texts), 1)))

    monkeypatch.setattr(embed_vs_sentence_transformers, "timed", told)
    found = compare("questions", ["a", "b"], {name: side(name) for name in SECONDS}, 3, "bfloat16")
    assert {line["side"]: line["per_second"] for line in found if "side" in line} == {
        "sartor float32": 1.0, "peer float32": 0.7, "sartor bfloat16": 2.0, "peer bfloat16": 1.0,
    }  # fmt: skip
    ratios = {line["ratio"]: (line["by_the_clock"], line["sides"]) for line in found if "ratio" in line}
    assert ratios == {
        "as each comes": (3.0, "sartor bfloat16 : peer float32"),
        "both in float32": (1.5, "sartor float32 : peer float32"),
        "both in bfloat16": (2.0, "sartor bfloat16 : peer bfloat16"),
    }
