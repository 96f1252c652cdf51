"""The base model and the task of choices whose fine-tuned path is trained more often than once."""

from pathlib import Path

import pytest

from tests import tiny_folders
from tests.choosing.trained_run import task_with_dev


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folders.language_model(tmp_path_factory.mktemp("models") / "language")


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return task_with_dev(tmp_path_factory.mktemp("tasks") / "ships")
