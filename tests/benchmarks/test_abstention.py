"""What is measured is what is shipped, beside what would be fitted now."""

import numpy as np
import pytest

from benchmarks.abstention import REFUSED, SHIPPED, supported, tell
from sartor.generation.protocol import Passage
from sartor.retrieval.abstention import LEVELS, features, support


class OneDirection:
    """Every text has the same vector."""

    def embed(self, texts: list[str]) -> np.ndarray:
        return np.ones((len(texts), 1))

    embed_queries = embed


def test_the_shipped_weights_give_the_shipped_support() -> None:
    passages = [Passage(chunk_id="a#0", document_id="a", text="The ferry leaves at noon.", score=1.0, start=0, end=25)]
    asked = ("When does the ferry leave?", passages, OneDirection())
    assert supported(np.array([features(*asked)]), SHIPPED)[0] == pytest.approx(support(*asked))


def test_each_level_says_what_it_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    of = {"test": np.array([[1, 1], [0, 0]]), "elsewhere test": np.zeros((4, 2)), "unsaid test": np.ones((4, 2))}
    tell("as Sartor has it", of, SHIPPED, {level: LEVELS[level] for level in REFUSED})
    told = capsys.readouterr().out
    assert "as Sartor has it: weights [8.95, 2.02, -6.1]" in told and "elsewhere: 0.750" in told
    assert "  usual: below -0.67; test 50.0%, elsewhere test 100.0%, unsaid test 0.0%" in told
