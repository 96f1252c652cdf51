"""A budget becomes a size: what can be reckoned by hand, and a law fitted to runs that were really made."""

import json
import math
from pathlib import Path

import pytest

from sartor.base.configuration import Layer, build
from sartor.base.errors import UsageError
from sartor.cli.main import main
from sartor.models.presets import PRESETS
from sartor.recipes import scaling_runs
from sartor.recipes.scaling_candidates import between, compare
from sartor.recipes.scaling_plan import ScalingConfig, run
from sartor.recipes.scaling_runs import shortest_tokens
from sartor.train.scaling_law import PUBLISHED
from tests import tiny_folders


def test_tokens_are_what_the_time_buys() -> None:
    plan = run(ScalingConfig(hours=2.0, teraflops=100.0, utilisation=0.5))
    assert [each.preset for each in plan.candidates] == list(PRESETS)
    for each in plan.candidates:
        window = {"25m": 1024, "85m": 1024, "300m": 2048, "1b": 2048}.get(each.preset, 512)
        flops = PRESETS[each.preset].flops_per_token(16_384, window)
        assert each.tokens == pytest.approx(2 * 3600 * 50e12 / flops, rel=1e-6)
        assert each.low is None and each.hours == pytest.approx(2.0, rel=1e-3)
    assert plan.best == min(plan.candidates, key=lambda each: each.loss).preset
    assert "2404.10102" in plan.law and "100 teraflop/s" in plan.speed


def test_more_compute_buys_a_larger_model() -> None:
    sizes = [run(ScalingConfig(hours=hours, teraflops=1000.0)).best for hours in (0.01, 1.0, 500.0)]
    order = list(PRESETS)
    assert order.index(sizes[0]) < order.index(sizes[1]) < order.index(sizes[2])


def test_money_is_time() -> None:
    by_money = run(ScalingConfig(money=30.0, price_per_hour=3.0, teraflops=100.0))
    assert by_money.candidates == run(ScalingConfig(hours=10.0, teraflops=100.0)).candidates


def test_texts_are_read_four_times_at_most() -> None:
    config = ScalingConfig(hours=100.0, teraflops=100.0)
    found = compare(config, lambda name: 1e6, PUBLISHED, data_tokens=1000)
    assert all(each.tokens == 4000 and each.epochs == 4.0 for each in found)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"hours": 1.0, "money": 2.0, "price_per_hour": 1.0},
        {"money": 2.0},
        {"hours": 1.0, "fit_minutes": 1.0},
        {"hours": 1.0, "out": "somewhere"},
    ],
)
def test_contradictory_budgets_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        build(ScalingConfig, Layer(values=wrong))


def test_speeds_lie_on_a_line_between_the_measured_ones() -> None:
    assert between((1.0, 10.0), (100.0, 30.0), 10.0) == pytest.approx(20.0)
    assert between((1.0, 10.0), (100.0, 30.0), 1e9) == 30.0
    tokens = shortest_tokens(60.0, [1000.0, 500.0])
    assert (1 + 3 + 9) * (tokens / 1000 + tokens / 500) == pytest.approx(60.0, rel=1e-3)


def test_a_law_fitted_to_small_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"id": f"text {n}", "text": " ".join(str((n * 7 + place * place) % 50) for place in range(200))}
        for n in range(20)
    ]
    tiny_folders.write_rows(tmp_path / "texts.jsonl", rows)
    monkeypatch.setattr(scaling_runs, "trial_speed", lambda settings: 10_000.0)
    monkeypatch.setattr(scaling_runs, "FEWEST_FIT_TOKENS", 500)
    monkeypatch.setattr(scaling_runs, "FIT_PRESETS", ("1m",))  # the second size would take long
    config = ScalingConfig(
        data=[str(tmp_path / "texts.jsonl")],
        hours=1.0,
        vocabulary=512,
        fit_minutes=0.05,
        out=str(tmp_path / "fit"),
    )
    runs = scaling_runs.small_runs(config)
    assert [each.tokens for each in runs] == sorted(each.tokens for each in runs) and len(runs) == 3
    assert all(math.isfinite(each.bits_per_byte) for each in runs)
    again = scaling_runs.small_runs(config)  # they are done: read, not made
    assert [each.bits_per_byte for each in again] == [each.bits_per_byte for each in runs]


def test_too_short_a_time_says_how_long_it_should_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_folders.write_rows(tmp_path / "texts.jsonl", [{"text": "words"}])
    monkeypatch.setattr(scaling_runs, "trial_speed", lambda settings: 100.0)
    config = ScalingConfig(data=[str(tmp_path / "texts.jsonl")], hours=1.0, fit_minutes=0.1, out=str(tmp_path / "fit"))
    with pytest.raises(UsageError) as error:
        scaling_runs.small_runs(config)
    assert error.value.where == "--fit-minutes" and "min" in str(error.value.hint)


def test_the_command_prints_a_table_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "pretrain", "--hours", "24", "--teraflops", "989"]) == 0
    text = capsys.readouterr().out
    assert text.count("<- best") == 1 and "to do it: sartor pretrain TEXTS --preset" in text
    assert main(["plan", "pretrain", "--hours", "24", "--teraflops", "989", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["best"] in PRESETS
