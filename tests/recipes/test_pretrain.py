"""Pre-training from texts to a model folder: what is left, what is learnt, what goes on, what is refused."""

import json
import math
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModelForCausalLM, AutoTokenizer

from sartor.base.errors import DataError, UsageError
from sartor.data.token_shards.reader import TokenShards
from sartor.recipes.pretrain import PretrainConfig, PretrainResult, run
from tests import tiny_folders

COLOURS = ("red", "green", "blue", "white")
SMALL = {
    "preset": "1m", "vocabulary": 512, "window_tokens": 32, "batch_tokens": 256, "tokens": "8k", "evaluations": 3,
    "evaluation_tokens": 256, "sample_tokens": 6,
}  # fmt: skip


def write_texts(file: Path, number: int = 20) -> Path:
    """Texts in which every colour but the first of a line is the one before it, moved on by one."""
    texts = [" ".join(COLOURS[(n + place) % 4] for place in range(120)) + "." for n in range(number)]
    tiny_folders.write_rows(file, [{"id": f"text {n}", "text": text} for n, text in enumerate(texts)])
    return file


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> PretrainResult:
    folder = tmp_path_factory.mktemp("pretrained")
    data = write_texts(folder / "texts.jsonl")
    return run(PretrainConfig(data=[str(data)], out=str(folder / "run"), **SMALL))  # type: ignore[arg-type]


def test_a_new_model_learns_its_texts(trained: PretrainResult) -> None:
    assert trained.steps == 31 and trained.tokens == 31 * 256
    assert trained.dev_loss_before > 5.0 and trained.dev_loss < 3.0
    assert trained.bits_per_byte < 0.6 * trained.bits_per_byte_before


def test_the_run_folder_tells_what_happened(trained: PretrainResult) -> None:
    out = trained.out
    certificate = json.loads((out / "certificate.json").read_text())
    assert certificate["documents"] == 18 and certificate["begins_with"] == "<|endoftext|>"
    assert certificate["sources"][0]["share"] == 1.0
    plan = json.loads((out / "plan.json").read_text())
    told = {each["name"]: each for each in plan["course"]["derived"]}
    assert told["tokens a step"]["source"].startswith("asked for")
    assert "2503.04715" in told["peak learning rate"]["source"]
    samples = json.loads((out / "samples.json").read_text())
    assert [each["step"] for each in samples] == [0, 11, 22, 31]
    assert [each["prompt"] for each in samples[0]["samples"]] == ["", "Once upon a time"]
    report = (out / "report.html").read_text()
    assert "bits" in report and "Once upon a time" in report
    assert "20" not in json.loads((out / "result.json").read_text())
    assert f"{trained.bits_per_byte:.3f}" in (out / "README.md").read_text()


