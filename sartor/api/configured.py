"""Keyword arguments of a function as a verb's settings, with the same checks and the same errors."""

import os
from collections.abc import Mapping
from typing import Any

from sartor.base.configuration import Config, ConfigType, KeyPath, Layer, build
from sartor.base.errors import UsageError

Place = str | os.PathLike[str]


def configured(function: str, config_class: type[ConfigType], settings: Mapping[str, Any]) -> ConfigType:
    """The configuration that `function(**settings)` asks for. UsageError names the argument that is wrong."""
    values = {name: _plain(value) for name, value in settings.items()}
    places: dict[KeyPath, str] = {(name,): f"{function}({name}=…)" for name in values}
    for name, field in config_class.model_fields.items():
        if field.is_required() and name not in values:
            raise UsageError(f"{name} is missing", where=f"{function}()", hint=field.description)
    return build(config_class, Layer(values, places))


def _plain(value: Any) -> Any:
    """Paths as text and settings classes as mappings, as a settings file would hold them."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Config):
        return value.model_dump(exclude_unset=True)
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    return value
