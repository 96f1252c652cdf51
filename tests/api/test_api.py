"""The package's functions: nothing heavy before the first call, the verbs' settings, errors that say where."""

import inspect
import json
import subprocess
import sys
import typing
import urllib.request
from pathlib import Path

import pytest

import sartor
from docs.site import typed_settings
from sartor.api import settings
from sartor.base.errors import DataError, SartorError, UsageError
from sartor.data.task import Task
from tests import tiny_folders


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, sartor; dir(sartor); print([n for n in ('torch', 'numpy', 'pydantic') if n in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert shown.stdout.strip() == "[]"


def test_every_public_name_is_there_and_documented() -> None:
    for name in sartor.__all__:
        assert inspect.getdoc(getattr(sartor, name)), name
    assert set(sartor.__all__) <= set(dir(sartor))
    with pytest.raises(AttributeError, match="no attribute 'fine_tune'"):
        sartor.fine_tune  # noqa: B018


def test_typed_settings_are_what_the_settings_classes_are() -> None:
    for name in typed_settings.CLASSES:
        config_class, fields = typed_settings.settings_class(name)
        typed = typing.get_type_hints(getattr(settings, name))
        assert sorted(typed) == sorted(fields), f"run `python -m docs.site.typed_settings`: {name}"
        own = {*config_class.model_fields} - {*fields}
        assert own, name  # what the function takes by a name of its own
    written = typed_settings.TARGET.read_text(encoding="utf-8")
    made = typed_settings.source()
    squeezed = [" ".join(text.replace("(\n", "(").split()) for text in (written, made)]
    assert squeezed[0] == squeezed[1], "run `python -m docs.site.typed_settings` and `ruff format sartor/api`"


def test_every_verb_with_settings_has_its_function() -> None:
    for name, (module, _, _) in typed_settings.CLASSES.items():
        verb = module.rpartition(".")[2].removesuffix("_settings")
        extra = inspect.signature(getattr(sartor, verb)).parameters["settings"]
        assert name in str(extra.annotation), verb


def test_a_wrong_setting_names_the_function_the_argument_and_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        sartor.finetune("rows.jsonl", out=tmp_path / "run", learnin_rate=1e-4)  # type: ignore[call-arg]
    assert "learnin_rate" in caught.value.what and "learning_rate" in str(caught.value.hint)
    assert caught.value.where == "finetune(learnin_rate=…)"
    with pytest.raises(UsageError) as caught:
        sartor.finetune("rows.jsonl", out=tmp_path / "run", epochs=-1)
    assert caught.value.where == "finetune(epochs=…)"
    with pytest.raises(UsageError, match="budget"):
        sartor.choose(tmp_path, out=tmp_path / "run", budget="soon")


def test_a_task_that_is_wrong_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "task"
    with pytest.raises(DataError):
        sartor.write_task(folder, scorer="exact", test=[{"question": "one"}])
    assert not folder.exists()
    made = sartor.write_task(folder, scorer="exact", test=[{"question": "one", "answer": "1"}], limits={"margin": 0.1})
    assert json.loads((made / "test.jsonl").read_text()) == {"question": "one", "answer": "1"}
    before = sorted(made.rglob("*"))
    with pytest.raises(UsageError, match="something already"):
        sartor.write_task(folder, scorer="exact", test=[{"question": "two", "answer": "2"}])
    assert sorted(made.rglob("*")) == before


TEXTS_OF_YAML = ["1e5", "1e3", "0x1F", "no", "1:30", "a\x85b", "a\u2028b", "größer: {x} # y", " a\n\nb "]


@pytest.mark.parametrize("text", TEXTS_OF_YAML)
def test_a_task_is_read_back_with_the_very_texts(tmp_path: Path, text: str) -> None:
    rows = [{"question": "one", "answer": "1"}]
    made = sartor.write_task(tmp_path / "1e5", scorer="exact", test=rows, instruction=text, description=text)
    task = Task.load(made)
    assert (task.name, task.instruction, task.description) == ("1e5", text, text)


def test_type_checkers_are_told_that_the_package_is_typed() -> None:
    assert (Path(sartor.__file__).parent / "py.typed").is_file()


def test_a_model_answers_alike_alone_and_among_others(tmp_path: Path) -> None:
    model = sartor.open_model(tiny_folders.language_model(tmp_path / "language"))
    questions = ["where is the red ship", "the captain", "lies in harbour"]
    together = [str(answer) for answer in model.answers(questions, max_new_tokens=5)]
    assert together == [model(question, max_new_tokens=5).text for question in questions]
    assert all(answer.completion_tokens <= 5 for answer in model.answers(questions, max_new_tokens=5))
    with pytest.raises(SartorError, match="no answer"):
        model("ship " * 5000)


def test_a_server_serves_until_it_is_stopped(tmp_path: Path) -> None:
    folder = tiny_folders.language_model(tmp_path / "language")
    with sartor.serve(folder) as server:
        with urllib.request.urlopen(server.base_url + "/models", timeout=10) as reply:
            served = json.load(reply)
        assert [model["id"] for model in served["data"]] == server.models == ["language"]
        with pytest.raises(UsageError, match="key"):
            sartor.serve(folder, host="0.0.0.0")
    with pytest.raises(OSError):
        urllib.request.urlopen(server.base_url + "/models", timeout=10)
