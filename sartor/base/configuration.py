"""Typed settings: a YAML file, then the environment, then flags; the last one that names a key wins.

Every mistake is one line with the key, the place (`file:line`, variable or flag) and what is allowed.
"""

import difflib
import os
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from sartor.base.errors import UsageError
from sartor.base.yaml_schema import Dumper, Loader

ENVIRONMENT_PREFIX = "SARTOR_"
LARGEST_FILE_BYTES = 1_000_000
KeyPath = tuple[str, ...]


class Config(BaseModel):
    """Base of every settings class: unknown keys are errors and a built configuration never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


ConfigType = TypeVar("ConfigType", bound=Config)


@dataclass(frozen=True)
class Layer:
    """Settings from one file, the environment or flags; `places` says where each key can be corrected."""

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[KeyPath, str] = field(default_factory=dict)
    file: str = ""


def load_yaml(path: str | os.PathLike[str]) -> Layer:
    """Read a settings file. UsageError with `file:line` for all that is not one mapping of plain values."""
    text = _read_text(Path(path))
    try:
        return _parse(text, str(path))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        what = f"cannot be read as YAML: {error.problem}"
        raise UsageError(what, where=where, hint=_yaml_hint(error.problem or "")) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        hint = "remove the control character"
        raise UsageError("holds a character that YAML forbids", where=f"{path}:{line}", hint=hint) from None
    except RecursionError:
        hint = "settings are short lists of keys"
        raise UsageError("is nested too deeply", where=str(path), hint=hint) from None


def environment(config_class: type[Config], variables: Mapping[str, str] | None = None) -> Layer:
    """`SARTOR_<FIELD>` for the fields of `config_class`; lists and mappings as YAML (`[a, b]`).

    What a command works on (`data`, and fields without a default) is never taken from the environment.
    """
    variables = os.environ if variables is None else variables
    layer = Layer()
    for key, setting in config_class.model_fields.items():
        name = ENVIRONMENT_PREFIX + key.upper()
        if name not in variables or setting.is_required() or key == "data":
            continue
        layer.values[key] = _environment_value(variables[name], name)
        layer.places[(key,)] = name
    return layer


def flags(values: Mapping[str, Any]) -> Layer:
    """Settings given on the command line; a flag that was not given is None and leaves lower layers alone."""
    given = {key: value for key, value in values.items() if value is not None}
    return Layer(given, {(key,): "--" + key.replace("_", "-") for key in given})


def build(config_class: type[ConfigType], *layers: Layer) -> ConfigType:
    """Merge `layers` (later ones win, mappings key by key) and validate. UsageError names the bad keys."""
    values: dict[str, Any] = {}
    places: dict[KeyPath, str] = {}
    for layer in layers:
        _merge(values, layer.values)
        places.update(layer.places)
    try:
        return config_class.model_validate(values)
    except ValidationError as error:
        file = next((layer.file for layer in layers if layer.file), None)
        raise _explain(config_class, error, places, file) from None


def dump_yaml(config: BaseModel) -> str:
    """Settings as YAML text that `load_yaml` and `build` turn into an equal configuration."""
    values = config.model_dump(mode="json")
    return yaml.dump(values, Dumper=Dumper, sort_keys=False, allow_unicode=True)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` was probably meant to be, if one is close."""
    matches = difflib.get_close_matches(name.lower(), list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None


def _read_text(path: Path) -> str:
    try:
        if path.is_file() and path.stat().st_size > LARGEST_FILE_BYTES:
            raise UsageError("is too large for settings", where=str(path), hint="was a data file given here?")
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        beside = [child.name for child in path.parent.iterdir()] if path.parent.is_dir() else []
        near = nearest(path.name, beside)
        hint = f"did you mean {path.parent / near}?" if near else "check the path"
        raise UsageError("there is no such file", where=str(path), hint=hint) from None
    except IsADirectoryError:
        hint = "give a .yaml file"
        raise UsageError("is a folder, not a settings file", where=str(path), hint=hint) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UsageError("is not UTF-8 text", where=f"{path}:{line}", hint="save it as UTF-8") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        hint = "check the path and its rights"
        raise UsageError(f"cannot be read: {reason}", where=str(path), hint=hint) from None


def _parse(text: str, path: str) -> Layer:
    loader = Loader(text)
    try:
        node = loader.get_single_node()
        if node is None or (isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null")):
            return Layer(file=path)
        if not isinstance(node, yaml.MappingNode):
            hint = "write settings as `key: value`, one a line"
            raise UsageError("holds no keys", where=f"{path}:{node.start_mark.line + 1}", hint=hint)
        places = {keys: f"{path}:{line}" for keys, line in _key_lines(node, ())}
        return Layer(loader.construct_document(node), places, path)
    finally:
        loader.dispose()


def _key_lines(node: yaml.MappingNode, prefix: KeyPath) -> Iterator[tuple[KeyPath, int]]:
    for key, value in node.value:
        path = (*prefix, str(key.value))
        yield path, key.start_mark.line + 1
        if isinstance(value, yaml.MappingNode):
            yield from _key_lines(value, path)


def _yaml_hint(problem: str) -> str:
    if "occurs twice" in problem:
        return "keep one of the two"
    if "'\\t'" in problem:
        return "indent with spaces, not tabs"
    if "mapping values are not allowed" in problem:
        return "put quotes around a value that contains a colon"
    return "settings are written as `key: value`, one a line; quote values with special characters"


def _environment_value(text: str, name: str) -> Any:
    if not text.startswith(("[", "{")):
        return text
    try:
        return yaml.load(text, Loader=Loader)
    except yaml.YAMLError:
        hint = "write a list as [a, b] and a mapping as {key: value}"
        raise UsageError("cannot be read as YAML", where=name, hint=hint) from None


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = dict(value) if isinstance(value, dict) else value


def _explain(
    config_class: type[Config], error: ValidationError, places: Mapping[KeyPath, str], file: str | None
) -> UsageError:
    # A misspelt key is often the missing one as well: its line and nearest name say more.
    problems = sorted(error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden")
    first = problems[0]
    path = tuple(str(part) for part in first["loc"])
    key = ".".join(path)
    what, hint = _describe(config_class, path, key, first)
    others = list(dict.fromkeys(".".join(map(str, problem["loc"])) for problem in problems[1:]))
    more = f" (also wrong: {', '.join(others)})" if others else ""
    return UsageError(what + more, where=_place(path, places) or file, hint=hint)


def _describe(config_class: type[Config], path: KeyPath, key: str, problem: Any) -> tuple[str, str]:
    owner = _owner(config_class, path[:-1])
    known = list(owner.model_fields) if owner else []
    if problem["type"] == "extra_forbidden":
        near = nearest(path[-1], known)
        hint = f"did you mean '{near}'?" if near else f"known keys: {', '.join(known)}"
        return f"unknown key '{key}'", hint
    if problem["type"] == "missing":
        description = owner.model_fields[path[-1]].description if owner and path[-1] in known else None
        return f"'{key}' is missing", f"add `{path[-1]}: …`" + (f", {description}" if description else "")
    if problem["type"] in ("model_type", "dict_type"):
        return f"'{key}' cannot be {_short(problem['input'])}", "write it as a mapping: {key: value}"
    reason = problem["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    reason = reason.replace("Input should be", "it should be")
    if not path:
        return reason, "change one of these settings"
    return f"'{key}' cannot be {_short(problem['input'])}", reason


def _owner(config_class: type[BaseModel], path: KeyPath) -> type[BaseModel] | None:
    owner: type[BaseModel] | None = config_class
    for part in path:
        if owner is None or part not in owner.model_fields:
            return None
        owner = next(_models_in(owner.model_fields[part].annotation), None)
    return owner


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _models_in(part)


def _place(path: KeyPath, places: Mapping[KeyPath, str]) -> str | None:
    for length in range(len(path), 0, -1):
        if path[:length] in places:
            return places[path[:length]]
    return None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"
