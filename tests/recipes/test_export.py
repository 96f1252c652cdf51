"""`export.run` on tiny models: three formats, each checked against the live model before anything is published."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AutoPeftModelForCausalLM
from transformers import AutoModelForCausalLM, AutoTokenizer

from sartor.adapters.lora import lora_layers
from sartor.adapters.store import load_adapter
from sartor.base.errors import QualityError, UsageError
from sartor.cli.main import main
from sartor.data.chat import PLAIN_TEMPLATE
from sartor.models.hub import load_model, load_tokenizer
from sartor.recipes import exporting, rescoring
from sartor.recipes.export import ExportConfig, ExportResult, run
from sartor.recipes.finetune import FinetuneConfig
from sartor.recipes.finetune import run as finetune
from sartor.retrieval.path import PathConfig
from tests import odd_models, tiny_folders, tiny_models

IDS = torch.arange(10, 60)[None]
ROWS = [{"question": f"the colour of {n * 7919}", "answer": ("red", "green", "blue")[n % 3]} for n in range(30)]


@pytest.fixture(scope="module")
def tuned(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tuned")
    tiny_folders.write_rows(folder / "rows.jsonl", ROWS)
    settings = {"batch_rows": 10, "epochs": 2, "evaluations": 1, "lora_rank": 4, "learning_rate": 0.02}
    finetune(FinetuneConfig(data=str(folder / "rows.jsonl"), base=str(base), out=str(folder / "run"), **settings))
    return folder / "run"


def export(model: Path, out: Path, form: str = "safetensors", **settings: Any) -> ExportResult:
    return run(ExportConfig(model=str(model), out=str(out), format=form, **settings))  # type: ignore[arg-type]


def live_logits(base: Path, adapter: Path | None = None) -> torch.Tensor:
    model = load_model(base, torch.float32)
    if adapter is not None:
        load_adapter(model, adapter)
    with torch.no_grad():
        logits: torch.Tensor = model(IDS).logits
        return logits


def test_a_merged_model_says_what_base_and_adapter_say(base: Path, tuned: Path, tmp_path: Path) -> None:
    result = export(tuned, tmp_path / "out")
    assert (result.dtype, result.out) == ("f32", tmp_path / "out")
    merged = AutoModelForCausalLM.from_pretrained(result.out)
    with torch.no_grad():
        torch.testing.assert_close(merged(IDS).logits, live_logits(base, tuned / "adapter"), atol=1e-5, rtol=1e-5)
        assert (merged(IDS).logits - live_logits(base)).abs().max() > 0.01
    check = result.rescoring
    assert check.source == "held-out rows of rows.jsonl" and 0 < check.rows < 15
    assert check.largest_difference < 1e-4 and check.adapter_effect is not None and check.adapter_effect > 0.01
    report = json.loads((result.out / "export.json").read_text())
    assert report["rescoring"]["largest_difference"] == check.largest_difference
    assert report["base_model"] == str(base) and report["files"] == result.files
    assert result.files.keys() | {"export.json"} == {path.name for path in result.out.iterdir()}
    assert all((result.out / name).stat().st_size == size for name, size in result.files.items())


def test_peft_reads_the_adapter_and_says_the_same(base: Path, tuned: Path, tmp_path: Path) -> None:
    result = export(tuned, tmp_path / "out", "peft")
    assert result.dtype == "as trained" and result.rescoring.largest_difference == 0
    theirs = AutoPeftModelForCausalLM.from_pretrained(result.out)
    with torch.no_grad():
        torch.testing.assert_close(
            theirs(input_ids=IDS).logits, live_logits(base, tuned / "adapter"), atol=1e-5, rtol=1e-5
        )
    assert AutoTokenizer.from_pretrained(result.out).chat_template == tiny_models.CHATML


@pytest.mark.parametrize("dtype", ["f32", "bf16", "f16", "q8_0"])
def test_gguf_is_checked_and_the_difference_told(dtype: str, tuned: Path, tmp_path: Path) -> None:
    result = export(tuned, tmp_path / "out", "gguf", dtype=dtype)
    assert (result.out / f"model-{dtype}.gguf").is_file() and f"model-{dtype}.gguf" in result.uses["llama.cpp"]
    assert (result.rescoring.largest_difference < 1e-4) == (dtype == "f32")
    assert not list(result.out.glob(".*"))


@pytest.mark.parametrize("form", ["safetensors", "gguf"])
def test_a_plain_model_is_compared_on_built_in_conversations(form: str, base: Path, tmp_path: Path) -> None:
    result = export(base, tmp_path / "out", form)
    assert result.rescoring.source == "built-in conversations" and result.rescoring.adapter_effect is None
    assert result.rescoring.largest_difference == 0 and result.rescoring.tokens > 500


def test_a_model_that_sees_as_well_is_exported(tmp_path: Path) -> None:
    model = odd_models.model("gemma3")
    model.config.text_config.max_position_embeddings = 4096
    model.save_pretrained(tmp_path / "base")
    tiny_models.tokenizer().save_pretrained(tmp_path / "base")
    result = export(tmp_path / "base", tmp_path / "out")
    assert result.rescoring.sentence()
    with torch.no_grad():
        written = load_model(tmp_path / "out", torch.float32, "eager")
        assert torch.equal(written(IDS).logits, model(IDS).logits)


def test_rows_that_are_gone_are_told_of(tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(tuned, tmp_path / "run")
    settings = (tmp_path / "run" / "config.yaml").read_text()
    (tmp_path / "run" / "config.yaml").write_text(settings.replace("rows.jsonl", "gone.jsonl"))
    assert export(tmp_path / "run", tmp_path / "out").rescoring.source == "built-in conversations"
    assert "the run's rows cannot be read" in capsys.readouterr().err


def test_where_all_held_out_rows_are_too_long_built_in_conversations_are_compared(
    tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = [rescoring.Message(role="user", content="the cat " * 3000), rescoring.Message(role="assistant", content="x")]
    monkeypatch.setattr(rescoring, "probe_rows", lambda run: rescoring.Probe([long], "held-out rows of long.jsonl"))
    check = export(tuned, tmp_path / "out").rescoring
    assert check.source == "built-in conversations, as all held-out rows of long.jsonl are too long"
    assert check.tokens > 500 and check.adapter_effect


@pytest.mark.parametrize("form", ["safetensors", "gguf"])
def test_a_model_without_a_template_is_given_the_one_it_was_asked_with(form: str, tmp_path: Path) -> None:
    folder = tmp_path / "base"
    tiny_models.model("llama").save_pretrained(folder)
    tiny_models.tokenizer("none").save_pretrained(folder)
    result = export(folder, tmp_path / "out", form)
    if form == "safetensors":
        assert load_tokenizer(result.out).chat_template == PLAIN_TEMPLATE


def test_generation_settings_name_what_ends_a_turn(base: Path, tmp_path: Path) -> None:
    result = export(base, tmp_path / "out")
    ends = json.loads((result.out / "generation_config.json").read_text())["eos_token_id"]
    tokenizer = load_tokenizer(base)
    assert ends == [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|im_end|>")]


def refused(model: Path, out: Path, form: str, **settings: Any) -> str:
    before = sorted(out.parent.iterdir())
    with pytest.raises(UsageError) as error:
        export(model, out, form, **settings)
    assert sorted(out.parent.iterdir()) == before
    return str(error.value)


def test_what_cannot_be_meant_is_refused_and_leaves_nothing(base: Path, tuned: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "has no adapter" in refused(base, out, "peft") and "--format safetensors" in refused(base, out, "peft")
    assert "as it was trained" in refused(tuned, out, "peft", dtype="bf16")
    assert "--format gguf" in refused(tuned, out, "safetensors", dtype="q8_0")
    assert "the model to export is in it" in refused(base, base, "safetensors")
    assert "the model to export is in it" in refused(tuned, tuned, "safetensors")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    assert "something else" in refused(base, tmp_path / "full", "safetensors")
    other = tmp_path / "other"
    tiny_models.model("gemma2").save_pretrained(other)
    tiny_models.tokenizer("gemma").save_pretrained(other)
    assert "gemma2" in refused(other, out, "gguf")


def break_(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Damage what is written, as a fault of the export would."""
    if what == "adapter forgotten":
        monkeypatch.setattr(exporting, "merge_lora", drop_adapters)
    elif what == "weights not a number":
        monkeypatch.setattr(exporting, "model_files", with_nan)
    elif what == "other template":
        monkeypatch.setattr(exporting, "model_files", without_template)


