"""The reference, written from the code: a page of all commands and one of all Python functions."""

import argparse
import inspect
import re
import typing
from collections.abc import Iterable
from typing import Any

from pydantic_core import PydanticUndefined

import sartor
from docs.site.typed_settings import rendered, settings_class
from sartor.cli.main import GROUPS, Verb, parser_of


def commands() -> str:
    """Every verb with its example, arguments and options, as `--help` tells them."""
    parts = [
        "# Commands\n\nEvery verb explains itself: `sartor VERB --help`. Data goes to stdout, all else to stderr.\n"
    ]
    for group, verbs in GROUPS.items():
        parts.append(f"## To {group}\n")
        parts += [_command(verb) for verb in verbs]
    return "\n".join(parts)


def _command(verb: Verb) -> str:
    parser = parser_of(verb)
    rows = [_option(action) for action in parser._actions if action.help != argparse.SUPPRESS]
    rows = [row for row in rows if row[0] != "`--help`"]
    lines = [f"### sartor {verb.name}\n", parser.description or "", f"\n```\n{verb.example}\n```\n\n"]
    return "\n".join(lines) + (_table(("option", "meaning"), rows) if rows else "")


def _option(action: argparse.Action) -> tuple[str, str]:
    names = [each for each in action.option_strings if each.startswith("--") and not each.startswith("--no-")]
    value = "" if action.nargs == 0 else str(action.metavar or "|".join(map(str, action.choices or ())) or "").strip()
    shown = f"{names[0]} {value}".strip() if names else value or action.dest.upper()
    help_text = (action.help or "").replace("%%", "%")
    return f"`{shown}`".replace("`--help `", "`--help`").replace("`-h`", "`--help`"), help_text


def functions() -> str:
    """Every public name with its signature, what it says of itself, and its settings."""
    parts = ["# Python\n\nThe functions of the package; [the guide](python.md) shows them at work.\n"]
    for name in sartor.__all__:
        member = getattr(sartor, name)
        parts.append(f"## sartor.{name}\n")
        parts.append(_described(name, member))
        if inspect.isclass(member):
            parts += [_method(name, each, value) for each, value in vars(member).items() if _is_public(each, value)]
    return "\n".join(parts)


def _is_public(name: str, value: Any) -> bool:
    documented = callable(value) or isinstance(value, property)
    return documented and (not name.startswith("_") or name == "__call__") and bool(inspect.getdoc(value))


def _method(owner: str, name: str, value: Any) -> str:
    if isinstance(value, property):
        return f"**`.{name}`** {inspect.getdoc(value)}\n"
    call = "model(…)" if name == "__call__" else f".{name}"
    signature = str(inspect.signature(value)).replace("(self, ", "(").replace("(self)", "()")
    return f"**`{call}`**\n\n```python\n{owner}.{name}{_readable(signature)}\n```\n\n{inspect.getdoc(value)}\n"


def _described(name: str, member: Any) -> str:
    text = inspect.getdoc(member) or ""
    if inspect.isclass(member):
        return _fenced(text) + "\n"
    signature = inspect.signature(member)
    lines = [f"```python\nsartor.{name}{_readable(str(signature))}\n```\n", _fenced(text), ""]
    if "settings" in signature.parameters:
        lines.append(_settings(typing.get_args(signature.parameters["settings"].annotation)[0].__name__))
    return "\n".join(lines)


def _readable(signature: str) -> str:
    signature = re.sub(r"\*\*settings: [^,)]*\)?(?=\) ->)", "**settings", signature)
    for module in ("sartor.api.", "sartor.recipes.", "collections.abc.", "typing.", "os.", "~"):
        signature = signature.replace(module, "")
    return signature


def _fenced(text: str) -> str:
    """A docstring's lists of arguments and errors as they are, its prose as prose."""
    head, mark, tail = text.partition("\nArgs:")
    if not mark:
        head, mark, tail = text.partition("\nRaises:")
    return head + (f"\n```\n{mark.strip()}{tail}\n```" if mark else "")


def _settings(typed: str) -> str:
    config_class, fields = settings_class(typed)
    rows = []
    for field in fields:
        info = config_class.model_fields[field]
        default = "" if info.default is PydanticUndefined else repr(info.default)
        kind = rendered(info.annotation).replace("Text", "str")
        rows.append((f"`{field}`", f"`{kind}`", f"`{default}`" if default else "", info.description or ""))
    return _table(("setting", "type", "default", "meaning"), rows)


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = list(heads)
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(_cell(each) for each in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;") or " "
