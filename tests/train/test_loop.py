"""The loop keeps its promises: accumulation is a big batch, a resumed run is the run, the best weights stay."""

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from safetensors.torch import load_file

from sartor.adapters.lora import LoraSettings, add_lora
from sartor.base.errors import Interrupted, SartorError
from sartor.base.run_folder import RunFolder
from sartor.base.seeds import seed_everything
from sartor.data.batches import BatchSource
from sartor.data.packing import Batch
from sartor.models.forward import use_packed_attention
from sartor.recipes.examples import supervised_loss
from sartor.train.checkpoint import Checkpoints
from sartor.train.likelihood import mean_loss
from sartor.train.loop import FitResult, LoopSettings, fit
from sartor.train.optimizer import trainable_parameters
from tests import tiny_models

LENGTHS = [5, 9, 14, 7, 22, 11, 3, 18, 6, 10]
SETTINGS = LoopSettings(num_steps=9, learning_rate=1e-2, warmup_steps=2, evaluate_every=3, save_every=1, seed=3)


def adapted(dropout: float = 0.0) -> torch.nn.Module:
    model = use_packed_attention(tiny_models.model())
    seed_everything(1)
    add_lora(model, LoraSettings(rank=4, dropout=dropout))
    return model


def source(micro_batch_tokens: int, share_prefix: bool = True) -> BatchSource:
    return BatchSource(tiny_models.rows(LENGTHS, shared=9), 4, micro_batch_tokens, seed=5, share_prefix=share_prefix)


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in trainable_parameters(model).items()}


CUTS = [(1, True), (40, True), (40, False), (10_000, False)]


def accumulated(model: torch.nn.Module, batches: list[Batch]) -> list[torch.Tensor]:
    num_trained = sum(batch.num_trained for batch in batches)
    for batch in batches:
        supervised_loss(model, batch, num_trained)[0].backward()
    return [parameter.grad for parameter in trainable_parameters(model).values() if parameter.grad is not None]


@pytest.mark.parametrize(("micro_batch_tokens", "share_prefix"), CUTS)
def test_every_cut_into_micro_batches_has_the_same_gradient(micro_batch_tokens: int, share_prefix: bool) -> None:
    whole = accumulated(adapted(), source(10_000).step(0))
    cut = accumulated(adapted(), source(micro_batch_tokens, share_prefix).step(0))
    for one, other in zip(cut, whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))


@pytest.mark.parametrize(("micro_batch_tokens", "share_prefix"), CUTS)
def test_every_cut_into_micro_batches_has_the_same_curve(micro_batch_tokens: int, share_prefix: bool) -> None:
    curves = [
        [record["loss"] for record in fit(adapted(), batches, supervised_loss, SETTINGS).history]
        for batches in (source(10_000), source(micro_batch_tokens, share_prefix))
    ]
    assert curves[1] == pytest.approx(curves[0], rel=1e-4)


def test_one_step_is_adamw_on_the_mean_over_trained_tokens() -> None:
    """Against torch's own optimizer on transformers' own loss."""
    model = adapted()
    settings = LoopSettings(num_steps=1, learning_rate=1e-2, clip_norm=0.5, schedule="constant", seed=3)
    rows = source(10_000).rows_of(0)
    expected = adapted()
    expected.set_attn_implementation("eager")
    loss = -tiny_models.reference_log_probs(expected, rows).mean()
    loss.backward()
    parameters = list(trainable_parameters(expected).values())
    torch.nn.utils.clip_grad_norm_(parameters, 0.5)
    torch.optim.AdamW(parameters, lr=1e-2, weight_decay=0.0).step()
    result = fit(model, source(10_000), supervised_loss, settings)
    assert result.train_loss == pytest.approx(loss.item(), rel=1e-5)
    for name, weight in weights(expected).items():
        # Adam's first step is the gradient's sign, so entries whose gradient is rounding noise may differ
        close = torch.isclose(weights(model)[name], weight, rtol=1e-3, atol=1e-5).float().mean()
        assert close > 0.99, name


def test_the_best_weights_are_kept_and_training_stops_early() -> None:
    model = adapted()
    losses = iter([3.0, 2.0, 2.5, 2.6, 9.9])
    seen = []

    def evaluate(model: torch.nn.Module) -> dict[str, float]:
        seen.append(weights(model))
        return {"dev_loss": next(losses)}

    settings = LoopSettings(num_steps=50, learning_rate=1e-2, evaluate_every=2, patience=2)
    result = fit(model, source(100), supervised_loss, settings, evaluate)
    assert (result.steps, result.best_step, result.stopped_early) == (8, 4, True)
    assert result.best == {"dev_loss": 2.0}
    for name, weight in weights(model).items():
        assert torch.equal(weight, seen[1][name])