def test_other_tools_read_the_model_and_find_the_same_loss(trained: PretrainResult) -> None:
    model = AutoModelForCausalLM.from_pretrained(trained.trained, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(trained.trained)
    held_out = TokenShards.open(trained.out / "tokens" / "0").split("held_out")
    ids = torch.tensor(held_out.document(0)[:33].astype("int64"))[None]
    with torch.inference_mode():
        loss = float(model(ids, labels=ids).loss)
    assert loss == pytest.approx(trained.dev_loss, abs=0.6)  # of one window of several
    assert tokenizer.decode(ids[0][:1]) == "<|endoftext|>" and tokenizer.chat_template


def test_the_same_command_returns_what_is_there(trained: PretrainResult) -> None:
    before = (trained.out / "metrics.jsonl").read_bytes()
    data = trained.out.parent / "texts.jsonl"
    again = run(PretrainConfig(data=[str(data)], out=str(trained.out), **SMALL))  # type: ignore[arg-type]
    assert again == trained and (trained.out / "metrics.jsonl").read_bytes() == before


def test_a_model_goes_on_with_other_texts(trained: PretrainResult, tmp_path: Path) -> None:
    rows = [{"id": f"other {n}", "text": " ".join(["white red blue green"] * 30)} for n in range(12)]
    tiny_folders.write_rows(tmp_path / "other.jsonl", rows)
    settings = PretrainConfig(
        data=[str(tmp_path / "other.jsonl")],
        base=str(trained.out),
        window_tokens=32,
        batch_tokens=128,
        learning_rate=1e-3,
        evaluations=1,
        evaluation_tokens=128,
        sample_prompts=[],
        out=str(tmp_path / "run"),
    )
    result = run(settings)
    assert result.bits_per_byte < result.bits_per_byte_before
    plan = json.loads((tmp_path / "run" / "plan.json").read_text())
    assert plan["course"]["derived"][0]["source"] == "every text once"


def test_sources_are_read_as_often_as_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [str(write_texts(tmp_path / f"{name}.jsonl")) for name in ("once", "thrice")]
    settings = {**SMALL, "tokens": "512", "sample_prompts": []}
    run(PretrainConfig(data=[names[0], names[1] + "=3"], out=str(tmp_path / "run"), **settings))  # type: ignore[arg-type]
    shares = [each["share"] for each in json.loads((tmp_path / "run" / "certificate.json").read_text())["sources"]]
    assert shares == pytest.approx([0.25, 0.75])


def test_the_z_loss_is_reported_apart(tmp_path: Path) -> None:
    data = str(write_texts(tmp_path / "texts.jsonl"))
    settings = {**SMALL, "tokens": "512", "sample_prompts": [], "z_loss": 1e-2}
    run(PretrainConfig(data=[data], out=str(tmp_path / "run"), **settings))  # type: ignore[arg-type]
    first = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])
    assert first["log_normalizer_squared"] == pytest.approx(math.log(280) ** 2, rel=0.05)
    assert first["loss"] == pytest.approx(math.log(280), rel=0.05)


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"preset": "1m", "base": "starter"}, "--preset"),
        ({"base": "starter", "vocabulary": 600}, "--vocabulary"),
        ({"base": "starter", "tokenizer": "starter"}, "--tokenizer"),
        ({"tokenizer": "starter", "vocabulary": 600}, "--vocabulary"),
    ],
)
def test_settings_without_effect_are_refused(tmp_path: Path, wrong: dict[str, object], where: str) -> None:
    data = str(write_texts(tmp_path / "texts.jsonl"))
    with pytest.raises(UsageError) as error:
        run(PretrainConfig(data=[data], out=str(tmp_path / "run"), **wrong))  # type: ignore[arg-type]
    assert error.value.where == where and not (tmp_path / "run").exists()


def test_a_share_of_decay_is_of_the_schedule_that_has_one() -> None:
    with pytest.raises(ValidationError, match="--decay-share is of --schedule wsd and has no effect on cosine"):
        PretrainConfig(data=["x"], out="run", schedule="cosine", decay_share=0.3)
    told = PretrainConfig(data=["x"], out="run", schedule="cosine").model_dump()
    assert PretrainConfig(**told).decay_share == 0.2, "a run's own settings name every field"


def test_wrong_sources_are_named(tmp_path: Path) -> None:
    data = str(write_texts(tmp_path / "texts.jsonl"))
    for given in (str(tmp_path / "nothing"), data + "=often", data + "=-1"):
        with pytest.raises((UsageError, DataError)) as error:
            run(PretrainConfig(data=[given], out=str(tmp_path / "run"), **SMALL))  # type: ignore[arg-type]
        assert "texts" in str(error.value.where) or "nothing" in str(error.value.where)


@pytest.mark.parametrize("share", [None, 0.3])
def test_a_single_document_is_cut_so_that_a_part_is_held_out(tmp_path: Path, share: float | None) -> None:
    text = "\n\n".join(" ".join(COLOURS[(n + place) % 4] for place in range(30)) for n in range(60))
    (tmp_path / "book.txt").write_text(text)
    settings = {**SMALL, "tokens": "1k", "sample_prompts": [], "held_out_share": share}
    run(PretrainConfig(data=[str(tmp_path / "book.txt")], out=str(tmp_path / "run"), **settings))  # type: ignore[arg-type]
    shards = TokenShards.open(tmp_path / "run" / "tokens" / "0")
    parts = [shards.split(name) for name in ("train", "held_out")]
    held_out = parts[1].num_documents
    assert held_out == 2 if share is None else 2 < held_out < 12
    assert parts[0].num_documents + held_out in (20, 21)
    assert sum(part.num_bytes for part in parts) == len(text)
