"""A run that goes on does so with the rows that it was begun with, whatever is learnt from them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sartor.base.errors import SartorError, UsageError
from sartor.base.run_folder import RunFolder
from sartor.data.bad_rows import BadRows
from sartor.data.chat import ChatFormat, Rendered
from sartor.data.pairs import Pair
from sartor.data.prompts import Prompt
from sartor.models.hub import ModelLocation
from sartor.recipes import dpo, finetune, grpo
from sartor.recipes.dpo import DpoConfig
from sartor.recipes.finetune import FinetuneConfig
from sartor.recipes.pair_rows import PreparedRows
from sartor.recipes.rl_prompts import PreparedPrompts
from sartor.recipes.same_rows import ROWS_FILE, check_rows, keep_rows_mark, rows_hash
from sartor.train.rollouts import AskedPrompt
from tests import tiny_folders, tiny_models
from tests.recipes import pairs, prompts

SMALL: dict[str, Any] = {"lora_rank": 2, "epochs": 1, "evaluations": 1, "batch_rows": 20}
ROWS = [{"question": f"the colour of {n * 7919}", "answer": pairs.COLOURS[n % 4]} for n in range(40)]


def of_pairs(base: Path, folder: Path, rows: list[dict[str, Any]]) -> Callable[[], object]:
    file = pairs.write(folder, rows)
    return lambda: dpo.run(DpoConfig(data=str(file), base=str(base), out=str(folder / "run"), **SMALL))


def of_prompts(base: Path, folder: Path, rows: list[dict[str, Any]]) -> Callable[[], object]:
    config = prompts.grpo_config(base, prompts.write(folder, rows), epochs=0.3, evaluations=1)
    return lambda: grpo.run(config)


def of_conversations(base: Path, folder: Path, rows: list[dict[str, Any]]) -> Callable[[], object]:
    tiny_folders.write_rows(folder / "rows.jsonl", rows[:-10])
    tiny_folders.write_rows(folder / "dev.jsonl", rows[-10:])
    config = FinetuneConfig(
        data=str(folder / "rows.jsonl"), dev=str(folder / "dev.jsonl"), base=str(base), out=str(folder / "run"), **SMALL
    )
    return lambda: finetune.run(config)


@pytest.mark.parametrize(
    ("command", "rows", "changed"),
    [
        (of_pairs, pairs.ROWS, {"chosen": "blue"}),
        (of_prompts, prompts.ROWS, {"answer": "blue"}),
        (of_conversations, ROWS, {"answer": "grey"}),
    ],
    ids=["dpo", "grpo", "finetune"],
)
def test_a_run_goes_on_with_its_own_rows_only(
    base: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: Callable[[Path, Path, list[dict[str, Any]]], Callable[[], object]],
    rows: list[dict[str, Any]],
    changed: dict[str, Any],
) -> None:
    """Rows that came in since, or were corrected (the last one is held out of the conversations), are of another."""

    def stop(*arguments: object) -> None:
        raise SartorError("stopped here")

    with monkeypatch.context() as patched:
        patched.setattr("sartor.recipes.stage.fit", stop)
        patched.setattr("sartor.recipes.rl.fit", stop)
        with pytest.raises(SartorError, match="stopped here"):
            command(base, tmp_path, rows)()
    new = rows[0] | {"prompt": "why", "question": "why"}
    for others in ([*rows, new], [*rows[:-1], rows[-1] | changed]):
        with pytest.raises(UsageError, match="the rows have changed since this run began"):
            command(base, tmp_path, others)()
    (tmp_path / "run" / ROWS_FILE).unlink()  # as a run has it that was begun before they were kept
    command(base, tmp_path, rows)()
    assert (tmp_path / "run" / "result.json").is_file() and (tmp_path / "run" / ROWS_FILE).is_file()


def test_everything_that_is_learnt_from_is_in_the_hash_and_no_places() -> None:
    row, other = Rendered([1, 2, 3], [False, True, True], "a:1"), Rendered([1, 2, 3], [False, False, True], "a:1")
    moved = Rendered([1, 2, 3], [False, True, True], "a:2")

    def of_pair(*given: Pair, dev: list[Pair]) -> str:
        location, chat = ModelLocation("base", Path("base")), ChatFormat(tiny_models.tokenizer())
        return rows_hash(PreparedRows(location, chat, list(given), dev, {"pairs": 1}, BadRows()))

    pair = Pair(row, row)
    assert of_pair(pair, dev=[]) == of_pair(Pair(moved, row), dev=[])
    different = [of_pair(pair, dev=[]), of_pair(Pair(row, other), dev=[]), of_pair(Pair(other, row), dev=[]),
                 of_pair(dev=[pair]), of_pair(pair, pair, dev=[])]  # fmt: skip
    assert len(set(different)) == len(different)

    def of_prompt(answers: tuple[str, ...], where: str) -> str:
        asked = AskedPrompt(Prompt([{"role": "user", "content": "why"}], answers, where), [1, 2])
        return rows_hash(PreparedPrompts([asked], [], {}, BadRows(), ["exact"]))

    assert of_prompt(("so",), "a:1") == of_prompt(("so",), "b:7") != of_prompt(("no",), "a:1")


def test_a_template_that_writes_the_day_changes_no_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run").mkdir()
    run = RunFolder(tmp_path / "run")
    keep_rows_mark({"sha256": "a", "day": "2026-01-01"}, run)
    check_rows({"sha256": "b", "day": "2026-01-02"}, str(run.path))
    assert "the model's template writes the day" in capsys.readouterr().err
    keep_rows_mark({"sha256": "b", "day": "2026-01-02"}, run)
    check_rows({"sha256": "a", "day": "2026-01-01"}, str(run.path))  # what it began with is kept
    with pytest.raises(UsageError, match="the rows have changed"):
        check_rows({"sha256": "b", "day": "2026-01-01"}, str(run.path))
