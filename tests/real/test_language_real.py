"""Language identification on the Universal Declaration of Human Rights in 132 languages."""

from pathlib import Path

import pytest

from benchmarks.language_identification import TWO_LETTERS, declarations, paragraphs
from sartor.data.filters.language import LANGUAGES, identify


@pytest.fixture(scope="module")
def texts(real_data: Path, monkeypatch_module: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch_module.setenv("SARTOR_DATA", str(real_data))
    return {name: text for name, text in declarations().items() if TWO_LETTERS.get(name) in LANGUAGES}


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def test_whole_declarations_are_told(texts):
    found = identify(texts.values())
    right = [language == TWO_LETTERS[name] for name, (language, _) in zip(texts, found, strict=True)]
    assert len(right) > 120 and sum(right) / len(right) > 0.95


def test_paragraphs_of_large_languages_are_kept(texts):
    for name in ("eng", "deu", "fra", "spa", "cmn_hans", "arb", "jpn", "por_BR", "ita", "nld", "pol"):
        found = identify(paragraphs(texts[name]))
        assert sum(code == TWO_LETTERS[name] and score >= 0.65 for code, score in found) / len(found) > 0.95, name
