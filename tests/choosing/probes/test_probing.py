"""`sartor choose` with its probes, on tiny random models: what it leaves, going on, and what is left alone."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sartor.base.configuration import Layer, build
from sartor.base.errors import SartorError
from sartor.choosing.choose import PROBES, ChooseConfig, Outcome, run
from sartor.choosing.probes import probing
from sartor.choosing.probes.findings import findings
from sartor.choosing.probes.probed_path import ProbedPath
from sartor.data.task import Task
from tests import tiny_folders

LOCAL = ["prompt", "rag", "finetune"]
BERTHS = {"red": "seven", "green": "nine", "blue": "twelve", "white": "three", "black": "eleven", "grey": "five"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("models")
    tiny_folders.language_model(folder / "language")
    with pytest.MonkeyPatch.context() as patch:
        tiny_folders.use_embedder(patch, tiny_folders.embedding_model(folder / "embedding"))
        patch.setattr(probing, "LEAST_SECONDS", 60.0)  # the budget of a test is short
        yield folder


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Numbers that documents tell, with dev rows of their own and rows that no document answers."""
    folder = tmp_path_factory.mktemp("tasks") / "berths"
    (folder / "documents").mkdir(parents=True)
    (folder / "task.yaml").write_text("instruction: Count the berths.\nscorer: contains\n")
    for ship, count in BERTHS.items():
        (folder / "documents" / f"{ship}.md").write_text(f"# {ship} ship\n\nthe {ship} ship has {count} berths")
    for split, captain in (("train", 0), ("dev", 100), ("test", 200)):
        rows: list[dict[str, Any]] = [
            {
                "question": f"how many berths has captain {captain + number} of the {ship} ship",
                "answer": count,
                "evidence": [f"{ship}.md"],
            }
            for number in range(3 if split == "train" else 1)
            for ship, count in BERTHS.items()
        ]
        rows += [{"question": f"where lives captain {captain + number}", "answer": "not told"} for number in range(3)]
        tiny_folders.write_rows(folder / f"{split}.jsonl", rows)
    return folder


def config(models: Path, task: Path, out: Path, **settings: Any) -> ChooseConfig:
    values = {"task": str(task), "out": str(out), "base": str(models / "language"), "budget": "3s", "paths": LOCAL}
    return build(ChooseConfig, Layer(values | settings))


@pytest.fixture(scope="module")
def finished(models: Path, task: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run(config(models, task, tmp_path_factory.mktemp("runs") / "berths"))


@pytest.fixture
def copied(finished: Outcome, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished.out, tmp_path / "run"))


def result(out: Path, name: str, probe: str) -> Any:
    return json.loads((out / "probes" / name / f"{probe}.json").read_text())


def refuse(*arguments: object) -> Any:
    raise AssertionError("probed again")


def test_every_probe_that_applies_is_made_and_told(finished: Outcome) -> None:
    made = {
        path["name"]: {probe for probe in PROBES if probe in path}
        for path in finished.choice["paths"]
        if path["name"] in LOCAL
    }
    assert made == {
        "prompt": {"freshness", "robustness"},
        "rag": {"freshness", "robustness"},
        "finetune": {"freshness", "robustness", "forgetting"},
    }
    rag = next(path for path in finished.choice["paths"] if path["name"] == "rag")
    edited = rag["freshness"]["edited"]
    assert edited["n"] == 6 and (edited["seconds"] is not None) == (edited["right_after"] > 0)
    assert rag["freshness"]["deleted"]["still_found"] == 0
    assert rag["robustness"]["unanswerable"]["n"] == 3 + 6  # its own, and those whose document was deleted
    assert "rows" not in rag["freshness"] and not (finished.out / "probes" / ".scratch").exists()
    prompt = next(path for path in finished.choice["paths"] if path["name"] == "prompt")
    assert prompt["freshness"]["edited"]["seconds"] is None and prompt["robustness"]["unanswerable"]["n"] == 3


def test_dev_rows_alone_are_asked(finished: Outcome, task: Path) -> None:
    dev = {row.id for row in Task.load(task).dev}
    for name in LOCAL:
        for probe in ("freshness", "robustness"):
            asked = {row["id"] for row in result(finished.out, name, probe)["found"]["rows"]}
            assert asked and asked <= dev


def test_base_and_trained_model_are_measured_once_each(finished: Outcome) -> None:
    assert len(list((finished.out / "probes" / "general").iterdir())) == 2


def test_going_on_probes_nothing_again(models: Path, task: Path, copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "PROBE_FUNCTIONS", dict.fromkeys(PROBES, refuse))
    again = run(config(models, task, copied))
    assert [findings(copied, name) for name in LOCAL] == [findings(again.out, name) for name in LOCAL]