@pytest.mark.parametrize(
    ("best_by", "best_step"),
    [("dev_loss", 6), ("dev_score", 4)],  # of the equal scores of steps 2 and 4 that with the lower loss
)
def test_what_is_best_is_as_asked(best_by: Literal["dev_loss", "dev_score"], best_step: int) -> None:
    figures = iter([(3.0, 0.5), (2.9, 0.5), (2.0, 0.4), (2.5, 0.3), (2.6, 0.2)])
    model, seen = adapted(), []

    def evaluate(model: torch.nn.Module) -> dict[str, float]:
        seen.append(weights(model))
        return dict(zip(("dev_loss", "dev_score"), next(figures), strict=True))

    settings = LoopSettings(num_steps=10, learning_rate=1e-2, evaluate_every=2, best_by=best_by)
    result = fit(model, source(100), supervised_loss, settings, evaluate)
    assert (result.best_step, result.steps) == (best_step, 10)
    for name, weight in weights(model).items():
        assert torch.equal(weight, seen[best_step // 2 - 1][name])


def test_patience_counts_scores_where_scores_decide() -> None:
    figures = iter([(3.0, 0.5), (2.0, 0.4), (1.0, 0.3)])  # the loss falls on
    settings = LoopSettings(num_steps=50, learning_rate=1e-2, evaluate_every=2, patience=2, best_by="dev_score")
    result = fit(
        adapted(),
        source(100),
        supervised_loss,
        settings,
        lambda model: dict(zip(("dev_loss", "dev_score"), next(figures), strict=True)),
    )
    assert (result.steps, result.best_step, result.stopped_early) == (6, 2, True)


def test_a_held_out_figure_that_is_not_finite_stops_the_run() -> None:
    settings = LoopSettings(num_steps=4, learning_rate=1e-2, evaluate_every=2)
    with pytest.raises(SartorError, match="dev_loss became nan after step 2"):
        fit(adapted(), source(100), supervised_loss, settings, lambda model: {"dev_loss": math.nan})


def test_a_whole_model_in_bfloat16_learns_in_float32_and_resumes(tmp_path: Path) -> None:
    """Every step is far below bfloat16's spacing, and a run stopped in the middle is the uninterrupted one."""

    def run_whole(folder: Path, stop_after: int | None = None) -> torch.nn.Module:
        model = use_packed_attention(tiny_models.model()).bfloat16().requires_grad_(True)
        settings = LoopSettings(num_steps=8, learning_rate=1e-5, schedule="constant", save_every=1, seed=3)
        steps = 0

        def loss_of(*arguments: Any) -> tuple[torch.Tensor, dict[str, float]]:
            nonlocal steps
            steps += 1
            if steps == stop_after:
                os.kill(os.getpid(), signal.SIGTERM)
            return supervised_loss(*arguments)

        with RunFolder.open(folder) if folder.is_dir() else RunFolder.create(folder) as run:
            checkpoints = Checkpoints(run)
            try:
                fit(model, source(10_000), loss_of, settings, checkpoints=checkpoints)
            finally:
                checkpoints.close()
        return model

    run_whole(tmp_path / "whole")
    with pytest.raises(Interrupted):
        run_whole(tmp_path / "stopped", stop_after=3)
    run_whole(tmp_path / "stopped")
    masters = [load_file(tmp_path / name / "checkpoints/step-8/weights.safetensors") for name in ("whole", "stopped")]
    start = dict(use_packed_attention(tiny_models.model()).bfloat16().float().named_parameters())
    for name, master in masters[0].items():
        assert torch.equal(masters[1][name], master), name
    moved = masters[0]["model.norm.weight"] - start["model.norm.weight"].detach()
    assert 0 < float(moved.abs().max()) < 2**-8  # a weight of 1 would not have moved at all


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_before_the_step(bad: float) -> None:
    model = adapted()
    before = weights(model)

    def loss_of(model: torch.nn.Module, batch: object, num_trained: int) -> tuple[torch.Tensor, dict[str, float]]:
        loss, metrics = supervised_loss(model, batch, num_trained)  # type: ignore[arg-type]
        return loss * bad, metrics

    with pytest.raises(SartorError, match="step 1; nothing was updated"):
        fit(model, source(100), loss_of, SETTINGS)
    for name, weight in weights(model).items():
        assert torch.equal(weight, before[name])


def run_in(folder: Path, stop_after: int | None = None) -> tuple[torch.nn.Module, FitResult]:
    """A whole run with dropout, resumed if the folder has a checkpoint; stops as by SIGTERM after some steps."""
    model = adapted(dropout=0.2)
    batches = source(40)
    held_out = tiny_models.rows([8, 12], shared=9, seed=9)
    calls = 0

    def loss_of(model: torch.nn.Module, batch: object, num_trained: int) -> tuple[torch.Tensor, dict[str, float]]:
        nonlocal calls
        calls += 1
        if calls == stop_after:
            os.kill(os.getpid(), signal.SIGTERM)
        return supervised_loss(model, batch, num_trained)  # type: ignore[arg-type]

    run = RunFolder.open(folder) if folder.is_dir() else RunFolder.create(folder)
    with run:
        checkpoints = Checkpoints(run)
        try:
            result = fit(
                model, batches, loss_of, SETTINGS, lambda m: {"dev_loss": mean_loss(m, held_out, 1000)}, checkpoints
            )
        finally:
            checkpoints.close()
    return model, result


def test_a_run_stopped_by_signals_and_resumed_is_the_uninterrupted_run(tmp_path: Path) -> None:
    expected, expected_result = run_in(tmp_path / "whole")
    for stop_after in (3, 4, 7):
        with pytest.raises(Interrupted) as stopped:
            run_in(tmp_path / "stopped", stop_after)
        assert stopped.value.exit_code == 75
    resumed, result = run_in(tmp_path / "stopped")
    for name, weight in weights(expected).items():
        assert torch.equal(weights(resumed)[name], weight), name
    assert (result.best, result.best_step) == (expected_result.best, expected_result.best_step)
    texts = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("whole", "stopped")]
    assert texts[0] == texts[1] and len(texts[0].splitlines()) == SETTINGS.num_steps


def test_a_signal_in_the_last_step_stops_what_would_follow_and_loses_nothing(tmp_path: Path) -> None:
    expected, _ = run_in(tmp_path / "whole")
    num_calls = sum(len(list(source(40).step(step))) for step in range(SETTINGS.num_steps))
    with pytest.raises(Interrupted):
        run_in(tmp_path / "stopped", stop_after=num_calls)
    resumed, result = run_in(tmp_path / "stopped")
    assert result.steps == SETTINGS.num_steps
    for name, weight in weights(expected).items():
        assert torch.equal(weights(resumed)[name], weight), name


KILLED = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from tests.train.test_loop import run_in
run_in(Path(sys.argv[1]))
"""


def test_a_killed_run_resumes_bit_for_bit(tmp_path: Path) -> None:
    """SIGKILL as soon as a certain checkpoint appears, twice; then the run is finished."""
    torch.set_num_threads(1)
    expected, _ = run_in(tmp_path / "whole")
    folder = tmp_path / "killed"
    for step in (2, 5):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], cwd=Path(__file__).parents[2])
        while process.poll() is None and not (folder / "checkpoints" / f"step-{step}").is_dir():
            pass
        process.kill()
        assert process.wait() in (-signal.SIGKILL, 0)
    resumed, _ = run_in(folder)
    for name, weight in weights(expected).items():
        assert torch.equal(weights(resumed)[name], weight), name
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert lines == [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]


class Drifting:
    """Batches that depend on what was taken before: a source with a state, such as answers of the model are one."""

    def __init__(self) -> None:
        self.taken = torch.zeros(3, dtype=torch.long)

    def step(self, step: int) -> list[Batch]:
        self.taken = torch.cat((self.taken[1:], (self.taken[-1:] * 5 + step + 1) % 97))
        return source(40).step(int(self.taken.sum()))

    def state(self) -> dict[str, torch.Tensor]:
        return {"taken": self.taken.clone()}

    def load_state(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self.taken = tensors["taken"].clone()

    def metrics(self) -> dict[str, float]:
        return {"drift": float(self.taken[-1])}


def test_a_source_with_a_state_goes_on_from_where_it_was(tmp_path: Path) -> None:
    """Its state is saved with the weights, and what it tells of a step is logged with the step."""

    def run(folder: Path, stop_after: int | None = None) -> tuple[torch.nn.Module, FitResult]:
        model, calls = adapted(dropout=0.2), 0

        def loss_of(*arguments: Any) -> tuple[torch.Tensor, dict[str, float]]:
            nonlocal calls
            calls += 1
            if calls == stop_after:
                os.kill(os.getpid(), signal.SIGTERM)
            return supervised_loss(*arguments)

        with RunFolder.open(folder) if folder.is_dir() else RunFolder.create(folder) as opened:
            checkpoints = Checkpoints(opened)
            try:
                return model, fit(model, Drifting(), loss_of, SETTINGS, checkpoints=checkpoints)
            finally:
                checkpoints.close()

    straight_model, straight = run(tmp_path / "straight")
    drifts = [record["drift"] for record in straight.history]
    assert len(drifts) == SETTINGS.num_steps and len(set(drifts)) > 5
    for stop_after in (2, 3, 5):
        with pytest.raises(Interrupted):
            run(tmp_path / "stopped", stop_after)
    model, result = run(tmp_path / "stopped")
    assert result.history == straight.history
    assert all(torch.equal(each, weights(model)[name]) for name, each in weights(straight_model).items())
