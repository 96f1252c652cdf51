"""`sartor dpo --loss kto` on a tiny model: answers rated one by one, measured from answers to other prompts."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sartor.base.errors import DataError, UsageError
from sartor.cli.main import main
from sartor.data import rated as rated_rows
from sartor.data.chat import ChatFormat
from sartor.data.rated import render_rated
from sartor.data.records import Judged, Message
from sartor.models.hub import load_tokenizer
from sartor.recipes.dpo import DpoConfig, run
from sartor.recipes.kto_stage import KtoStage
from sartor.recipes.reference import with_reference
from sartor.train.rated_source import Divergence, answer_log_probs, rated_batches, rated_reference
from sartor.train.run_report import CERTIFICATE_WORDS
from tests import tiny_folders
from tests.recipes import pairs

ROWS = [
    {"prompt": f"the colour of {n * 7919}", "completion": "red" if n % 2 else "white and nothing", "label": n % 2 == 1}
    for n in range(60)
]


@pytest.fixture(autouse=True)
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs.computed_in_float32(monkeypatch)


def config(base: Path, folder: Path, rows: list[dict[str, Any]] = ROWS, **settings: Any) -> DpoConfig:
    file = folder / "rated.jsonl"
    tiny_folders.write_rows(file, rows)
    values = {
        "loss": "kto", "batch_rows": 12, "epochs": 3, "evaluations": 2, "lora_rank": 4, "micro_batch_tokens": 256,
        "learning_rate": 1e-2, **settings,
    }  # fmt: skip
    return DpoConfig(data=str(file), base=str(base), out=str(folder / "run"), **values)


def test_a_run_learns_and_begins_at_the_reference(base: Path, tmp_path: Path) -> None:
    result = run(config(base, tmp_path))
    first, last = pairs.metrics(result.out)[0], pairs.metrics(result.out)[-1]
    assert first["loss"] == pytest.approx(0.5, abs=1e-5) and first["divergence"] == pytest.approx(0.0, abs=1e-5)
    assert first["accuracy"] < 1 and last["dev_accuracy"] == 1.0 and result.dev_loss < result.dev_loss_before - 0.01
    certificate = json.loads((result.out / "certificate.json").read_text())
    assert set(certificate) - {"shown", "contamination"} <= set(CERTIFICATE_WORDS), "each is told in words"
    assert certificate["rated_answers"] + 0 < len(ROWS) and certificate["desirable"] > 0
    assert (result.out / "report.html").is_file()


def test_the_other_prompt_is_that_of_the_row_before(base: Path, tmp_path: Path) -> None:
    prepared = KtoStage(config(base, tmp_path)).prepared
    for before, rated in zip(prepared.train, prepared.train[1:], strict=False):
        row, elsewhere = rated.row, rated.elsewhere
        assert row.ids[-row.num_trained :] == elsewhere.ids[-elsewhere.num_trained :]
        prompt = before.row.ids[: len(before.row.ids) - before.row.num_trained]
        assert elsewhere.ids[: len(prompt)] == prompt
        assert elsewhere.trained.index(True) == len(prompt)


def test_answers_to_one_prompt_are_compared_under_another(base: Path) -> None:
    """The nearest before it that leaves room, the first row with the last one's; its own where there is no other."""
    chat = ChatFormat(load_tokenizer(base))
    asked = ["a cat", "a cat", "a dog", "a dog", "the dog sat on the mat " * 9, "a cat"]
    answer = Message(role="assistant", content="white")
    judged = [Judged([Message(role="user", content=text)], [answer], n % 2 == 0) for n, text in enumerate(asked)]

    def elsewhere(rows: list[Judged]) -> list[str]:
        found = render_rated(rows, chat, 1000)
        prompts = {tuple(chat.prompt(each.prompt)): each.prompt[0]["content"] for each in rows}
        return [prompts[tuple(row.elsewhere.ids[: row.elsewhere.trained.index(True)])] for row in found]

    assert elsewhere(judged) == [asked[4], asked[4], "a cat", "a cat", "a dog", asked[4]]
    short = [*judged[:4], judged[5]]
    assert elsewhere(short) == ["a dog", "a dog", "a cat", "a cat", "a dog"]
    assert elsewhere(judged[:2]) == ["a cat", "a cat"]
    limit = max(len(each.row.ids) for each in render_rated(short, chat, 1000))
    kept = [each for each in render_rated(judged, chat, limit) if each.longest <= limit]
    assert [each.row for each in kept] == [each.row for each in render_rated(short, chat, 1000)]


