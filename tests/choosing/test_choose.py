"""`sartor choose` from task folder to report on tiny random models: every file it leaves, going on, deciding again."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sartor.base.configuration import Layer, build
from sartor.base.errors import DataError, SartorError, UsageError
from sartor.choosing import choose
from sartor.choosing.choose import ChooseConfig, Outcome, rescore, run
from sartor.choosing.fitting import course, path_kinds, workshop
from sartor.choosing.measure import read_answers
from sartor.cli.main import main
from sartor.data.task import Task
from sartor.data.writers import write_jsonl
from sartor.generation.protocol import Sampling
from sartor.retrieval.path import PathConfig, chosen_path, open_model, open_path
from tests import tiny_folders

LOCAL = ["prompt", "rag", "long-context", "finetune", "finetune+rag"]
REFERENCES = ["closed-book", "oracle"]
TOP_KEYS = {"task", "choice", "verdict", "needed_rows", "why", "would_change", "paths", "comparisons"}
PATH_KEYS = {
    "name", "score", "ci", "n", "latency_p50_s", "latency_p95_s", "cost_per_1k", "setup_seconds", "energy_wh",
    "energy_source", "hosts", "bytes_sent", "freshness_seconds", "unscored", "endpoint",
}  # fmt: skip
COMPARISON_KEYS = {"a", "b", "difference", "ci", "p", "p_adjusted", "test"}
ANSWER_KEYS = {
    "id", "messages", "passages", "text", "score", "prompt_tokens", "completion_tokens", "seconds", "finish", "seed",
    "model",
}  # fmt: skip


def config(models: Path, task: Path, out: Path, **settings: Any) -> ChooseConfig:
    values = {"task": str(task), "out": str(out), "base": str(models / "language"), "budget": "4s"} | settings
    return build(ChooseConfig, Layer(values))


@pytest.fixture(scope="module")
def finished(models: Path, task: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """One whole run of all local paths, which tests only read."""
    return run(config(models, task, tmp_path_factory.mktemp("runs") / "ships"))


@pytest.fixture(scope="module")
def unhurried(models: Path, task: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """A run with time enough for every setting, so that all that it comes to is the same each time."""
    return run(config(models, task, tmp_path_factory.mktemp("runs") / "ships", budget="1m"))


@pytest.fixture
def copied(finished: Outcome, tmp_path: Path) -> Path:
    """The finished run, to be changed."""
    return Path(shutil.copytree(finished.out, tmp_path / "run"))


def answers_of(out: Path) -> dict[str, list[dict[str, Any]]]:
    return {file.stem: read_answers(file) for file in (out / "answers").glob("*.jsonl")}


def scores_of(out: Path) -> dict[str, list[float]]:
    return {name: [answer["score"] for answer in answers] for name, answers in answers_of(out).items()}


def texts_of(out: Path) -> dict[str, list[str]]:
    return {name: [answer["text"] for answer in answers] for name, answers in answers_of(out).items()}


def contents(out: Path) -> dict[str, bytes]:
    return {file.relative_to(out).as_posix(): file.read_bytes() for file in out.rglob("*") if file.is_file()}


# --- what a run leaves ------------------------------------------------------------------------------------------------


def test_choice_json_has_what_the_contract_names(finished: Outcome) -> None:
    choice = json.loads((finished.out / "choice.json").read_text())
    assert choice == finished.choice
    assert choice.keys() >= TOP_KEYS
    assert [path["name"] for path in choice["paths"]] == [*LOCAL, *REFERENCES] and choice["choice"] in LOCAL
    for path in choice["paths"]:
        assert path.keys() >= PATH_KEYS
        assert (path["n"], path["unscored"], path["hosts"], path["bytes_sent"]) == (20, 0, [], 0)
        assert path["cost_per_1k"] > 0 and path["energy_wh"] > 0 and path["setup_seconds"] > 0
        assert path["latency_p50_s"] <= path["latency_p95_s"]
    assert {frozenset((pair["a"], pair["b"])) for pair in choice["comparisons"]} == {
        frozenset((a, b)) for a in LOCAL for b in LOCAL if a != b
    }
    assert all(pair.keys() >= COMPARISON_KEYS for pair in choice["comparisons"])
    fresh = {path["name"]: path["freshness_seconds"] for path in choice["paths"]}
    assert fresh["prompt"] is None and fresh["rag"] == fresh["finetune+rag"] < fresh["finetune"]


def test_every_half_of_the_test_that_accepts_anything_is_right(finished: Outcome) -> None:
    assert [path["score"] for path in finished.choice["paths"]] == [0.5] * 7
    assert all(path["ci"][0] < 0.5 < path["ci"][1] for path in finished.choice["paths"])


def test_how_says_how_the_numbers_came_about(finished: Outcome, models: Path) -> None:
    how = finished.choice["how"]
    assert (how["rows_train"] + how["rows_dev"], how["rows_test"]) == (40, 20)
    assert (how["budget"], how["scorer"], how["machine_price"], how["seed"]) == ("4s", "regex", 0.1, 0)
    assert how["base_model"] == str(models / "language")
    answers = answers_of(finished.out)
    hashes = {name: {answer["model"] for answer in given} for name, given in answers.items()}
    assert hashes["prompt"] == hashes["rag"] == {how["model_hash"]}
    assert len(hashes["prompt"] | hashes["finetune"] | hashes["finetune+rag"]) == 3
    assert how["documents"] == 6 and how["chunks"] >= 6 and how["seconds_total"] > 0


def test_there_is_one_answer_a_test_row_and_path_with_all_that_was_sent(finished: Outcome, task: Path) -> None:
    rows = Task.load(task).test
    answers = answers_of(finished.out)
    assert set(answers) == {*LOCAL, *REFERENCES}
    for name, given in answers.items():
        assert [answer["id"] for answer in given] == [row.id for row in rows]
        for answer, row in zip(given, rows, strict=True):
            assert answer.keys() >= ANSWER_KEYS and answer["error"] is None
            assert answer["finish"] in ("stop", "length") and answer["prompt_tokens"] > 0 and answer["seconds"] > 0
            assert answer["messages"][0]["role"] == "system"
            assert answer["messages"][0]["content"].endswith("Name the harbour.")
            assert answer["messages"][-1]["content"].endswith(row.question)
            knowledge = PathConfig.load(finished.out / "paths" / name).knowledge
            assert len(answer["passages"]) == (knowledge.passages if knowledge else 0)
            assert (knowledge is not None) == ("rag" in name or name == "oracle")
            for passage in answer["passages"]:
                assert passage["chunk_id"].startswith(passage["document_id"])
                assert passage["text"] in answer["messages"][-1]["content"]


def test_the_report_names_the_choice(finished: Outcome) -> None:
    for name in ("report.html", "report.md"):
        text = (finished.out / name).read_text()
        assert finished.choice["why"].split()[0] in text and f"--path {finished.choice['choice']}" in text


def test_no_test_row_is_in_what_fitting_wrote(finished: Outcome, task: Path) -> None:
    asked = [row.question for row in Task.load(task).test]
    written = [file for file in (finished.out / "paths").rglob("*") if file.is_file()]
    assert {"train.jsonl", "dev.jsonl", "path.json", "fitted.json"} <= {file.name for file in written}
    for file in written:
        assert not any(question.encode() in file.read_bytes() for question in asked), file


def test_training_rows_hold_passages_where_answers_will(finished: Outcome) -> None:
    plain, grounded = (
        [
            json.loads(line)["messages"]
            for line in (finished.out / "paths" / name / "train.jsonl").read_text().splitlines()
        ]
        for name in ("finetune", "finetune+rag")
    )
    assert len(plain) == len(grounded)
    for alone, over in zip(plain, grounded, strict=True):
        assert alone[0] == over[0] == {"role": "system", "content": "Name the harbour."}
        assert over[1]["content"].startswith("[1] ") and over[1]["content"].endswith(alone[1]["content"])
        assert alone[2] == over[2]


# --- paths as files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOCAL)
def test_an_opened_path_answers_as_it_was_measured(finished: Outcome, task: Path, name: str) -> None:
    path = open_path(*chosen_path(finished.out, name))
    rows = Task.load(task).test
    replies = path.generator.generate([row.messages for row in rows], path.config.sampling)
    kept = answers_of(finished.out)[name]
    assert [reply.text for reply in replies] == [answer["text"] for answer in kept]
    assert [reply.messages for reply in replies] == [answer["messages"] for answer in kept]
    sent, passages = path.prepare(rows[0].messages)
    assert sent == kept[0]["messages"]
    assert [passage.chunk_id for passage in passages or []] == [passage["chunk_id"] for passage in kept[0]["passages"]]


def test_the_run_folder_opens_as_the_chosen_path(finished: Outcome, copied: Path, models: Path) -> None:
    assert open_model(str(finished.out)).config.name == finished.choice["choice"]
    assert chosen_path(finished.out, "finetune")[1] == finished.out / "paths" / "finetune"
    with pytest.raises(DataError, match="no path called api"):
        chosen_path(finished.out, "api")
    (copied / "choice.json").write_text(json.dumps({"choice": None}))
    with pytest.raises(DataError, match="names no path"):
        chosen_path(copied)
    (copied / "choice.json").unlink()
    with pytest.raises(DataError, match="no choice can be read"):
        chosen_path(copied)
    (copied / "paths" / "rag" / "path.json").write_text('{"name": "rag"')
    with pytest.raises(DataError, match="cannot be read as a path"):
        open_model(str(copied / "paths" / "rag"))
    with pytest.raises(UsageError, match="has no paths"):
        open_model(str(models / "language"), "rag")


# --- going on ---------------------------------------------------------------------------------------------------------


def test_the_same_command_again_changes_nothing_and_fits_nothing(
    finished: Outcome, copied: Path, models: Path, task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(copied.parent)
    settings = (copied / "config.yaml").read_text().replace(str(finished.out), "run")
    (copied / "config.yaml").write_text(settings)
    first = run(config(models, task, Path("run")))
    before = contents(copied)
    for name, kind in path_kinds.KINDS.items():
        refusing = replace(kind, fit=lambda *arguments, name=name: pytest.fail(f"{name} was fitted again"))
        monkeypatch.setitem(path_kinds.KINDS, name, refusing)
    for module, name in ((course, "measure"), (workshop, "build_library")):
        monkeypatch.setattr(module, name, lambda *arguments, name=name: pytest.fail(f"{name} was called"))
    again = run(config(models, task, Path("run")))
    assert again.choice == first.choice and contents(copied) == before
    assert again.choice["how"] == finished.choice["how"]
    assert again.choice["comparisons"] == finished.choice["comparisons"]


@pytest.mark.parametrize(("method", "path"), [("fit", "rag"), ("fit", "finetune+rag"), ("measure", "finetune")])
def test_an_interrupted_run_goes_on_and_comes_to_the_same_scores(
    unhurried: Outcome,
    models: Path,
    task: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    path: str,
) -> None:
    work = getattr(course.Fitting, method)

    def interrupted(self: course.Fitting, name: str) -> None:
        if name == path:
            raise KeyboardInterrupt
        work(self, name)

    settings = config(models, task, tmp_path / "run", budget="1m")
    with monkeypatch.context() as patch:
        patch.setattr(course.Fitting, method, interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(settings)
    with pytest.raises(DataError, match="not measured yet|no answers"):
        rescore(tmp_path / "run")
    outcome = run(settings)
    assert scores_of(outcome.out) == scores_of(unhurried.out)
    assert texts_of(outcome.out) == texts_of(unhurried.out)
    assert [each["name"] for each in outcome.choice["paths"]] == [*LOCAL, *REFERENCES]
    took = {each["name"]: each["setup_seconds"] for each in outcome.choice["paths"]}
    library = json.loads((outcome.out / "library.json").read_text())
    assert min(took["rag"], took["finetune+rag"]) >= library["seconds"] > library["index_seconds"] > 0


def test_time_spent_before_an_interruption_counts_as_set_up(
    models: Path, task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any, **named: Any) -> Any:
        raise KeyboardInterrupt

    settings = config(models, task, tmp_path / "run", paths=["prompt"])
    with monkeypatch.context() as patch:
        patch.setitem(path_kinds.KINDS, "prompt", replace(path_kinds.KINDS["prompt"], fit=interrupted))
        with pytest.raises(KeyboardInterrupt):
            run(settings)
    kept = tmp_path / "run" / "paths" / "prompt" / "interrupted.json"
    assert json.loads(kept.read_text())["seconds"] > 0
    kept.write_text('{"seconds": 1000}')
    outcome = run(settings)
    assert outcome.choice["paths"][0]["setup_seconds"] > 1000
    assert len(outcome.choice["paths"][0]["chosen_on_dev"]) == 1  # its time was up


@pytest.mark.parametrize("change", ["test.jsonl", "train.jsonl", "task.yaml"])
def test_a_run_does_not_go_on_with_another_task(
    models: Path, tmp_path: Path, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    task = tiny_folders.task(tmp_path / "task")
    arguments = ["choose", str(task), "--base", str(models / "language"), "--budget", "1s", "--paths", "prompt"]
    assert main([*arguments, "--out", str(tmp_path / "run")]) == 0
    before = contents(tmp_path / "run")
    text = (task / change).read_text()
    changed = {"task.yaml": text.replace("regex", "exact")}.get(change, text.replace("red", "pink"))
    (task / change).write_text(changed)
    capsys.readouterr()
    assert main([*arguments, "--out", str(tmp_path / "run")]) == 2
    assert "the task has changed" in capsys.readouterr().err
    assert contents(tmp_path / "run") == before
    assert main([*arguments, "--seed", "1", "--out", str(tmp_path / "run")]) == 2
    assert "begun with --seed 0, not 1" in capsys.readouterr().err


# --- deciding again ---------------------------------------------------------------------------------------------------


def test_rescoring_reproduces_the_choice(finished: Outcome, copied: Path) -> None:
    outcome = rescore(copied)
    text = json.dumps(outcome.choice).replace(str(copied), str(finished.out))
    assert json.loads(text) == finished.choice
    assert answers_of(copied) == answers_of(finished.out)


def rescorable(copied: Path, tmp_path: Path, task: Path) -> Path:
    """The copied run, with a task of its own."""
    own = Path(shutil.copytree(task, tmp_path / "task"))
    settings = (copied / "config.yaml").read_text()
    (copied / "config.yaml").write_text(settings.replace(str(task), str(own)))
    return own


def test_rescoring_uses_the_present_scorer_and_limits(copied: Path, tmp_path: Path, task: Path) -> None:
    own = rescorable(copied, tmp_path, task)
    (own / "task.yaml").write_text("name: ships\nscorer: exact\nlimits: {min_score: 0.4}\n")
    choice = rescore(copied).choice
    assert choice["choice"] is None and choice["how"]["scorer"] == "exact"
    assert [path["score"] for path in choice["paths"]] == [0.0] * 7
    assert all("min_score" in path["excluded"][0] for path in choice["paths"] if path["name"] in LOCAL)
    assert set(sum(scores_of(copied).values(), [])) == {0.0}


def test_rescoring_keeps_rows_together_with_their_answers(copied: Path, tmp_path: Path, task: Path) -> None:
    own = rescorable(copied, tmp_path, task)
    rows = [json.loads(line) for line in (own / "test.jsonl").read_text().splitlines()]
    before = scores_of(copied)
    tiny_folders.write_rows(own / "test.jsonl", rows[::-1])
    rescore(copied)
    assert scores_of(copied) == {name: scores[::-1] for name, scores in before.items()}
    for changed in (rows[1:], [*rows, rows[0] | {"id": "new"}], [rows[0] | {"question": "another?"}, *rows[1:]]):
        tiny_folders.write_rows(own / "test.jsonl", changed)
        kept = contents(copied / "answers")
        with pytest.raises(DataError, match="is not the one that was answered"):
            rescore(copied)
        assert contents(copied / "answers") == kept


def test_rescoring_takes_no_other_settings(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["choose", "task", "--rescore", str(copied)]) == 2
    assert "task would not be used" in capsys.readouterr().err
    assert main(["choose", "--rescore", str(copied)]) == 0
    printed = capsys.readouterr().out
    assert "verdict: " in printed and "0.500  [" in printed and f"use it: sartor serve {copied} --path" in printed


def test_answers_with_unusual_line_separators_are_read_whole(tmp_path: Path) -> None:
    rows = [{"text": "one\u2028two\x85three\x0bfour\r\nfive"}, {"text": "ä"}]
    write_jsonl(tmp_path / "a.jsonl", rows)
    assert read_answers(tmp_path / "a.jsonl") == rows


# --- a remote path ----------------------------------------------------------------------------------------------------


def test_a_remote_path_says_what_left_the_machine(
    models: Path, task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with tiny_folders.service() as service:
        host = service.url.removeprefix("http://").removesuffix("/v1")
        prices = tmp_path / "sartor" / "prices.yaml"
        remote = {"api": "m", "api_base_url": service.url}
        unknown = run(config(models, task, tmp_path / "one", paths=["prompt", "api"], **remote)).choice["paths"][1]
        assert unknown["cost_per_1k"] is None and unknown["energy_wh"] is None and unknown["score"] == 0.5
        assert unknown["hosts"] == [host] and unknown["bytes_sent"] > 20 * 100

        prices.parent.mkdir()
        prices.write_text(
            f'prices:\n  - {{host: "{host}", models: ["*"], '
            "input_per_million: 2, output_per_million: 4, as_of: 2026-01-31}\n"
        )
        service.failing = {row.question for row in Task.load(task).test[:5]}
        service.asked.clear()
        outcome = run(config(models, task, tmp_path / "two", paths=["api"], **remote))
        (path,) = outcome.choice["paths"]
        assert path["cost_per_1k"] == pytest.approx(1000 * (10 * 2 + 5 * 4) / 1e6)  # of each answer that came
        assert (path["unscored"], path["n"], path["bounds"]) == (5, 20, [8 / 20, 13 / 20])
        assert path["score"] == pytest.approx(8 / 15)
        assert path["endpoint"] == f"sartor chat {tmp_path / 'two'} --path api"
        asked = service.asked
        tests = {row.question for row in Task.load(task).test}
        assert sum(each["messages"][-1]["content"] in tests for each in asked) == 20
        first = next(place for place, each in enumerate(asked) if each["messages"][-1]["content"] in tests)
        assert all(each["messages"][-1]["content"] in tests for each in asked[first:])  # after all that was fitted
        opened = open_model(str(outcome.out), "api")
        (reply,) = opened.generator.generate([[{"role": "user", "content": "hello"}]], Sampling())
        assert reply.text == "echo hello" and opened.local is None


def test_a_remote_run_that_was_stopped_by_its_budget_goes_on_without_asking_twice(
    models: Path, task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with tiny_folders.service() as service:
        host = service.url.removeprefix("http://").removesuffix("/v1")
        prices = tmp_path / "prices.yaml"
        prices.write_text(
            f'prices:\n  - {{host: "{host}", models: [m], input_per_million: 100, output_per_million: 10000, '
            "as_of: 2026-01-31}\n"
        )
        settings = {"api": "m", "api_base_url": service.url, "prices": str(prices), "paths": ["api", "api+rag"]}
        settings |= {"budget": "5m"}  # time enough for every setting
        with pytest.raises(SartorError, match=r"of the budget of \$2 "):
            run(config(models, task, tmp_path / "run", api_budget=2, **settings))
        outcome = run(config(models, task, tmp_path / "run", api_budget=100, **settings))
        checks = len(read_findings(outcome.out))
        assert checks == 6
        asked = [json.dumps(each, sort_keys=True) for each in service.asked]
        twice = [each for each in set(asked) if asked.count(each) > 1]
        assert all("Count from 1" in each or "one sentence" in each for each in twice), "only the checks ask again"
        api, with_documents = outcome.choice["paths"]
        assert [api["name"], with_documents["name"]] == ["api", "api+rag"]
        assert with_documents["hosts"] == [host] and with_documents["score"] is not None
        answers = read_answers(outcome.out / "answers" / "api+rag.jsonl")
        assert all(answer["passages"] for answer in answers)
        assert all(answer["passages"][0]["text"] in answer["messages"][-1]["content"] for answer in answers)


def read_findings(run_folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((run_folder / "service.json").read_text())["findings"]
    return found


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"paths": ["magic"]}, "no path magic"),
        ({"paths": ["api"]}, "cannot be measured"),
        ({"api": "m"}, "belong together"),
        ({"budget": "soon"}, "not a time"),
    ],
)
def test_wrong_settings_are_refused(models: Path, task: Path, tmp_path: Path, settings: Any, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        run(config(models, task, tmp_path / "run", **settings))


def test_paths_that_need_documents_do_not_apply_without(models: Path, tmp_path: Path) -> None:
    task = tiny_folders.task(tmp_path / "task")
    shutil.rmtree(task / "documents")
    with pytest.raises(UsageError, match="no documents"):
        run(config(models, task, tmp_path / "one", paths=["rag"]))
    outcome = run(config(models, task, tmp_path / "two", budget="1s"))
    assert [path["name"] for path in outcome.choice["paths"]] == ["prompt", "finetune"]
    assert set(choose.PATHS) > {path["name"] for path in outcome.choice["paths"]}
