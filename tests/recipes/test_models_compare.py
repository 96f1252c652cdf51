"""Bases compared on the same rows: bits per byte are right, pairs are pairs, one failure stops nothing."""

import copy
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sartor.base.errors import DataError, UsageError
from sartor.cli.main import main
from sartor.data.chat import ChatFormat
from sartor.data.records import Example, Message
from sartor.generation.local import LocalModel
from sartor.models.hub import locate
from sartor.recipes import models_compare
from sartor.recipes.candidate import CandidateRequest, example_losses, measure
from sartor.recipes.model_facts import facts, known_models, licence
from sartor.recipes.models_compare import Candidate, answer_bytes, compare_models, likelihoods
from tests import tiny_folders, tiny_models

ROWS = [{"question": f"the colour of {n * 7919}", "answer": ("réd", "green", "blue")[n % 3]} for n in range(30)]


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("models")
    return [tiny_folders.language_model(folder / f"tiny{seed}", seed) for seed in (0, 1)]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    tiny_folders.write_rows(tmp_path / "rows.jsonl", ROWS)
    return tmp_path / "rows.jsonl"


def example(question: str, answer: str) -> Example:
    return Example([Message(role="user", content=question), Message(role="assistant", content=answer)], "here")


def test_losses_are_those_of_the_answers_one_example_each(bases: list[Path]) -> None:
    given = [example("a " * 40, "réd"), example("b", "green and blue"), example("c " * 5000, "too long")]
    reference, chat = tiny_models.model("llama", 0).requires_grad_(False), ChatFormat(tiny_models.tokenizer())
    expected = [
        -sum(float(tiny_models.reference_log_probs(reference, [row]).sum()) for row in chat.render(each.messages))
        for each in given[:2]
    ]
    losses, tokens = example_losses(LocalModel.open(locate(bases[0])), given)
    assert losses[2] is None and losses[:2] == pytest.approx(expected, rel=1e-3)
    assert tokens == sum(row.num_trained for each in given[:2] for row in chat.render(each.messages))
    assert [answer_bytes(each.messages) for each in given[:2]] == [4, 14]


def test_an_answer_that_the_model_is_not_asked_for_as_it_is_written_is_no_certain_one(
    bases: list[Path], tmp_path: Path
) -> None:
    """The template begins the thinking when it asks, for questions only; answers hold none."""
    tokenizer = copy.deepcopy(tiny_models.tokenizer())
    tokenizer.chat_template += "{% if add_generation_prompt and '?' in messages[-1]['content'] %}<think>{% endif %}"
    tokenizer.save_pretrained(tiny_folders.language_model(tmp_path / "thinks"))
    model = LocalModel.open(locate(tmp_path / "thinks"))
    questions = [example("which?", "red"), example("where?", "green")]
    losses, tokens = example_losses(model, [example("a", "red"), *questions])
    assert losses[0] is not None and losses[0] > 0 and losses[1:] == [None, None] and tokens > 0
    with pytest.raises(DataError, match="chat template asks for answers otherwise than it writes them"):
        example_losses(model, questions)
    with pytest.raises(DataError, match="no held-out row fits the 4,096 tokens"):
        example_losses(model, [example("c " * 5000, "too long")])


def test_bits_per_byte_and_limits_against_the_best() -> None:
    chance = np.random.default_rng(1)
    sizes = chance.integers(2, 30, 60).astype(float)
    near = sizes * (1 + 0.2 * chance.standard_normal(60))
    worse = near + sizes * (0.5 + 0.1 * chance.standard_normal(60))
    losses: dict[str, list[float | None]] = {"worse": list(worse), "best": list(near)}
    found = likelihoods(losses, sizes, range(60))
    assert found["best"].behind == found["best"].high == 0
    assert found["best"].bits_per_byte == pytest.approx(near.sum() / sizes.sum() / math.log(2))
    assert found["worse"].behind == pytest.approx((worse - near).sum() / sizes.sum() / math.log(2))
    assert 0 < found["worse"].low < found["worse"].behind < found["worse"].high < 2 * found["worse"].behind
    few = likelihoods(losses, sizes, range(5))
    assert few["worse"].high - few["worse"].low > found["worse"].high - found["worse"].low