def test_answers_that_fit_no_prompt_do_not_look_at_every_row(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One answer in ten is too long for any prompt, one in ten fits its own short prompt alone."""
    chat = ChatFormat(load_tokenizer(base))
    looks = 0

    def counted(*given: Any) -> bool:
        nonlocal looks
        looks += 1
        return can_stand_for(*given)

    can_stand_for = rated_rows._can_stand_for
    monkeypatch.setattr(rated_rows, "_can_stand_for", counted)
    monkeypatch.setattr(rated_rows, "LOOK_BACK", 10)
    judged = [
        Judged(
            [Message(role="user", content="a" if n % 10 == 1 else f"the dog sat on the mat {n}")],
            [Message(role="assistant", content="white " * {0: 300, 1: 100}.get(n % 10, 1))],
            n % 2 == 0,
        )
        for n in range(300)
    ]
    rows = render_rated(judged, chat, 10_000)
    assert looks <= 2 * len(judged)
    looks = 0
    own_only = render_rated(judged, chat, rows[1].num_tokens)
    assert looks <= 3 * len(judged)
    assert all(own_only[n].elsewhere == own_only[n].row for n in range(300) if n % 10 < 2)


def test_the_gradient_does_not_depend_on_the_micro_batches(base: Path, tmp_path: Path) -> None:
    """The divergence is of the whole step, whichever micro-batch asks for it first."""
    stage = KtoStage(config(base, tmp_path))
    model = stage.model().eval()
    rows = with_reference(stage.source.rows[:12], rated_reference(model, stage.source.rows[:12], 256))
    torch.manual_seed(0)
    for parameter in (each for each in model.parameters() if each.requires_grad):
        torch.nn.init.normal_(parameter, std=0.1)
    gradients = []
    for tokens in (64, 4096):
        model.zero_grad()
        batches = rated_batches(rows, Divergence(rows, tokens))
        assert (len(batches) > 1) == (tokens == 64)
        for batch in batches:
            loss, _ = stage.loss_of(model, batch, len(rows))
            loss.backward()  # type: ignore[no-untyped-call]
        gradients.append({name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None})
    assert gradients[0].keys() == gradients[1].keys() and gradients[0]
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-3, atol=1e-6)


def test_the_divergence_is_the_mean_move_on_other_prompts(base: Path, tmp_path: Path) -> None:
    stage = KtoStage(config(base, tmp_path))
    model = stage.model().eval()
    rows = stage.source.rows[:6]
    moved = answer_log_probs(model, [each.elsewhere for each in rows], 256)
    lower = with_reference(rows, torch.stack([torch.zeros(6), moved - torch.arange(6.0)], 1))
    assert Divergence(lower, 256).of(model) == pytest.approx(2.5, abs=1e-4)
    higher = with_reference(rows, torch.stack([torch.zeros(6), moved + 1], 1))
    assert Divergence(higher, 256).of(model) == 0.0


def test_wrong_uses(base: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="label_smoothing has no effect on the loss kto"):
        run(config(base, tmp_path, label_smoothing=0.1))
    with pytest.raises(UsageError, match="rated one by one"):
        run(config(base, tmp_path, loss="sigmoid", desirable_weight=2.0))
    with pytest.raises(DataError, match="all answers are desirable"):
        run(config(base, tmp_path, rows=[row | {"label": True} for row in ROWS]))
    assert not (tmp_path / "run").exists()


def test_it_can_be_planned(base: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    settings = config(base, tmp_path)
    command = f"dpo {settings.data} --loss kto --base {base} --out {settings.out} --dry-run --json"
    code = main(command.split())
    plan = json.loads(capfd.readouterr().out)
    assert code == 0 and plan["fits"] and plan["measured"]["times"]["beforehand"] > 0
