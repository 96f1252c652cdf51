"""Command-line options from a settings class, and back: a setting is named, typed and explained in one place.

`add_settings(parser, Settings)` in a verb's `add_options`, then `settings_from(args, Settings)` in its `run`.
"""

import argparse
import math
import re
import sys
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sartor.base.configuration import Config, ConfigType, Layer, build, environment, load_yaml, nearest
from sartor.base.errors import UsageError

KeyPath = tuple[str, ...]
SCALARS = (str, int, float, Path)
HELP_WIDTH_BEFORE_TEXT = 30


class VerbParser(argparse.ArgumentParser):
    """argparse with our errors: one line, a hint, exit code 2; a mistyped option names the nearest one."""

    def __init__(self, prog: str, description: str = "", epilog: str = ""):
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            allow_abbrev=False,
            formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(
                prog, max_help_position=HELP_WIDTH_BEFORE_TEXT
            ),
        )
        self._is_mixing = False

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"`{self.prog} --help` explains the options")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse, but arguments without a name may stand on both sides of an option: `evaluate ONE --seed 1 TASK`.

        With actions, each action's own parser does that; behind `--` argparse sees to the order itself.
        """
        args = list(sys.argv[1:] if args is None else args)
        if self._is_mixing or self._subparsers is not None or "--" in args:
            return super().parse_known_args(args, namespace)
        self._is_mixing = True  # what is called now comes here again, once for options and once for the others
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._is_mixing = False

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            raise getattr(parsed, "parser_of_action", self)._unknown(unknown)  # of `sartor runs ls`, that of `ls`
        return parsed

    def _unknown(self, unknown: Sequence[str]) -> UsageError:
        option = next((each for each in unknown if each.startswith("-")), None)
        if option is None:
            return UsageError(f"unexpected argument {unknown[0]}", hint=f"`{self.prog} --help` shows what is taken")
        option = option.partition("=")[0]
        near = nearest(option, self._option_string_actions)
        hint = f"did you mean {near}?" if near else f"`{self.prog} --help` explains the options"
        return UsageError(f"unknown option {option}", hint=hint)


def whole_number(least: int) -> Callable[[str], int]:
    """The `type` of an argument that takes whole numbers from `least`."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[+-]?\d+", text) or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least}")
        return int(text)

    return read


def real_number(least: float, most: float = math.inf) -> Callable[[str], float]:
    """The `type` of an argument that takes finite numbers from `least` to `most`."""
    bounds = f"from {least:g}" + (f" to {most:g}" if math.isfinite(most) else "")

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number {bounds}")
        return value

    return read


def some_text(text: str) -> str:
    """The `type` of an argument that must say something."""
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty")
    return text


def add_common(
    parser: argparse.ArgumentParser, *, json: bool = False, config: bool = False, dry_run: bool = False
) -> None:
    """Options that mean the same for every verb: `args.json`, `args.config` (Path | None), `args.dry_run`."""
    if json:
        parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    if config:
        parser.add_argument("--config", type=Path, metavar="FILE", help="settings as YAML; options given here win")
    if dry_run:
        parser.add_argument("--dry-run", action="store_true", help="print the plan and stop")


def add_settings(
    parser: argparse.ArgumentParser,
    config_class: type[Config],
    *,
    positional: Sequence[str] = (),
    skip: Collection[str] = (),
) -> None:
    """An option for every field: `learning_rate` is `--learning-rate`, `lora.rank` of a nested class
    `--lora.rank`.

    Fields in `positional` are arguments without a name, in that order; fields in `skip` get no option.
    Help is the field's description and default. TypeError for a field whose type has no form as an option.
    """
    fields = dict(_fields(config_class))
    parser.set_defaults(positional_settings=frozenset(positional))
    for name in positional:
        _add_argument(parser, (name,), fields.pop((name,)), positional=True)
    for path, field in fields.items():
        if path[0] not in skip:
            _add_argument(parser, path, field, positional=False)