def drop_adapters(model: Any) -> None:
    for name, layer in lora_layers(model).items():
        setattr(model.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2], layer.base)


model_files = exporting.model_files


def with_nan(model: Any, *arguments: Any) -> Any:
    model.model.norm.weight.fill_(float("nan"))
    return model_files(model, *arguments)


def without_template(*arguments: Any) -> Any:
    files = model_files(*arguments)
    return files | {"chat_template.jinja": tiny_models.CHATML.replace("<|im_end|>\\n", "<|im_end|>\\n\\n")}


@pytest.mark.parametrize("what", ["adapter forgotten", "weights not a number", "other template"])
def test_a_model_that_differs_is_not_published(
    what: str, tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = export(tuned, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in earlier.out.iterdir()}
    break_(what, monkeypatch)
    with pytest.raises(QualityError, match="not the live one"):
        export(tuned, tmp_path / "out")
    assert {path.name: path.read_bytes() for path in earlier.out.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_storage_that_loses_the_adapter_is_refused() -> None:
    """A small adapter can drown in rounding: every difference is within the type's own tolerance, yet half is lost."""
    ids = [tiny_models.rows([20])[0]]
    base = torch.zeros(19)
    live = rescoring.Scored(ids, base + 0.02, frozenset({0}), "")
    probe = rescoring.Probe([], "rows")
    kept = rescoring.Scored(ids, base + 0.011, frozenset({0}), "")
    assert rescoring.compare(live, kept, probe, "bf16", base).mean_allowed == pytest.approx(0.01)
    lost = rescoring.Scored(ids, base + 0.009, frozenset({0}), "")
    assert rescoring.compare(live, lost, probe, "bf16", None).adapter_effect is None
    with pytest.raises(QualityError, match="adapter's own effect is 0.02"):
        rescoring.compare(live, lost, probe, "bf16", base)


def test_of_a_choice_the_chosen_model_is_exported(
    base: Path, tuned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "choice" / "paths" / "finetune"
    path = PathConfig(name="finetune", description="x", model=str(base), adapter="run/adapter", instruction="Be brief.")
    path.save(place)
    shutil.copytree(tuned, place / "run")
    (tmp_path / "choice" / "choice.json").write_text('{"choice": "finetune"}')
    result = export(tmp_path / "choice", tmp_path / "out")
    assert result.rescoring.source == "held-out rows of rows.jsonl" and result.rescoring.adapter_effect
    assert "its prompt and documents stay" in capsys.readouterr().err
    path.model_copy(update={"api_base_url": "http://127.0.0.1:9/v1"}).save(place)
    with pytest.raises(UsageError, match="asks"):
        export(tmp_path / "choice", tmp_path / "out")


def test_the_model_card_names_base_and_licence(base: Path, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path / "licensed")
    (tmp_path / "licensed" / "README.md").write_text("---\nlicense: mit\n---\n# Card\n")
    result = export(tmp_path / "licensed", tmp_path / "out", "gguf")
    card = (result.out / "README.md").read_text()
    assert card.startswith("---\nlicense: mit\n---\n") and "licensed" in card and str(tmp_path) not in card
    assert json.loads((result.out / "export.json").read_text())["licence"] == "mit"


def test_the_command_prints_sizes_uses_or_json(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["export", str(base), "--format", "gguf", "--dtype", "q8_0", "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert f"{tmp_path / 'out'}: gguf, q8_0, " in captured.out and "llama-server -m" in captured.out
    assert "scoring it again" in captured.err and "differs by at most" in captured.out
    assert main([*arguments, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["dtype"] == "q8_0" and 0 < printed["rescoring"]["largest_difference"] < 1
    assert main(["export", str(base), "--format", "peft", "--out", str(tmp_path / "other")]) == 2
    assert not (tmp_path / "other").exists()
