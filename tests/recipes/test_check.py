"""`sartor check` on a tiny model: it passes where all is right, and each planted mistake is caught by its own check."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sartor.adapters import store
from sartor.adapters.lora import LoraLinear, _LoraProduct
from sartor.cli.main import main
from sartor.data import batches
from sartor.data.chat import ChatFormat, Rendered
from sartor.data.packing import Batch, pack
from sartor.data.records import Conversation
from sartor.generation.cache import DecodeLayout
from sartor.models import fused
from sartor.models.attention import PackedLayout
from sartor.recipes import checking, examples
from sartor.recipes.check import CheckConfig, CheckReport, run
from sartor.recipes.finetune import FinetuneConfig
from sartor.recipes.finetune import run as finetune
from sartor.train import log_probs
from tests import tiny_folders

COLOURS = ("red", "green", "blue", "white")
ROWS = [{"question": f"the colour of {n * 7919}" + " cat" * (n % 13), "answer": COLOURS[n % 4]} for n in range(40)]
Patch = pytest.MonkeyPatch


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    tiny_folders.write_rows(file, ROWS)
    return file


@pytest.fixture(scope="module")
def finished(base: Path, rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "run"
    settings = {"batch_rows": 20, "epochs": 4, "evaluations": 1, "lora_rank": 4, "lora_dropout": 0.1}
    return finetune(FinetuneConfig(data=str(rows), base=str(base), out=str(out), **settings)).out


def checked(base: Path, rows: Path, **settings: Any) -> CheckReport:
    lora = {} if settings.get("adapter") == "none" else {"lora_rank": 4}
    return run(CheckConfig(data=str(rows), base=str(base), **{"check_tokens": 320, **lora, **settings}))


def failed(report: CheckReport) -> str:
    return "; ".join(finding.check for finding in report.failed)


@pytest.mark.parametrize(
    "settings", [{}, {"adapter": "none"}, {"lora_dropout": 0.5, "rslora": True}], ids=["lora", "full", "dropout"]
)
def test_all_is_well(base: Path, rows: Path, settings: dict[str, Any]) -> None:
    report = checked(base, rows, **settings)
    assert not failed(report)
    assert len(report.findings) == 14 and len(report.rows) >= 3 and report.tokens <= 320
    compared = [finding for finding in report.findings if finding.difference is not None]
    assert len(compared) == (13 if settings.get("adapter") == "none" else 14)


# --- planted mistakes ---------------------------------------------------------------------------------------------


def shift_the_mask(patch: Patch) -> None:
    right = ChatFormat._row

    def wrong(self: ChatFormat, *arguments: Any, **named: Any) -> Rendered:
        row = right(self, *arguments, **named)
        return replace(row, trained=[False, *row.trained[:-1]])

    patch.setattr(ChatFormat, "_row", wrong)


def lose_the_stop(patch: Patch) -> None:
    patch.setattr(ChatFormat, "_end_of_turn", lambda self, tokens: len(tokens) - 2)


def prompt_otherwise(patch: Patch) -> None:
    right = ChatFormat.prompt
    patch.setattr(ChatFormat, "prompt", lambda self, messages: right(self, messages)[:-1])


def serve_another_template(patch: Patch) -> None:
    right = ChatFormat._apply

    def wrong(self: ChatFormat, messages: Conversation, asking: bool, tools: Any = ()) -> str:
        return right(self, messages, asking, tools).replace("user", "human")

    patch.setattr(ChatFormat, "_apply", wrong)


def normalise_by_micro_batch(patch: Patch) -> None:
    right = examples.causal_lm_loss
    patch.setattr(examples, "causal_lm_loss", lambda found, num_trained: right(found, len(found)))


def run_positions_on(patch: Patch) -> None:
    def wrong(rows: Sequence[Rendered], share_prefix: bool = True) -> Batch:
        right = pack(rows, share_prefix)
        return replace(right, positions=right.positions + 3 * torch.arange(len(right.ids)) // 8)

    patch.setattr(batches, "pack", wrong)


def see_the_neighbours(patch: Patch) -> None:
    right = PackedLayout.__init__

    def wrong(self: PackedLayout, spans: Sequence[Any], device: torch.device) -> None:
        whole = replace(spans[0], start=0, end=spans[-1].end, prefixes=())
        right(self, [whole], device)

    patch.setattr(PackedLayout, "__init__", wrong)


def forget_the_shared_beginning(patch: Patch) -> None:
    def wrong(rows: Sequence[Rendered], share_prefix: bool = True) -> Batch:
        right = pack(rows, share_prefix)
        return replace(right, spans=tuple(replace(span, prefixes=()) for span in right.spans))

    patch.setattr(batches, "pack", wrong)


def scale_the_gradient_wrongly(patch: Patch) -> None:
    right = _LoraProduct.backward

    def wrong(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        found = list(right(ctx, *grads))
        found[5] = found[5] / ctx.scale
        return tuple(found)

    patch.setattr(_LoraProduct, "backward", staticmethod(wrong))


def gate_wrongly(patch: Patch) -> None:
    right = fused._Gate.backward
    patch.setattr(
        fused._Gate, "backward", staticmethod(lambda ctx, grad: tuple(each * 1.01 for each in right(ctx, grad)))
    )


def derive_the_head_wrongly(patch: Patch) -> None:
    right = log_probs.token_log_probs

    def wrong(*arguments: Any) -> Tensor:
        found = right(*arguments)
        return found + 0.01 * (found - found.detach())

    patch.setattr(log_probs, "token_log_probs", wrong)


def merge_with_another_scale(patch: Patch) -> None:
    right = LoraLinear.merged
    patch.setattr(LoraLinear, "merged", lambda self: self.weight + (right(self) - self.weight) * 0.5)


def save_in_bfloat16(patch: Patch) -> None:
    right = store.adapter_tensors
    patch.setattr(
        store, "adapter_tensors", lambda model: {name: value.bfloat16().float() for name, value in right(model).items()}
    )


def do_nothing(patch: Patch) -> None:
    patch.setattr(checking, "UNTRAINED_STD", 0.0)


def decode_at_wrong_places(patch: Patch) -> None:
    right = DecodeLayout.__init__

    def wrong(self: DecodeLayout, cache: Any, lengths: Tensor) -> None:
        right(self, cache, lengths)
        self.hidden[..., 0] = float("-inf")

    patch.setattr(DecodeLayout, "__init__", wrong)


def lose_digits(patch: Patch) -> None:
    right = log_probs.token_log_probs

    def wrong(hidden: Tensor, *arguments: Any) -> Tensor:
        found = right(hidden, *arguments)
        return found + 0.01 * torch.sin(1e3 * found) if hidden.dtype == torch.bfloat16 else found

    patch.setattr(log_probs, "token_log_probs", wrong)


@pytest.mark.parametrize(
    ("mistake", "caught_by"),
    [
        (shift_the_mask, "training ids = ids served"),
        (lose_the_stop, "the stop token is learnt"),
        (prompt_otherwise, "training ids = ids served"),
        (serve_another_template, "the tokenizer's own chat template"),
        (normalise_by_micro_batch, "gradient: several micro-batches = one"),
        (run_positions_on, "gradient: Sartor = transformers"),
        (see_the_neighbours, "gradient: Sartor = transformers"),
        (see_the_neighbours, "log-probabilities: packed = row by row"),
        (forget_the_shared_beginning, "gradient: shared beginning"),
        (scale_the_gradient_wrongly, "gradient: Sartor = transformers"),
        (derive_the_head_wrongly, "gradient: Sartor = transformers"),
        (gate_wrongly, "gradient: Sartor = transformers"),
        (merge_with_another_scale, "merged = adapter"),
        (save_in_bfloat16, "saved and reloaded = live"),
        (do_nothing, "merged = adapter"),
        (decode_at_wrong_places, "generation = training"),
        (lose_digits, "bfloat16"),
    ],
)
def test_a_planted_mistake_is_caught(
    base: Path, rows: Path, monkeypatch: Patch, mistake: Callable[[Patch], None], caught_by: str
) -> None:
    mistake(monkeypatch)
    assert caught_by in failed(checked(base, rows))


# --- the command --------------------------------------------------------------------------------------------------


def test_a_finished_run_is_checked_with_what_it_learnt(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(finished), "--check-tokens", "320", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["passed"] and report["subject"] == f"what {finished} has learnt"
    assert all(each["passed"] for each in report["findings"])


def test_a_failure_ends_with_4_and_names_it(
    base: Path, rows: Path, monkeypatch: Patch, capsys: pytest.CaptureFixture[str]
) -> None:
    merge_with_another_scale(monkeypatch)
    assert main(["check", str(rows), "--base", str(base), "--check-tokens", "320"]) == 4
    captured = capsys.readouterr()
    assert "FAILED merged = adapter" in captured.out
    assert "1 of 14 checks failed: merged = adapter" in captured.err


def test_settings_of_a_run_are_its_own(finished: Path, rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(finished), "--lora-rank", "8"]) == 2
    assert "--lora-rank is a setting of the run" in capsys.readouterr().err
    assert main(["check", str(rows), "--check-tokens", "64", "--base", str(rows.parent / "nothing")]) == 2
