"""The base model that the recipes' tests train."""

from pathlib import Path

import pytest

from tests import tiny_folders


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folders.language_model(tmp_path_factory.mktemp("models") / "tiny")
