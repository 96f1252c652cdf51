"""Wrong uses of every verb: one line that says what and where, a hint, the right exit code, and nothing left behind."""

import os
import re
import shlex
import socket
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from sartor.adapters.lora import LoraSettings, add_lora
from sartor.adapters.store import adapter_files
from sartor.cli.main import VERBS, main
from sartor.retrieval.store import KnowledgeStore
from tests import tiny_folders, tiny_models
from tests.tiny_folders import write_rows

FAILED, USAGE, DATA = 1, 2, 3
CITIES = ("Oslo", "Rome", "Bonn", "Lima", "Cairo", "Paris", "Quito", "Seoul", "Tunis", "Delhi")


def question(number: int) -> dict[str, str]:
    return {"question": f"Which is city number {number * 7919}?", "answer": CITIES[number % len(CITIES)]}


@pytest.fixture(scope="module")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folders.language_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def here(tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a good task, rows, documents and a model folder; wrong uses spoil one of them."""
    for name in list(os.environ):
        if name.startswith(("SARTOR_", "OPENAI_")):
            monkeypatch.delenv(name)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    folder = tmp_path / "here"
    (folder / "task").mkdir(parents=True)
    (folder / "docs").mkdir()
    (folder / "task" / "task.yaml").write_text("scorer: exact\ninstruction: Name the city.\n")
    write_rows(folder / "task" / "train.jsonl", [question(number) for number in range(40)])
    write_rows(folder / "task" / "test.jsonl", [question(number) for number in range(100, 110)])
    write_rows(folder / "rows.jsonl", [question(number) for number in range(40)])
    (folder / "docs" / "fees.md").write_text("# Fees\n\nA day costs nine crowns.\n")
    (folder / "base").symlink_to(tiny_base)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SARTOR_CACHE", str(tmp_path / "cache"))
    return folder


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every name below the folder, with the bytes of files."""
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def explained(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit code, error and hint of a command that must fail, once the shape of its output is as it must be."""
    code = main(arguments)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    lines = captured.err.splitlines()
    assert [line for line in lines if line.startswith(("error: ", "hint: "))] == lines[-2:]
    assert lines[-2].startswith("error: ") and lines[-1].startswith("hint: ")
    return code, lines[-2].removeprefix("error: "), lines[-1].removeprefix("hint: ")


@dataclass(frozen=True)
class Wrong:
    """`error` and `hint` are regular expressions that begin where the text does; `spoil` gets the working folder."""

    command: str
    code: int
    error: str
    hint: str
    spoil: Callable[[Path], object] = lambda folder: None


def put(name: str, text: str) -> Callable[[Path], object]:
    def spoil(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)

    return spoil


def remove(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def add_row(name: str, line: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text((folder / name).read_text() + line + "\n")


def test_rows_in_train(folder: Path) -> None:
    (folder / "task" / "test.jsonl").write_bytes((folder / "task" / "train.jsonl").read_bytes())


test_rows_in_train.__test__ = False  # type: ignore[attr-defined]


def pickled_weights(folder: Path) -> None:
    (folder / "pickled").mkdir()
    (folder / "pickled" / "config.json").write_bytes((folder / "base" / "config.json").read_bytes())
    torch.save({}, folder / "pickled" / "pytorch_model.bin")


def damaged_weights(folder: Path) -> None:
    (folder / "damaged").mkdir()
    for item in (folder / "base").iterdir():
        (folder / "damaged" / item.name).write_bytes(item.read_bytes())
    (folder / "damaged" / "model.safetensors").write_bytes(b"not safetensors")


def adapter(folder: Path, width: int = 32) -> None:
    """An adapter that says it is for base; with another width it cannot be."""
    (folder / "adapter").mkdir()
    model, settings = tiny_models.model(width=width), LoraSettings(rank=2)
    add_lora(model, settings)
    for name, content in adapter_files(model, settings, str(folder / "base")).items():
        (folder / "adapter" / name).write_bytes(content)


def other_adapter(folder: Path) -> None:
    adapter(folder, width=64)


def database_of_another_kind(folder: Path) -> None:
    import sqlite3

    with sqlite3.connect(folder / "other.sqlite") as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()


def empty_store(folder: Path) -> None:
    KnowledgeStore(folder / "k.sqlite", create=True).close()


CHOOSE = "choose task --base base --out run"
FINETUNE = "finetune rows.jsonl --base base --out run"
PAIR = '{"prompt": "a", "chosen": "b", "rejected": "c"}\n'
ANSWER = '{"id": "a", "question": "x", "accepted": ["y"], "text": "z", "score": 0, "finish": "stop"}\n'
PPO = "ppo rows.jsonl --base base --out run"
WRONG_USES = {
    # --- choose: the task ---
    "misspelt task folder": Wrong(
        "choose tsk --out run", DATA, "tsk: there is no such task folder", "did you mean task"
    ),
    "a file as task": Wrong("choose rows.jsonl --out run", DATA, "rows.jsonl: is a file", "give "),
    "no task": Wrong("choose --out run", USAGE, "TASK is missing", "task folder"),
    "no out": Wrong("choose task", USAGE, "--out is missing", "run folder to write"),
    "no task.yaml": Wrong(CHOOSE, DATA, "task: holds no task.yaml", "write one", remove("task/task.yaml")),
    "unknown key in task.yaml": Wrong(
        CHOOSE,
        USAGE,
        "task/task.yaml:2: unknown key 'limit'",
        "did you mean 'limits'",
        put("task/task.yaml", "scorer: exact\nlimit: {margin: 0.1}\n"),
    ),
    "bad YAML": Wrong(
        CHOOSE,
        USAGE,
        "task/task.yaml:2: cannot be read as YAML",
        "put quotes",
        put("task/task.yaml", "scorer: exact\ninstruction: city: name\n"),
    ),
    "unknown scorer": Wrong(
        CHOOSE,
        USAGE,
        "task/task.yaml:1: 'scorer' cannot be 'exakt'",
        "did you mean exact",
        put("task/task.yaml", "scorer: exakt\n"),
    ),
    "bad limit": Wrong(
        CHOOSE,
        USAGE,
        "task/task.yaml:2: 'limits.margin' cannot be 3",
        "it should be less than 1",
        put("task/task.yaml", "scorer: exact\nlimits: {margin: 3}\n"),
    ),
    "empty train": Wrong(CHOOSE, DATA, "task/train.jsonl: is empty", "was it written", put("task/train.jsonl", "")),
    "blank train": Wrong(CHOOSE, DATA, "task/train.jsonl: holds no rows", ".+", put("task/train.jsonl", "\n\n")),
    "no train": Wrong(
        CHOOSE, DATA, "task: holds no train file", "add train.jsonl; found test", remove("task/train.jsonl")
    ),
    "no test": Wrong(CHOOSE, DATA, "task: holds no test file", "add test.jsonl", remove("task/test.jsonl")),
    "test inside train": Wrong(
        CHOOSE,
        DATA,
        r"task/test.jsonl:1, question: test inside train: 40 of 40",
        "first seen in task/train.jsonl:1",
        test_rows_in_train,
    ),
    "row without an answer": Wrong(
        CHOOSE,
        DATA,
        "task/test.jsonl:11, answer: 'answer' is missing",
        "rename 'answr' to 'answer'",
        add_row("task/test.jsonl", '{"question": "x", "answr": "y"}'),
    ),
    "row that is not JSON": Wrong(
        CHOOSE,
        DATA,
        "task/train.jsonl:41: is not JSON",
        "JSON wants double quotes",
        add_row("task/train.jsonl", "{'question': 'x'}"),
    ),
    "one id twice": Wrong(
        CHOOSE,
        DATA,
        "task/test.jsonl:12, id: the id 'a' occurs twice, first in task/test.jsonl:11",
        "give each row",
        add_row(
            "task/test.jsonl",
            '{"id": "a", "question": "x", "answer": "y"}\n{"id": "a", "question": "z", "answer": "y"}',
        ),
    ),
    "an answer that is no number": Wrong(
        CHOOSE,
        DATA,
        "task/train.jsonl:1, answer: ",
        ".+",
        put("task/task.yaml", "scorer: numeric\n"),
    ),
    # --- choose: the settings ---
    "budget that is no time": Wrong(
        CHOOSE + " --budget '10 minutes'", USAGE, "--budget: '10 minutes' is not", "write 90s"
    ),
    "unknown path": Wrong(
        CHOOSE + " --paths prompt promt", USAGE, "--paths: 'paths' cannot be", "there is no path promt"
    ),
    "retrieval without documents": Wrong(
        CHOOSE + " --paths prompt rag", USAGE, "--paths: path rag cannot be measured", "put them into task/documents"
    ),
    "empty documents": Wrong(
        CHOOSE,
        DATA,
        "task/documents: holds no documents",
        "add documents",
        lambda folder: (folder / "task/documents").mkdir(),
    ),
    "api without its address": Wrong(CHOOSE + " --api big", USAGE, "--api and --api-base-url belong together", ".+"),
    "address that is none": Wrong(
        CHOOSE + " --api big --api-base-url localhost", USAGE, "the base URL is not one", "write it as https"
    ),
    "key that is not there": Wrong(
        CHOOSE + " --api big --api-base-url http://localhost:1 --api-key-env NO_KEY",
        USAGE,
        "the environment variable NO_KEY holds no key",
        "put the key there",
    ),
    "another run in the way": Wrong(
        CHOOSE, USAGE, "run: the folder already holds something", "choose another --out", put("run/mine.txt", "mine")
    ),
    "run begun with other settings": Wrong(
        CHOOSE,
        USAGE,
        "run/config.yaml: this run was begun with other settings",
        "choose another --out",
        put("run/config.yaml", "task: other\n"),
    ),
    "a file as parent of out": Wrong(
        "choose task --base base --out notes/run",
        USAGE,
        "notes: is a file, not a folder",
        "choose another --out",
        put("notes", "mine"),
    ),
    "adapter as base of a choice": Wrong(
        "choose task --base adapter --out run",
        USAGE,
        "adapter is an adapter, and a whole model",
        "name its base",
        adapter,
    ),
    "unknown key in --config": Wrong(
        CHOOSE + " --config settings.yaml",
        USAGE,
        "settings.yaml:1: unknown key 'bugdet'",
        "did you mean 'budget'",
        put("settings.yaml", "bugdet: 5m\n"),
    ),
    "--config that is not there": Wrong(
        CHOOSE + " --config setings.yaml", USAGE, "setings.yaml: there is no such file", ".+"
    ),
    "rescore of a folder that is no run": Wrong(
        "choose --rescore docs", USAGE, "docs/config.yaml: there is no such", ".+"
    ),
    "rescore of nothing": Wrong(
        "choose --rescore runs/none", USAGE, "runs/none: there is no such run folder", "check the path"
    ),
    "rescore with settings": Wrong("choose task --rescore run", USAGE, "--rescore: .*task", ".+"),
    # --- finetune ---
    "no rows file": Wrong(
        "finetune row.jsonl --base base --out run", DATA, "row.jsonl: there is no such file", "did you mean rows"
    ),
    "unknown kind of file": Wrong(
        "finetune docs/fees.md --out run", DATA, "docs/fees.md: is of an unknown kind", "rows are read"
    ),
    "wrong columns": Wrong(
        "finetune table.csv --base base --out run",
        DATA,
        "table.csv: columns? .*are no known format",
        "nearest is",
        put("table.csv", "frage,antwort\nwo,da\n"),
    ),
    "uneven row": Wrong(
        "finetune table.csv --base base --out run",
        DATA,
        "table.csv:3: has 1 cells where the header has 2",
        "put quotes",
        put("table.csv", "question,answer\nwhere,there\nonly\n"),
    ),
    "preference rows": Wrong(
        "finetune pairs.jsonl --base base --out run",
        DATA,
        "pairs.jsonl: holds prompt/chosen/rejected rows",
        "this needs",
        put("pairs.jsonl", '{"prompt": "a", "chosen": "b", "rejected": "c"}\n'),
    ),
    "unknown format": Wrong(
        FINETUNE + " --format alpacca", USAGE, "unknown format 'alpacca'", "formats: |did you mean"
    ),
    "empty answer": Wrong(
        FINETUNE,
        DATA,
        "rows.jsonl:41, answer: ",
        ".*--on-bad-row skip",
        add_row("rows.jsonl", '{"question": "x", "answer": ""}'),
    ),
    "rows that are too long": Wrong(
        FINETUNE + " --max-row-tokens 8", DATA, "rows.jsonl:[0-9]+: there is nothing to learn", "rows may have 8 tokens"
    ),
    "one question only": Wrong(
        FINETUNE,
        DATA,
        "rows.jsonl: all rows ask the same",
        "give held-out rows with --dev",
        put("rows.jsonl", '{"question": "x", "answer": "y"}\n' * 5),
    ),
    "no dev file": Wrong(FINETUNE + " --dev dev.jsonl", DATA, "dev.jsonl: there is no such file", ".+"),
    "rate that is no number": Wrong(
        FINETUNE + " --learning-rate fast", USAGE, "--learning-rate: 'learning_rate'", ".*number"
    ),
    "rate below zero": Wrong(
        FINETUNE + " --learning-rate=-1", USAGE, "--learning-rate: 'learning_rate'", ".*greater than 0"
    ),
    "unknown option": Wrong(
        FINETUNE + " --learning-rat 1", USAGE, "unknown option --learning-rat", "did you mean --learning-rate"
    ),
    "unknown layers": Wrong(
        FINETUNE + " --lora-targets q_prj", USAGE, "--lora-targets: no linear layer", "this model has .*q_proj"
    ),
    "model that is nothing": Wrong(
        "finetune rows.jsonl --base ./models/none --out run",
        USAGE,
        "there is no model folder ./models/none",
        "a model is",
    ),
    "misspelt starter": Wrong(
        "finetune rows.jsonl --base startr --out run", USAGE, "there is no model startr", "did you mean `starter`"
    ),
    "Hub model without the Hub": Wrong(
        "finetune rows.jsonl --base nobody/nothing --out run",
        FAILED,
        "there is no folder nobody/nothing",
        "use `starter`",
    ),
    "pickled weights": Wrong(
        "finetune rows.jsonl --base pickled --out run",
        DATA,
        "pickled: its weights are pickle",
        "use a model",
        pickled_weights,
    ),
    "damaged weights": Wrong(
        "finetune rows.jsonl --base damaged --out run",
        DATA,
        "damaged: this model cannot be loaded",
        "fetch or copy",
        damaged_weights,
    ),
    "folder that is no model": Wrong(
        "finetune rows.jsonl --base docs --out run", DATA, "docs: no config.json", "name a folder"
    ),
    "adapter as base": Wrong(
        "finetune rows.jsonl --base adapter --out run", USAGE, "adapter is an adapter", "name its base", adapter
    ),
    "settings of an adapter for all weights": Wrong(
        FINETUNE + " --adapter none --lora-rank 8", USAGE, "--lora-rank has no effect with --adapter none", "change one"
    ),
    "a kind of adapter for all weights": Wrong(
        FINETUNE + " --adapter none --dora", USAGE, "--dora has no effect with --adapter none", "change one"
    ),
    "out is a file": Wrong(
        "finetune rows.jsonl --base base --out rows.jsonl", USAGE, "rows.jsonl: is a file", "choose another"
    ),
    # --- evaluate ---
    "evaluate without a task": Wrong(
        "evaluate base", USAGE, "name at least one model and one task", "a task folder holds"
    ),
    "evaluate a folder without task.yaml": Wrong(
        "evaluate base docs", USAGE, "name at least one model", "a task folder holds"
    ),
    "evaluate into a file": Wrong(
        "evaluate base task --out rows.jsonl", USAGE, "rows.jsonl: is a file", "choose another"
    ),
    "evaluate without length": Wrong(
        "evaluate base task --max-new-tokens 0", USAGE, "argument --max-new-tokens: '0'", "`sartor"
    ),
    "evaluate a service without model": Wrong(
        "evaluate http://localhost:1/v1 task", USAGE, "--remote-model: which model", "name one"
    ),
    "evaluate a model of no service": Wrong(
        "evaluate base task --remote-model big", USAGE, "--remote-model and --key-env", "name its"
    ),
    "adapter for another base": Wrong(
        "evaluate adapter task", DATA, "adapter/adapter_model.safetensors: .*", "load it on the base", other_adapter
    ),
    "run without an adapter": Wrong(
        "evaluate run task", DATA, "run: no config.json", "name a folder", put("run/config.yaml", "base: base\n")
    ),
    # --- index, search, ask ---
    "index nothing": Wrong(
        "index dcs --out k.sqlite", DATA, "dcs: there is no such file or folder", "did you mean docs"
    ),
    "index an empty folder": Wrong(
        "index empty --out k.sqlite",
        DATA,
        "empty: no documents here",
        "readable files",
        lambda folder: (folder / "empty").mkdir(),
    ),
    "index a program": Wrong(
        "index run.exe --out k.sqlite", DATA, "run.exe: cannot read files of type", ".+", put("run.exe", "x")
    ),
    "index into rows": Wrong(
        "index docs --out rows.jsonl", DATA, "rows.jsonl: damaged, or not a knowledge store", "restore it"
    ),
    "index into another database": Wrong(
        "index docs --out other.sqlite",
        DATA,
        "other.sqlite: a database, but not a knowledge store",
        "name another",
        database_of_another_kind,
    ),
    "index into a folder": Wrong("index docs --out task", FAILED, "task: cannot use the knowledge store", "check that"),
    "search in nothing": Wrong("search k.sqlite fees", USAGE, "k.sqlite: there is no knowledge store", "make one"),
    "search in rows": Wrong(
        "search rows.jsonl fees", DATA, "rows.jsonl: damaged, or not a knowledge store", "restore it"
    ),
    "search for nothing": Wrong(
        "search k.sqlite ' '", USAGE, "argument query: is empty", "`sartor search", empty_store
    ),
    "search beyond the weights": Wrong(
        "search k.sqlite fees --dense-weight 7",
        USAGE,
        "argument --dense-weight: '7' is not a number from 0 to 1",
        ".+",
        empty_store,
    ),
    "no passages": Wrong(
        "search k.sqlite fees -k 0", USAGE, "argument -k: '0' is not a whole number from 1", ".+", empty_store
    ),
    "ask nothing": Wrong("ask k.sqlite ''", USAGE, "argument question: is empty", "`sartor ask", empty_store),
    "ask nowhere": Wrong("ask k.sqlite fees?", USAGE, "k.sqlite: there is no knowledge store", "make one"),
    # --- chat and serve ---
    "chat with nothing": Wrong("chat ./none", USAGE, "there is no model folder ./none", "a model is"),
    "chat with a path of no choice": Wrong("chat base --path rag", USAGE, "--path: base has no paths", "paths are of"),
    "chat below zero": Wrong("chat base --temperature=-1", USAGE, "argument --temperature: '-1'", "`sartor chat"),
    "chat with a damaged path": Wrong(
        "chat bad", DATA, "bad/path.json: cannot be read as a path", ".+", put("bad/path.json", "{")
    ),
    "chat with an unfinished choice": Wrong(
        "chat run",
        DATA,
        "run/choice.json: no choice can be read",
        "finish `sartor choose` first",
        lambda folder: (folder / "run" / "paths").mkdir(parents=True),
    ),
    "serve to everybody without a key": Wrong(
        "serve base --host 0.0.0.0 --port 0", USAGE, "0.0.0.0 can be reached from other machines", "set SARTOR_API_KEY"
    ),
    "serve with a key that is not there": Wrong(
        "serve base --key-env NO_KEY", USAGE, "--key-env: .*no NO_KEY", "export it"
    ),
    "serve on no port": Wrong("serve base --port 70000", USAGE, "70000 is no port", "ports go from"),
    "serve two of one name": Wrong("serve base base", USAGE, "two models would both be called", "rename"),
    "serve nothing": Wrong("serve ./none", USAGE, "there is no model folder", "a model is"),
    # --- prefer ---
    "prefer without a terminal": Wrong("prefer base task", USAGE, "there is no terminal", "add --page"),
    "prefer among twice the same": Wrong(
        "prefer base task --page --temperature 0", USAGE, "--temperature: at temperature 0", "raise it, or name"
    ),
    "prefer at a port of no page": Wrong("prefer base task --port 80", USAGE, "--port: only the page", "add --page"),
    "prefer on test rows": Wrong(
        "prefer base task/test.jsonl --page", USAGE, "task/test.jsonl: holds the task's test rows", "give the task"
    ),
    "prefer without questions": Wrong(
        "prefer base texts.jsonl --page",
        DATA,
        "texts.jsonl:1, prompt: holds no prompt",
        "name the column",
        put("texts.jsonl", '{"text": "x"}\n'),
    ),
    "prefer with nothing": Wrong("prefer ./none task --page", USAGE, "there is no model folder", "a model is"),
    "prefer against nothing": Wrong(
        "prefer base task --against ./none --page", USAGE, "there is no model folder", "a model is"
    ),
    "prefer into other rows": Wrong(
        "prefer base task --page --out rows.jsonl", DATA, "rows.jsonl:1: is no row with chosen", "correct or remove"
    ),
    "prefer into a table": Wrong(
        "prefer base task --page --out out.csv", USAGE, "out.csv: is no .jsonl file", "name a file"
    ),
    # --- reward and dpo ---
    "reward of examples": Wrong(
        "reward rows.jsonl --base base --out run", DATA, "rows.jsonl: holds question/answer rows", "this needs"
    ),
    "reward model of all weights": Wrong(
        "reward pairs.jsonl --base base --out run --adapter none",
        USAGE,
        "--adapter: 'adapter' cannot be 'none'",
        ".*lora",
        put("pairs.jsonl", PAIR),
    ),
    "dpo of rated answers": Wrong(
        "dpo rated.jsonl --base base --out run",
        DATA,
        "rated.jsonl: holds prompt/completion/label rows",
        "this needs prompt/chosen/rejected; `sartor dpo --loss kto` learns from",
        put("rated.jsonl", '{"prompt": "a", "completion": "b", "label": true}\n'),
    ),
    "dpo of equal answers": Wrong(
        "dpo equal.jsonl --base base --out run",
        DATA,
        "equal.jsonl:1, rejected: chosen and rejected are the same",
        "remove the row",
        put("equal.jsonl", PAIR.replace('"c"', '"b"')),
    ),
    "dpo with a setting that its loss does not read": Wrong(
        "dpo pairs.jsonl --base base --out run --loss hinge --label-smoothing 0.1",
        USAGE,
        "--loss hinge: label_smoothing has no effect on the loss hinge",
        "leave the setting away",
        put("pairs.jsonl", PAIR),
    ),
    # --- ppo and grpo ---
    "ppo without a reward": Wrong(
        "ppo rows.jsonl --base base --out run", USAGE, "there is no reward", "give at least one --reward"
    ),
    "ppo without prompts": Wrong(
        "ppo texts.jsonl --base base --out run --reward length:5",
        DATA,
        "texts.jsonl:1, prompt: holds no prompt",
        "name the column prompt",
        put("texts.jsonl", '{"text": "x"}\n'),
    ),
    "ppo with a misspelt reward": Wrong(
        PPO + " --reward lenth:5", USAGE, "unknown reward, and no such folder: lenth:5", "did you mean length|rewards: "
    ),
    "ppo with a reward that is no reward model": Wrong(
        PPO + " --reward docs", DATA, "docs: this is no reward model", "make one with `sartor reward`"
    ),
    "ppo with a pace of a penalty that does not adapt": Wrong(
        PPO + " --reward length:5 --kl-horizon 100", USAGE, "--kl-horizon has no effect without", "change one"
    ),
    "ppo with a penalty that adapts from nothing": Wrong(
        PPO + " --reward length:5 --kl-target 2 --kl-coefficient 0", USAGE, "--kl-target adapts .* 0 stays 0", ".+"
    ),
    "ppo with more minibatches than prompts": Wrong(
        PPO + " --reward length:5 --batch-rows 2 --minibatches 3", USAGE, ".*--minibatches deals out", ".+"
    ),
    "ppo of a model that is not there": Wrong(
        "ppo rows.jsonl --base ./none --out run --reward length:5", USAGE, "there is no model folder", "a model is"
    ),
    "ppo with every weight": Wrong(PPO + " --reward length:5 --adapter none", USAGE, "--adapter: .*none", ".+"),
    "ppo with answers that leave no room": Wrong(
        PPO + " --reward length:5 --max-row-tokens 20 --max-new-tokens 20",
        DATA,
        "rows.jsonl: no prompt leaves room",
        ".*lower --max-new-tokens",
    ),
    "grpo with answers that a scorer cannot read": Wrong(
        "grpo rows.jsonl --base base --out run --reward numeric", DATA, "rows.jsonl:1", ".+"
    ),
    "grpo of one answer": Wrong(
        "grpo task --base base --out run --answers 1", USAGE, "--answers: .*1", "it should be greater"
    ),
    "grpo over something": Wrong(
        "grpo task --base base --out docs", USAGE, "docs: the folder already holds something", "choose another --out"
    ),
    "grpo planned with a bad pattern": Wrong(
        "grpo task --base base --out run --reward regex:(", USAGE, "regex: ", ".+"
    ),
    # --- before training ---
    "plan without rows": Wrong("plan", USAGE, "DATA is missing", "rows to learn from"),
    "plan for odd memory": Wrong("plan rows.jsonl --memory lots", USAGE, "--memory: .*'lots'", ".*match pattern"),
    "check of no file": Wrong("check none.jsonl", DATA, "none.jsonl: there is no such file", ""),
    "find-lr in no time": Wrong("find-lr rows.jsonl --minutes soon", USAGE, "--minutes: .*'soon'", ".*number"),
    "models compared on nothing": Wrong("models compare base", USAGE, "name models and the rows", "sartor models"),
    # --- export ---
    "export nothing": Wrong("export ./none --out exported", USAGE, "there is no model folder ./none", "a model is"),
    "export to nowhere": Wrong("export base", USAGE, "--out is missing", "folder to write"),
    "export in a form that is none": Wrong(
        "export base --format onnx --out exported", USAGE, "--format: .*'onnx'", ".*safetensors"
    ),
    "export an adapter that is none": Wrong(
        "export base --format peft --out exported",
        USAGE,
        "--format peft: base has no adapter",
        "export the whole model",
    ),
    "export an adapter in another type": Wrong(
        "export adapter --format peft --dtype bf16 --out exported",
        USAGE,
        "--dtype: an adapter is exported as it was trained",
        "leave --dtype out",
        adapter,
    ),
    "export 8 bits as safetensors": Wrong(
        "export base --dtype q8_0 --out exported", USAGE, "--dtype q8_0: safetensors has no q8_0", "use --format gguf"
    ),
    "export over something": Wrong(
        "export base --out docs", USAGE, ".*docs: the folder already holds something else", "choose another --out"
    ),
    "export onto a file": Wrong("export base --out rows.jsonl", USAGE, ".*rows.jsonl: is a file", "choose another"),
    "export over itself": Wrong(
        "export adapter --out adapter", USAGE, ".*adapter: the model to export is in it", "choose another", adapter
    ),
    "export another model's adapter": Wrong(
        "export adapter --out exported", DATA, "adapter/.*has shape", "load it on the base", other_adapter
    ),
    # --- demo and doctor ---
    "demo in no time": Wrong("demo --budget soon --out run", USAGE, "--budget: 'soon' is not a time", "write 90s"),
    "demo over something": Wrong(
        "demo --out docs", USAGE, "docs: the folder already holds something", "choose another"
    ),
    "doctor of a folder": Wrong("doctor task", USAGE, "task: there is no knowledge store here", "make one"),
    # --- prepare, tokenizer, pretrain ---
    "prepare nothing": Wrong("prepare --out new", USAGE, "DOCUMENTS is missing", "folder of documents"),
    "prepare into nowhere": Wrong("prepare docs", USAGE, "--out is missing", "folder to make"),
    "prepare files": Wrong("prepare docs --out new", DATA, ".*docs: is not a complete folder", ".*sartor collect"),
    "prepare by no preset": Wrong(
        "prepare docs --preset fineweb --out new", USAGE, "--preset: .*fineweb", "it should be"
    ),
    "prepare and show no rejects": Wrong(
        "prepare --show-rejects docs", DATA, "docs: holds no rejects", "give the folder"
    ),
    "tokenizer of no size": Wrong("tokenizer docs --out new", USAGE, "--vocab-size is missing", "number of tokens"),
    "tokenizer too small": Wrong(
        "tokenizer docs --vocab-size 10 --out new",
        USAGE,
        "--vocab-size: .*10",
        "it should be greater than or equal to 512",
    ),
    "tokenizer of a misspelt folder": Wrong(
        "tokenizer dcos --vocab-size 600 --out new", DATA, "dcos: there is no such", "did you mean docs"
    ),
    "pretrain nothing": Wrong("pretrain --out new", USAGE, "DATA is missing", "texts: folders"),
    "pretrain on a misspelt folder": Wrong(
        "pretrain dcos --out new", USAGE, "dcos: there is no such", "check the path"
    ),
    "pretrain never": Wrong("pretrain docs=0 --out new", USAGE, "docs=0: '0' is no positive", "write FOLDER=2"),
    "pretrain on many tokens": Wrong(
        "pretrain docs --tokens many --out new", USAGE, "--tokens: .*many", "it should be a number of tokens"
    ),
    "pretrain a preset with a base": Wrong(
        "pretrain docs --preset 1m --base base --out new", USAGE, "--preset: has no effect", "leave it away"
    ),
    "plan pretrain without a budget": Wrong("plan pretrain", USAGE, "give --hours, or --money", "change one"),
    "plan pretrain without a price": Wrong("plan pretrain --money 3", USAGE, "--money needs --price", "change one"),
    # --- collect ---
    "collect nothing": Wrong("collect --out new", USAGE, "SOURCES is missing", "files, folders"),
    "collect into nowhere": Wrong("collect docs", USAGE, "--out is missing", "folder of documents"),
    "collect a misspelt folder": Wrong("collect dcos --out new", DATA, "dcos: there is no such", "did you mean docs"),
    "collect a program": Wrong(
        "collect run.exe --out new", DATA, "run.exe: cannot read files of type .exe", "readable: ", put("run.exe", "x")
    ),
    "collect from another protocol": Wrong(
        "collect ftp://example.org/ --out new", USAGE, "ftp://example.org/: .* not an http", "give an address"
    ),
    "collect with a password": Wrong(
        "collect https://me:secret@example.org/ --out new", USAGE, ".*user's name are not fetched", "give an address"
    ),
    "collect a data set without an owner": Wrong(
        "collect hub:books --out new", USAGE, "hub:books: is no name of a data set", "write hub:owner/name"
    ),
    "collect from the Hub offline": Wrong(
        "collect hub:a/books --out new", FAILED, "hub:a/books: the Hub may not be used", "unset HF_HUB_OFFLINE"
    ),
    "collect over something else": Wrong("collect docs --out task", USAGE, "task: holds other things", "give a new"),
    "collect into a file": Wrong("collect docs --out rows.jsonl", USAGE, "rows.jsonl: is a file", "choose another"),
    "collect at no rate": Wrong(
        "collect docs --out new --requests-per-second 0", USAGE, ".*requests_per_second.*", "it should be greater"
    ),
    "collect with a contact of two lines": Wrong(
        "collect docs --out new --contact 'a\nb: c'", USAGE, ".*'contact' cannot be", "write it in ASCII"
    ),
    # --- judge-check ---
    "judge-check of nothing": Wrong(
        "judge-check none --sheet labels.csv", USAGE, "none: there is no such run or file", "check the path"
    ),
    "judge-check of what is no run": Wrong(
        "judge-check docs --sheet labels.csv", DATA, "docs: holds no answers", "give a finished run"
    ),
    "judge-check of rows that are no answers": Wrong(
        "judge-check rows.jsonl --sheet labels.csv", DATA, "rows.jsonl:1, id: 'id' is missing", "give answers that"
    ),
    "judge-check without labels": Wrong(
        "judge-check answers.jsonl",
        USAGE,
        "--labels: there are no labels",
        "write a sheet",
        put("answers.jsonl", ANSWER),
    ),
    "judge-check with labels that are not there": Wrong(
        "judge-check answers.jsonl --labels label.csv",
        DATA,
        "label.csv: there is no such file",
        ".+",
        put("answers.jsonl", ANSWER),
    ),
    "judge-check with a label that is none": Wrong(
        "judge-check answers.jsonl --labels labels.csv",
        DATA,
        "labels.csv:2, label: 'maybe' is no label",
        "write 1 for right",
        lambda folder: (put("answers.jsonl", ANSWER)(folder), put("labels.csv", "id,label\na,maybe\n")(folder)),
    ),
    "judge-check with too few labels": Wrong(
        "judge-check answers.jsonl --labels labels.csv",
        DATA,
        "labels.csv: 1 labelled answers are too few",
        "label 10 at least",
        lambda folder: (put("answers.jsonl", ANSWER)(folder), put("labels.csv", "id,label\na,1\n")(folder)),
    ),
    "judge-check with a sheet and labels": Wrong(
        "judge-check answers.jsonl --sheet labels.csv --labels labels.csv",
        USAGE,
        "--sheet and --labels do not go together",
        "write the sheet",
        put("answers.jsonl", ANSWER),
    ),
    "judge-check with rows but no sheet": Wrong(
        "judge-check answers.jsonl --rows 5 --labels a.csv", USAGE, "--rows: only a sheet has rows", "add --sheet"
    ),
    "judge-check with a sheet that is there": Wrong(
        "judge-check answers.jsonl --sheet rows.jsonl",
        USAGE,
        "rows.jsonl: is there already",
        "name another file",
        put("answers.jsonl", ANSWER),
    ),
    "judge-check with a sheet of another kind": Wrong(
        "judge-check answers.jsonl --sheet labels.xlsx",
        USAGE,
        r"labels.xlsx: is no .csv or .jsonl file",
        "name a file",
        put("answers.jsonl", ANSWER),
    ),
    "a judge that is not named": Wrong(
        CHOOSE,
        USAGE,
        "task/task.yaml: the scorer judge needs a model that judges",
        ".+",
        put("task/task.yaml", "scorer: judge\n"),
    ),
    # --- ui ---
    "pages of no runs": Wrong("ui --runs none", USAGE, "none: there is no such folder", "name the folder"),
    "pages for others without a key": Wrong("ui --host 0.0.0.0", USAGE, "0.0.0.0 can be reached", "set SARTOR_API_KEY"),
    "pages of a model that is nothing": Wrong("ui startr", USAGE, ".*startr", ".*"),
    # --- runs ---
    "runs of what is none": Wrong(
        "runs show task", USAGE, "task: is not a run folder", "a run folder holds config.yaml"
    ),
    "runs of what is not there": Wrong("runs show none", USAGE, "none: there is no such run", "`sartor runs ls`"),
    "runs with a single one to compare": Wrong("runs compare run", USAGE, "one run cannot be compared", "name two"),
    "runs removed where nobody is asked": Wrong("runs rm task --yes", USAGE, "task: is not a run folder", "a run fo"),
    "runs with a misspelt option": Wrong("runs ls --jsno", USAGE, "unknown option --jsno", "did you mean --json"),
}


@pytest.mark.parametrize("wrong", WRONG_USES.values(), ids=WRONG_USES)
def test_a_wrong_use_is_explained_and_leaves_nothing(
    wrong: Wrong, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong.spoil(here)
    before = contents(here)
    code, error, hint = explained(shlex.split(wrong.command), capsys)
    assert re.match(wrong.error, error), error
    assert re.match(wrong.hint, hint), hint
    assert code == wrong.code
    assert contents(here) == before


def test_every_verb_is_used_wrongly() -> None:
    used = {wrong.command for wrong in WRONG_USES.values()}
    assert all(any(command.startswith(f"{verb} ") or command == verb for command in used) for verb in VERBS)
    assert {command.split()[0] for command in used} == {verb.split()[0] for verb in VERBS}


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_a_port_in_use(here: Path, taken_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    code, error, hint = explained(["serve", "base", "--port", str(taken_port)], capsys)
    assert (code, error) == (USAGE, f"cannot listen on 127.0.0.1, port {taken_port}: Address already in use")
    assert "give another --port" in hint


@pytest.mark.parametrize(
    ("variable", "value", "error"),
    [
        ("SARTOR_LEARNING_RATE", "fast", "SARTOR_LEARNING_RATE: 'learning_rate' cannot be 'fast'"),
        ("SARTOR_LORA_TARGETS", "[q_proj", "SARTOR_LORA_TARGETS: cannot be read as YAML"),
    ],
)
def test_a_bad_environment_variable(
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
    error: str,
) -> None:
    monkeypatch.setenv(variable, value)
    code, found, _ = explained(FINETUNE.split(), capsys)
    assert (code, found) == (USAGE, error)
    assert not (here / "run").exists()


def test_a_cache_that_cannot_be_one(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The embedder cannot be stored, so no knowledge file is begun."""
    monkeypatch.setenv("SARTOR_CACHE", str(here / "rows.jsonl"))
    before = contents(here)
    code, error, _ = explained(["index", "docs", "--out", "k.sqlite"], capsys)
    assert code == FAILED and "cannot write: Not a directory" in error
    assert contents(here) == before


def test_asking_a_model_that_is_nothing(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sartor.retrieval.path.open_retriever", lambda file, dense_weight: None)
    empty_store(here)
    code, error, _ = explained(["ask", "k.sqlite", "fees?", "--base", "startr"], capsys)
    assert (code, error) == (USAGE, "there is no model startr")


def test_a_full_disk_is_told_with_both_sizes_and_the_run_can_be_begun_again(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(descriptor: int) -> None:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        code, error, hint = explained([*FINETUNE.split(), "--epochs", "0.1"], capsys)
    assert code == FAILED
    assert re.match(r"run/config.yaml: the disk is full: \d+ B needed, .+ free", error)
    assert "make space" in hint
    assert [path.name for path in (here / "run").iterdir()] == [".lock"]
    assert main([*FINETUNE.split(), "--epochs", "0.1"]) == 0
    assert (here / "run" / "adapter" / "adapter_model.safetensors").is_file()
