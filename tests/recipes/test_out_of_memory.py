"""Memory that is refused is told from other failures, however the refusal is worded."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sartor.base.errors import UsageError
from sartor.recipes import candidate
from sartor.recipes.measured import MEASURED_FILE, REQUEST_FILE
from sartor.recipes.measuring import answer
from sartor.recipes.out_of_memory import is_out_of_memory

TOO_MANY = 2**60  # bytes: more than any address can name


def refused(request: Any) -> None:
    torch.empty(TOO_MANY, dtype=torch.uint8)


def test_what_torch_says_when_the_cpu_has_too_little() -> None:
    with pytest.raises(RuntimeError) as error:
        refused(None)
    assert is_out_of_memory(error.value)
    assert is_out_of_memory(MemoryError()) and is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(UsageError("no memory is named"))


def test_a_trial_that_is_refused_memory_does_not_fit(tmp_path: Path) -> None:
    (tmp_path / REQUEST_FILE).write_text("{}")
    answer(tmp_path, refused)
    assert json.loads((tmp_path / MEASURED_FILE).read_text()) == {"out_of_memory": True}


def test_other_failures_of_a_trial_are_not_taken_for_it(tmp_path: Path) -> None:
    (tmp_path / REQUEST_FILE).write_text("{}")

    def broken(request: Any) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        answer(tmp_path, broken)
    assert not (tmp_path / MEASURED_FILE).exists()


def test_a_candidate_that_is_refused_memory_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = {"model": "starter", "minutes": None, "task": None, "seed": 0}
    (tmp_path / candidate.REQUEST_FILE).write_text(json.dumps(request))
    monkeypatch.setattr(candidate, "measure", lambda request, folder: refused(request))
    candidate.main(tmp_path)
    assert json.loads((tmp_path / candidate.MEASURED_FILE).read_text()) == {"error": "memory was too short"}
