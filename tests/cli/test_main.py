"""The command line as a person meets it: quick help, one-line errors, exit codes."""

import importlib.util
import json
import subprocess
import sys

import pytest

from sartor import __version__
from sartor.base.errors import DataError, Interrupted, QualityError, SartorError, UsageError
from sartor.cli import main as module
from sartor.cli.main import GROUPS, VERBS, Verb, main

HEAVY = ("torch", "transformers", "numpy", "pyarrow", "openai", "matplotlib", "starlette", "rich")


def loaded_after(arguments):
    """Which heavy libraries a fresh process has imported once it has answered `sartor …`."""
    program = (
        "import json, sys\nfrom sartor.cli.main import main\n"
        "try:\n    code = main(sys.argv[1:])\nexcept SystemExit as end:\n    code = end.code\n"
        f"print(json.dumps([code, [name for name in {HEAVY} if name in sys.modules]]), file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    code, heavy = json.loads(result.stderr.splitlines()[-1])
    assert code == 0
    return result.stdout, heavy


@pytest.mark.parametrize("arguments", [[], ["--help"], ["--version"]])
def test_the_overview_loads_nothing_heavy(arguments):
    assert loaded_after(arguments)[1] == []


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_has_help_with_an_example_and_loads_nothing_heavy(verb):
    text, heavy = loaded_after([*verb.split(), "--help"])
    assert heavy == []
    assert text.startswith(f"usage: sartor {verb} ")
    assert text.rstrip().splitlines()[-1] == f"example: {VERBS[verb].example}"


def test_the_overview_names_every_verb_once_with_its_module(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert [group for group in GROUPS if f"\n{group}:\n" in text] == list(GROUPS)
    for verb in VERBS.values():
        assert text.count(f"\n  {verb.name:<13} {verb.summary}") == 1
        assert importlib.util.find_spec(verb.module)
        assert verb.example.startswith(f"sartor {verb.name}")
    assert all(len(line) <= 100 for line in text.splitlines())


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"sartor {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (["doctr"], "unknown verb doctr", "did you mean `sartor doctor`?"),
        (["zzz"], "unknown verb zzz", "`sartor --help` lists the verbs"),
        (["--verbose"], "unknown option --verbose", "`sartor --help` lists the verbs"),
        (["doctor", "--jsn"], "unknown option --jsn", "did you mean --json?"),
        (["doctor", "--js"], "unknown option --js", "did you mean --json?"),
        (["demo", "now"], "unexpected argument now", "`sartor demo --help` shows what is taken"),
    ],
)
def test_a_wrong_command_is_one_line_and_a_hint(capsys, arguments, error, hint):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == f"error: {error}\nhint: {hint}\n"


@pytest.fixture
def verb_that(monkeypatch):
    """A verb `act` whose run raises what it is given, or returns it."""

    def install(outcome):
        class Module:
            @staticmethod
            def add_options(parser):
                pass

            @staticmethod
            def run(args):
                if isinstance(outcome, BaseException):
                    raise outcome
                return outcome

        monkeypatch.setitem(module.VERBS, "act", Verb("act", "acts", "sartor act"))
        monkeypatch.setitem(sys.modules, "sartor.cli.act", Module)

    return install


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (None, 0),
        (4, 4),
        (SartorError("failed"), 1),
        (UsageError("wrong"), 2),
        (DataError("bad"), 3),
        (QualityError("poor"), 4),
        (Interrupted("stopped"), 75),
        (KeyboardInterrupt(), 130),
    ],
)
def test_exit_codes(verb_that, outcome, code):
    verb_that(outcome)
    assert main(["act"]) == code


def test_an_error_shows_place_and_hint(verb_that, capsys):
    verb_that(DataError("is empty", where="train.jsonl:3, answer", hint="fill it in"))
    main(["act"])
    assert capsys.readouterr().err == "error: train.jsonl:3, answer: is empty\nhint: fill it in\n"


def test_a_bug_keeps_its_traceback(verb_that, capsys):
    verb_that(ZeroDivisionError("division by zero"))
    assert main(["act"]) == 1
    shown = capsys.readouterr().err
    assert "Traceback" in shown and "ZeroDivisionError" in shown and "please report it" in shown


def test_a_closed_pipe_is_quiet():
    result = subprocess.run(
        f"set -o pipefail; {sys.executable} -c 'from sartor.cli import main as m; import sys;"
        ' m.overview = lambda: "line\\n" * 100000; sys.exit(m.main(["--help"]))\' | head -n 1',
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.stdout, result.stderr, result.returncode) == ("line\n", "", 141)