def settings_from(
    args: argparse.Namespace, config_class: type[ConfigType], variables: Mapping[str, str] | None = None
) -> ConfigType:
    """`--config` FILE, then the environment, then options: the last that names a setting wins. UsageError as
    `build`."""
    file = getattr(args, "config", None)
    layers = [load_yaml(file)] if file else []
    layers += [environment(config_class, variables), _given(args, config_class)]
    for name, field in config_class.model_fields.items():
        if field.is_required() and not any(name in layer.values for layer in layers):
            option = name.upper() if name in args.positional_settings else _option((name,))
            raise UsageError(f"{option} is missing", hint=field.description)
    return build(config_class, *layers)


def _given(args: argparse.Namespace, config_class: type[Config]) -> Layer:
    layer = Layer()
    for path, _ in _fields(config_class):
        destination = ".".join(path)
        if not hasattr(args, destination):
            continue
        inner = layer.values
        for key in path[:-1]:
            inner = inner.setdefault(key, {})
        inner[path[-1]] = getattr(args, destination)
        layer.places[path] = _option(path)
    return layer


def _fields(config_class: type[BaseModel], prefix: KeyPath = ()) -> Iterator[tuple[KeyPath, FieldInfo]]:
    for name, field in config_class.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _fields(field.annotation, (*prefix, name))
        else:
            yield (*prefix, name), field


def _add_argument(parser: argparse.ArgumentParser, path: KeyPath, field: FieldInfo, positional: bool) -> None:
    form = _Form(field.annotation, path)
    arguments: dict[str, Any] = {"default": argparse.SUPPRESS, "help": _help(field)}
    if form.is_flag:
        arguments["action"] = argparse.BooleanOptionalAction
    else:
        arguments["metavar"] = "|".join(form.choices) or path[-1].upper()
        arguments["type"] = form.read
    if form.is_list:
        arguments["nargs"] = "*" if positional else "+"
        arguments["action"] = "extend"  # given twice, both count
    elif positional:
        arguments["nargs"] = "?"  # it may come from --config or the environment instead
    name = ".".join(path)
    if positional:
        parser.add_argument(name, **arguments)
    else:
        parser.add_argument(_option(path), dest=name, **arguments)


class _Form:
    """How a field of this type is typed on a command line; its text is left to pydantic, which says what is
    wrong."""

    def __init__(self, annotation: Any, path: KeyPath):
        members = _members(annotation)
        self.is_optional = type(None) in members
        members = [member for member in members if member is not type(None)]
        self.is_list = len(members) == 1 and typing.get_origin(members[0]) in (list, tuple, set, frozenset)
        if self.is_list:
            members = _members(next(part for part in typing.get_args(members[0]) if part is not Ellipsis))
        self.is_flag = members == [bool]
        literals = [value for member in members for value in typing.get_args(member) if _is_literal(member)]
        self.choices = {str(value): value for value in literals} if all(map(_is_literal, members)) else {}
        for member in members:
            if not _is_literal(member) and not (isinstance(member, type) and issubclass(member, SCALARS)):
                raise TypeError(f"{'.'.join(path)}: {annotation} has no form as an option; skip it")

    def read(self, text: str) -> Any:
        """The text, or the value of Literal that it spells, or None for `none` where None is allowed."""
        if self.is_optional and text == "none":
            return None
        return self.choices.get(text, text)


def _members(annotation: Any) -> list[Any]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return list(typing.get_args(annotation))
    return [annotation]


def _is_literal(annotation: Any) -> bool:
    return typing.get_origin(annotation) is Literal


def _option(path: KeyPath) -> str:
    return "--" + ".".join(path).replace("_", "-")


def _help(field: FieldInfo) -> str:
    text = field.description or ""
    if field.is_required():
        text += " (required)"
    elif (default := field.get_default(call_default_factory=True)) is not None and default != "":
        shown = " ".join(map(str, default)) if isinstance(default, list | tuple | set | frozenset) else default
        if isinstance(default, bool):
            shown = "on" if default else "off"
        text += f" (default: {shown})" if shown != "" else ""
    return text.strip().replace("%", "%%")
