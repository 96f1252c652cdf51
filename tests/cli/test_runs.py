"""`sartor runs …` as a person types it."""

import io
import json
import subprocess
import sys

import pytest

from sartor.base.run_folder import RunFolder
from sartor.cli.main import main
from tests.train import made_up_alignment
from tests.train.made_up_runs import HOSTILE, LEVELLED, OVERFITTED, SETTINGS, result_of, run_folder

ACTIONS = ("ls", "show", "compare", "rm")


@pytest.fixture
def here(tmp_path, monkeypatch):
    run_folder(tmp_path / "runs" / "one", OVERFITTED, result_of(OVERFITTED), SETTINGS | {"seed": 5, "epochs": 3.0})
    run_folder(tmp_path / "runs" / "two", LEVELLED, None, SETTINGS | {"epochs": 9.0})
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_has_help_with_an_example_and_needs_no_torch(action):
    program = (
        "import sys\nfrom sartor.cli.main import main\n"
        f"try:\n    main(['runs', {action!r}, '--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = [name for name in ('torch', 'transformers', 'numpy', 'matplotlib') if name in sys.modules]\n"
        "print(heavy, file=sys.stderr)"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert shown.stderr.splitlines()[-1] == "[]"
    assert shown.stdout.startswith(f"usage: sartor runs {action} ")
    assert shown.stdout.rstrip().splitlines()[-1].startswith(f"example: sartor runs {action} ")


@pytest.mark.parametrize("command", [["runs"], ["runs", "ls"], ["runs", "ls", "runs"]])
def test_the_list_has_a_line_for_every_run(here, capsys, command):
    assert main(command) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split()[:4] == ["name", "kind", "state", "base"]
    assert [line.split()[:6] for line in sorted(lines)] == [
        ["runs/one", "finetune", "finished", "small-model", "158", "100"],
        ["runs/two", "finetune", "interrupted", "small-model", "158", "200"],
    ]


def test_an_empty_place_is_said_and_is_no_error(tmp_path, capsys):
    assert main(["runs", "ls", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert captured.out == "" and "no runs in" in captured.err
    assert main(["runs", "ls", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_a_damaged_run_does_not_hide_the_others(here, capsys):
    (here / "runs" / "one" / "metrics.jsonl").write_text("[[[\n")
    assert main(["runs", "ls"]) == 0
    captured = capsys.readouterr()
    lines = sorted(captured.out.splitlines()[1:])
    told = [["runs/one", "—", "damaged"], ["runs/two", "finetune", "interrupted"]]
    assert [line.split()[:3] for line in lines] == told
    assert captured.err.startswith("warning: runs/one/metrics.jsonl: ")
    assert main(["runs", "ls", "--json"]) == 0
    one, two = sorted(json.loads(capsys.readouterr().out), key=lambda each: each["path"])
    assert one.keys() == two.keys() and one["state"] == "damaged" and two["error"] is None
    assert one["error"].startswith("runs/one/metrics.jsonl: ")


def test_show_tells_settings_results_and_what_to_think_of_them(here, capsys):
    assert main(["runs", "show", "runs/one"]) == 0
    shown = capsys.readouterr().out
    given = shown.split("\n\n")[1]
    assert "seed" in given and "learning_rate" in given and "epochs" not in given  # 3 epochs are the default
    assert "overfitted" in shown and "fewer epochs" in shown and "█" in shown and "runs/one/metrics.jsonl" in shown


def test_compare_sets_differences_side_by_side(here, capsys):
    assert main(["runs", "compare", "runs/one", "runs/two"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["one", "two"] in lines and ["epochs", "3.0", "9.0"] in lines and ["seed", "5", "—"] in lines
    assert ["steps", "100", "200"] in lines and not any(line[:1] == ["base"] for line in lines)


def test_compare_writes_a_page_with_both_curves(here, capsys):
    run_folder(here / "runs" / HOSTILE.replace("/", ""), LEVELLED, result_of(LEVELLED))
    names = ["runs/one", "runs/two", f"runs/{HOSTILE.replace('/', '')}"]
    assert main(["runs", "compare", *names, "--html", "both.html"]) == 0
    page = (here / "both.html").read_text()
    assert page.count("<svg") == 2 * 4  # wide and narrow: both losses, rate, norm of the gradient
    assert "<script" not in page and "<img" not in page and "default-src 'none'" in page
    assert "&lt;img src=x" in page and ">3.0</td>" in page and ">9.0</td>" in page


@pytest.mark.parametrize("command", [["ls"], ["show", "runs/one"], ["compare", "runs/one", "runs/two"]])
def test_json_is_one_document(here, capsys, command):
    assert main(["runs", *command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    if command[0] == "ls":
        assert {each["path"] for each in told} == {"runs/one", "runs/two"} and told[0]["rows"] == 158
    elif command[0] == "show":
        assert told["settings"]["seed"] == 5 and told["diagnosis"]["verdict"] == "overfitted"
    else:
        assert told["settings"]["epochs"] == {"one": 3.0, "two": 9.0} and set(told["runs"]) == {"one", "two"}


def test_rm_asks_on_a_terminal_and_takes_no_for_an_answer(here, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    for answer, left in (("\n", True), ("no\n", True), ("y\n", False)):
        monkeypatch.setattr(sys, "stdin", Terminal(answer))
        assert main(["runs", "rm", "runs/one"]) == 0
        assert (here / "runs" / "one").exists() is left
    assert "delete all of runs/one (" in sys.stderr.getvalue()
    assert (here / "runs" / "two").exists()


def test_rm_without_a_terminal_needs_yes(here, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert main(["runs", "rm", "runs/one"]) == 2
    assert "add --yes" in capsys.readouterr().err and (here / "runs" / "one").exists()
    assert main(["runs", "rm", "runs/one", "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["freed_bytes"]["runs/one"] > 1000
    assert not (here / "runs" / "one").exists()


def test_rm_of_several_touches_none_if_one_is_no_run(here, capsys):
    assert main(["runs", "rm", "runs/one", "runs", "--yes"]) == 2
    assert "runs: is not a run folder" in capsys.readouterr().err and (here / "runs" / "one").exists()


def test_rm_refuses_a_running_one_and_frees_only_checkpoints_if_so_asked(here, capsys):
    with RunFolder.open(here / "runs" / "one") as run:
        run.save_checkpoint(3, {"weights": b"x" * 5000})
        assert main(["runs", "rm", "runs/one", "--yes"]) == 1
        assert "is using this run folder" in capsys.readouterr().err
    assert main(["runs", "rm", "runs/one", "--checkpoints", "--yes"]) == 0
    assert capsys.readouterr().out.startswith("runs/one: 5.") and (here / "runs" / "one" / "metrics.jsonl").exists()
    assert not (here / "runs" / "one" / "checkpoints").exists()


def test_alignment_is_listed_and_shown_by_its_own_figure(tmp_path, monkeypatch, capsys):
    for kind in ("reward", "grpo"):
        metrics = made_up_alignment.records(kind, 100, entropy=lambda step: 1.6 * 0.9**step)
        result = made_up_alignment.result_of(kind, metrics)
        made_up_alignment.alignment_run(tmp_path / kind, kind, metrics, result)
    monkeypatch.chdir(tmp_path)
    assert main(["runs", "ls"]) == 0
    listed = capsys.readouterr().out
    assert "(dev accuracy)" in listed and "(dev reward)" in listed
    assert main(["runs", "show", "grpo"]) == 0
    shown = capsys.readouterr().out
    assert "alarm: entropy collapse" in shown and "sampled reward" in shown and "training loss" not in shown
    assert main(["runs", "show", "grpo", "--json"]) == 0
    assert [alarm["name"] for alarm in json.loads(capsys.readouterr().out)["alarms"]] == ["entropy collapse"]
    assert main(["runs", "compare", "reward", "grpo", "--html", "both.html"]) == 0
    assert "entropy collapse" in capsys.readouterr().out and "score before" in (tmp_path / "both.html").read_text()