def test_going_on_makes_what_is_missing(
    models: Path, task: Path, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (copied / "probes" / "rag" / "robustness.json").unlink()
    monkeypatch.setitem(probing.PROBE_FUNCTIONS, "freshness", refuse)  # type: ignore[arg-type]
    run(config(models, task, copied))
    assert result(copied, "rag", "robustness")["found"]["typos"]["n"] > 0


def test_a_path_that_was_made_anew_is_probed_anew(models: Path, task: Path, copied: Path) -> None:
    before = result(copied, "prompt", "robustness")
    file = copied / "paths" / "prompt" / "path.json"
    changed = json.loads(file.read_text()) | {"instruction": "Say a number of berths."}
    file.write_text(json.dumps(changed))
    run(config(models, task, copied))
    assert result(copied, "prompt", "robustness")["key"] != before["key"]
    file.write_text(json.dumps(changed | {"instruction": "Say it."}))
    run(config(models, task, copied, probes=["none"]))
    assert "robustness" not in findings(copied, "prompt")  # what was found was of another prompt
    assert "robustness" in findings(copied, "rag")


def test_none_and_some(models: Path, task: Path, tmp_path: Path) -> None:
    none = run(config(models, task, tmp_path / "run", paths=["prompt"], probes=["none"]))
    assert not any(probe in none.choice["paths"][0] for probe in PROBES)
    some = run(config(models, task, tmp_path / "run", paths=["prompt"], probes=["robustness"]))
    assert {probe for probe in PROBES if probe in some.choice["paths"][0]} == {"robustness"}


def test_what_a_run_does_not_ask_for_is_kept(models: Path, task: Path, tmp_path: Path) -> None:
    """Other words that people wrote, and their own edits, which that run did not name again."""
    own = Path(shutil.copytree(task, tmp_path / "task"))
    tiny_folders.write_rows(own / "paraphrases.jsonl", [{"id": "dev-1", "question": "berths of the red one, captain"}])
    fresh = tmp_path / "pairs.jsonl"
    edit = {"document": "red.md", "old": "seven", "new": "eight", "question": "berths of red", "answer": "eight"}
    tiny_folders.write_rows(fresh, [edit])
    settings = {"paths": ["rag"], "probes": ["freshness", "robustness"]}
    out = run(config(models, own, tmp_path / "run", fresh=str(fresh), **settings)).out
    before = {probe: result(out, "rag", probe) for probe in ("freshness", "robustness")}
    for probes in (["none"], ["robustness"]):
        run(config(models, own, out, **settings | {"probes": probes}))
        assert {probe: result(out, "rag", probe) for probe in before} == before
    run(config(models, own, out, **settings | {"probes": ["freshness"]}))
    assert result(out, "rag", "robustness") == before["robustness"]
    assert result(out, "rag", "freshness")["found"] != before["freshness"]["found"], "it asked for automatic edits"


def test_a_remote_model_is_probed_only_when_probes_are_named(models: Path, task: Path, tmp_path: Path) -> None:
    with tiny_folders.service() as service:
        remote = {"paths": ["api"], "api": "m", "api_base_url": service.url, "machine_price": 0.1}
        out = run(config(models, task, tmp_path / "a", **remote)).out
        assert findings(out, "api") == {}
        out = run(config(models, task, tmp_path / "b", probes=["robustness"], **remote)).out
        assert findings(out, "api")["robustness"]["typos"]["n"] == 9


def test_a_users_edits_come_instead(models: Path, task: Path, tmp_path: Path) -> None:
    fresh = tmp_path / "pairs.jsonl"
    edit = {"document": "red.md", "old": "seven", "new": "eight", "question": "berths of red", "answer": "eight"}
    tiny_folders.write_rows(fresh, [edit])
    out = run(config(models, task, tmp_path / "run", paths=["rag"], probes=["freshness"], fresh=str(fresh))).out
    (row,) = result(out, "rag", "freshness")["found"]["rows"]
    assert (row["id"], row["old"], row["new"], row["question"]) == ("fresh-1", "seven", "eight", "berths of red")


@pytest.mark.parametrize(
    ("row", "settings", "what"),
    [
        ({"document": "pink.md", "old": "a", "new": "b", "question": "?", "answer": "b"}, {}, "no document 'pink.md'"),
        ({"document": "red.md"}, {"probes": ["robustness"]}, "is for the probe freshness"),
    ],
)
def test_a_mistake_in_the_edits_stops_before_anything_is_fitted(
    models: Path, task: Path, tmp_path: Path, row: dict[str, str], settings: dict[str, Any], what: str
) -> None:
    fresh = tmp_path / "pairs.jsonl"
    tiny_folders.write_rows(fresh, [row])
    with pytest.raises(SartorError, match=what):
        run(config(models, task, tmp_path / "run", fresh=str(fresh), **settings))
    assert not (tmp_path / "run").exists()


def test_unknown_probes_are_refused(models: Path, task: Path, tmp_path: Path) -> None:
    for wrong in (["typos"], ["none", "freshness"]):
        with pytest.raises(SartorError, match="there is no probe"):
            config(models, task, tmp_path / "run", probes=wrong)


def test_an_adapter_shares_the_base_that_is_open(
    models: Path, task: Path, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And answers as the path does that is opened on its own."""
    opened: list[ProbedPath] = []
    keep = probing.PROBE_FUNCTIONS["robustness"]

    def noting(shared: Any, path: ProbedPath) -> Any:
        opened.append(path)
        return keep(shared, path)

    before = result(copied, "finetune", "robustness")["found"]["rows"]
    (copied / "probes" / "finetune" / "robustness.json").unlink()
    monkeypatch.setitem(probing.PROBE_FUNCTIONS, "robustness", noting)  # type: ignore[arg-type]
    run(config(models, task, copied))
    (path,) = opened
    assert path.opened.local is not None and path.opened.local.adapter is not None
    assert result(copied, "finetune", "robustness")["found"]["rows"] == before
