"""The commands that README and the task guide show are commands that exist, and their files are there."""

import re
import shlex
from pathlib import Path

import pytest

from sartor.base.errors import UsageError
from sartor.cli.main import VERBS, parser_of
from sartor.data.scorers import JUDGE, SCORERS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
TASKS = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")
COMMANDS = [
    line.split("#")[0].strip()
    for line in README.splitlines()
    if re.match(r"sartor [a-z]", line) and "language" not in line
]


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in ("demo", "test"):
        assert f"make {target}" in README
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_shown_command_is_understood(command: str) -> None:
    _, verb, *arguments = shlex.split(command)
    if arguments and f"{verb} {arguments[0]}" in VERBS:
        verb = f"{verb} {arguments.pop(0)}"
    try:
        parser_of(VERBS[verb]).parse_args(arguments)
    except UsageError as error:
        pytest.fail(f"{command}: {error}")


def test_enough_commands_are_shown() -> None:
    assert {command.split()[1] for command in COMMANDS} >= {
        "choose",
        "serve",
        "chat",
        "finetune",
        "index",
        "ask",
        "evaluate",
    }


def test_linked_files_are_there() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / link).is_file(), link


def test_the_guide_explains_every_scorer() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", TASKS, re.MULTILINE)) == {*SCORERS, JUDGE}