def test_a_candidate_is_measured_trained_and_measured_again(bases: list[Path], tmp_path: Path) -> None:
    messages = [{"messages": example(row["question"], row["answer"]).messages} for row in ROWS]
    tiny_folders.write_rows(tmp_path / "train.jsonl", messages[:20])
    tiny_folders.write_rows(tmp_path / "dev.jsonl", messages[20:])
    found = measure(CandidateRequest(str(bases[0]), 0.1, None, 0), tmp_path)
    assert len(found.losses) == 10 and found.tokens > 20
    assert found.trained_losses is not None and found.training_steps is not None and found.training_steps > 0
    before, after = (sum(loss or 0.0 for loss in losses) for losses in (found.losses, found.trained_losses))
    assert after < before
    assert found.prefill_tokens_per_second > found.decode_tokens_per_second > 0
    assert found.peak_bytes > 10**6 and found.training_peak_bytes is not None and found.score is None


def test_models_are_ranked_and_a_failure_stops_nothing(
    bases: list[Path], rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Through the command, each candidate in its own process."""
    names = [str(bases[0]), str(rows.parent / "nothing"), str(bases[1])]
    assert main(["models", "compare", *names, "--data", str(rows), "--json"]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    bits = [each["before"]["bits_per_byte"] for each in found["candidates"][:2]]
    assert bits == sorted(bits) and all(0 < each < 50 for each in bits)
    assert found["candidates"][2]["name"].endswith("nothing") and "no model" in found["candidates"][2]["failed"]
    assert found["rows"] == found["given_rows"] > 0 and all(
        each["peak_bytes"] > 10**8 for each in found["candidates"][:2]
    )
    assert "nothing" in captured.err


def fake_measured(losses: list[float | None]) -> dict[str, Any]:
    numbers = ("peak_bytes", "training_peak_bytes", "training_steps", "score", "trained_score")
    return {"losses": losses, "tokens": 9, "trained_losses": None, "prefill_tokens_per_second": 1.0,
            "decode_tokens_per_second": 1.0, **dict.fromkeys(numbers)}  # fmt: skip


def test_rows_that_one_model_cannot_read_count_for_none(
    bases: list[Path], rows: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measured(request: CandidateRequest, train: list[Example], dev: list[Example]) -> dict[str, Any]:
        losses: list[float | None] = [2.0 if request.model == str(bases[0]) else 3.0] * len(dev)
        if request.model == str(bases[0]):
            losses[0] = None
        return fake_measured(losses)

    monkeypatch.setattr(models_compare, "_measured", measured)
    found = compare_models([str(each) for each in bases], str(rows))
    assert found.rows == found.given_rows - 1 and found.candidates[0].name == str(bases[0])
    worse = found.candidates[1].before
    assert worse is not None and worse.bits_per_byte == pytest.approx(3 * found.rows / found.answer_bytes / math.log(2))
    assert "1 held-out rows are longer than a model reads" in capsys.readouterr().err


def test_a_tasks_dev_rows_carry_its_instruction(
    tmp_path: Path, bases: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = tiny_folders.task(tmp_path / "ships")
    seen: list[list[Example]] = []

    def measured(request: CandidateRequest, train: list[Example], dev: list[Example]) -> dict[str, Any]:
        seen.append(dev)
        assert request.task == str(task) and len(train) + len(dev) == 40
        return fake_measured([1.0] * len(dev))

    monkeypatch.setattr(models_compare, "_measured", measured)
    compare_models([str(bases[0])], str(task), score=True)
    assert all(each.messages[0] == {"role": "system", "content": "Name the harbour."} for each in seen[0])


@pytest.mark.parametrize(
    ("names", "settings", "error"),
    [
        (["starter", "starter"], {}, UsageError),
        (["starter"], {"score": True}, UsageError),
    ],
)
def test_what_cannot_be_compared_is_refused(names: list[str], settings: Any, error: type, rows: Path) -> None:
    with pytest.raises(error):
        compare_models(names, str(rows), **settings)


def test_all_failing_is_a_failure(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "compare", str(rows.parent / "nothing"), "--data", str(rows)]) == 1
    assert "no model could be measured" in capsys.readouterr().err
    assert main(["models", "compare", "starter"]) == 2
    assert main(["models", "--data", str(rows)]) == 2


def test_facts_need_no_loading(bases: list[Path], tmp_path: Path) -> None:
    known = facts(str(bases[0]))
    assert known.parameters == sum(weight.numel() for weight in tiny_models.model().state_dict().values())
    assert (known.context_tokens, known.chat_template, known.licence, known.kind) == (4096, True, "unknown", "folder")
    assert known.fits(10**12) == "inference and LoRA" and known.fits(1) == "nothing"
    assert known.fits(known.inference_bytes) == "inference" and known.inference_bytes < known.lora_bytes


@pytest.mark.parametrize(
    "content",
    [
        b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 123\n",
        b"\x08\0\0",
        b"\x02\0\0\0\0\0\0\0[]",
        b"\x02\0\0\0\0\0\0\0{]",
        b'\x08\0\0\0\0\0\0\0{"a": 1}',
    ],
)
def test_weights_that_are_not_there_are_one_line(tmp_path: Path, content: bytes) -> None:
    folder = tiny_folders.language_model(tmp_path / "model")
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(DataError, match="not a readable safetensors file") as error:
        facts(str(folder))
    assert error.value.where == str(folder / "model.safetensors") and "git lfs pull" in str(error.value.hint)


def test_a_candidate_without_weights_stops_no_other(
    bases: list[Path], rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pointer = tiny_folders.language_model(tmp_path / "pointer")
    (pointer / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:abc\n")
    monkeypatch.setattr(models_compare, "_measured", lambda request, train, dev: fake_measured([1.0] * len(dev)))
    found = compare_models([str(pointer), str(bases[0])], str(rows))
    assert [each.name for each in found.candidates] == [str(bases[0]), str(pointer)]
    assert found.candidates[1].failed == "not a readable safetensors file"


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("README.md", "---\nlanguage: en\nlicense: mit\n---\n# x\n", "mit"),
        ("LICENSE", "                Apache License\n   Version 2.0", "apache-2.0"),
        ("LICENSE.txt", "My own terms", "see LICENSE.txt"),
        ("README.md", "license: mit, says the text", "unknown"),
    ],
)
def test_licences_are_read_where_they_stand(tmp_path: Path, file: str, text: str, expected: str) -> None:
    folder = tiny_folders.language_model(tmp_path / "model")
    (folder / file).write_text(text)
    assert licence(locate(folder)) == expected


def test_the_list_holds_runs_and_tells_of_broken_ones(
    bases: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sartor.recipes.model_facts._hub_cache", lambda: [])
    monkeypatch.setattr("sartor.recipes.model_facts.is_fetched", lambda name: False)
    tiny_folders.language_model(tmp_path / "runs" / "whole" / "model")
    (tmp_path / "runs" / "broken" / "model").mkdir(parents=True)
    (tmp_path / "runs" / "unfinished").mkdir()
    found, problems = known_models(tmp_path / "runs")
    assert [(each.name, each.kind) for each in found] == [(str(tmp_path / "runs" / "whole"), "run")]
    assert len(problems) == 1 and "broken" in problems[0]
    assert known_models(tmp_path / "none") == ([], [])


def test_a_file_without_rows_to_hold_out_is_refused(tmp_path: Path, bases: list[Path]) -> None:
    tiny_folders.write_rows(tmp_path / "same.jsonl", [ROWS[0]] * 5)
    with pytest.raises(DataError):
        compare_models([str(bases[0])], str(tmp_path / "same.jsonl"))


def test_a_candidate_that_failed_ranks_nowhere() -> None:
    assert models_compare._rank(Candidate("x", failed="y")) == math.inf
