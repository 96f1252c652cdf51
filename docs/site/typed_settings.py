"""The keyword arguments of the Python functions, typed from the settings classes.

    python -m docs.site.typed_settings

writes sartor/api/settings.py; a test says when it is not what the classes are.
"""

import importlib
import types
import typing
from pathlib import Path
from typing import Any, Literal

from sartor.base.configuration import Config

TARGET = Path(__file__).parents[2] / "sartor" / "api" / "settings.py"
POSITIONAL = ("task", "data", "documents", "sources", "out")
CLASSES = {  # name of the typed dictionary: the settings class, and what a function takes by name of its own
    "ChooseSettings": ("sartor.choosing.choose", "ChooseConfig", ()),
    "CollectSettings": ("sartor.recipes.collect", "CollectConfig", ()),
    "PrepareSettings": ("sartor.recipes.prepare_settings", "PrepareConfig", ()),
    "TokenizerSettings": ("sartor.recipes.tokenizer", "TokenizerConfig", ("vocab_size",)),
    "PretrainSettings": ("sartor.recipes.pretrain", "PretrainConfig", ()),
    "FinetuneSettings": ("sartor.recipes.finetune", "FinetuneConfig", ()),
    "FindLrSettings": ("sartor.recipes.find_lr", "FindLrConfig", ("keep out",)),
    "PlanSettings": ("sartor.recipes.plan", "PlanConfig", ()),
    "CheckSettings": ("sartor.recipes.check", "CheckConfig", ()),
    "ExportSettings": ("sartor.recipes.export", "ExportConfig", ("model", "format")),
    "RewardSettings": ("sartor.recipes.reward", "RewardConfig", ()),
    "DpoSettings": ("sartor.recipes.dpo", "DpoConfig", ()),
    "PpoSettings": ("sartor.recipes.ppo", "PpoConfig", ()),
    "GrpoSettings": ("sartor.recipes.grpo", "GrpoConfig", ()),
}
SHARED = "TrainingSettings"  # the typed dictionary that those of TRAINED are based on
TRAINED = tuple(f"{verb}Settings" for verb in ("Finetune", "FindLr", "Plan", "Check", "Reward", "Dpo", "Ppo", "Grpo"))
HEAD = '''"""Keyword arguments of the functions, written from the settings by `python -m docs.site.typed_settings`.

The meaning and the default of each are in `sartor VERB --help` and in the reference.
"""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Literal, TypedDict

Text = str | PathLike[str]
'''


def settings_class(name: str) -> tuple[type[Config], list[str]]:
    """The class behind a typed dictionary, and the fields that stand in it."""
    module, class_name, own = CLASSES[name]
    config_class: type[Config] = getattr(importlib.import_module(module), class_name)
    left_out = {*POSITIONAL, *own} - ({"out"} if "keep out" in own else set())
    return config_class, [field for field in config_class.model_fields if field not in left_out]


def source() -> str:
    """The text of sartor/api/settings.py."""
    shared = _shared_fields()
    return (
        HEAD
        + _body(SHARED, "What all ways of training on rows take.", shared)
        + "".join(_typed_dictionary(name, shared) for name in CLASSES)
    )


def _shared_fields() -> dict[str, str]:
    """The fields, with their types, that all of TRAINED have alike."""
    found = [_fields(name) for name in TRAINED]
    return {field: kind for field, kind in found[0].items() if all(each.get(field) == kind for each in found)}


def _fields(name: str) -> dict[str, str]:
    config_class, fields = settings_class(name)
    return {field: rendered(config_class.model_fields[field].annotation) for field in fields}


def _typed_dictionary(name: str, shared: dict[str, str]) -> str:
    config_class, _ = settings_class(name)
    inherited = shared if name in TRAINED else {}
    own = {field: kind for field, kind in _fields(name).items() if field not in inherited}
    return _body(name, f"Settings of `{_verb(config_class)}`.", own, SHARED if inherited else "TypedDict")


def _body(name: str, about: str, fields: dict[str, str], base: str = "TypedDict") -> str:
    lines = [f"\n\nclass {name}({base}, total=False):", f'    """{about}"""', ""]
    return "\n".join([*lines, *(f"    {field}: {kind}" for field, kind in fields.items())]) + "\n"


def _verb(config_class: type[Config]) -> str:
    module = config_class.__module__.rpartition(".")[2].removesuffix("_settings")
    return "sartor " + module.replace("_", "-")


def rendered(annotation: Any) -> str:
    """A type as a person writes it: settings classes are mappings, lists are sequences."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is None or annotation is types.NoneType:
        return "None"
    if annotation is Any:
        return "Any"
    if origin is Literal:
        return f"Literal[{', '.join(_quoted(each) for each in inner)}]"
    if origin in (typing.Union, types.UnionType):
        return " | ".join(dict.fromkeys(rendered(each) for each in inner))
    if origin is typing.Annotated:
        return rendered(inner[0])
    if origin in (list, tuple):
        return f"Sequence[{rendered(inner[0])}]"
    if origin is dict:
        key = "str" if inner[0] is str else rendered(inner[0])
        return f"Mapping[{key}, {rendered(inner[1])}]"
    if isinstance(annotation, type) and issubclass(annotation, Config):
        return "Mapping[str, Any]"
    if annotation in (str, Path):
        return "Text"
    if isinstance(annotation, type) and annotation.__module__ == "builtins":
        return annotation.__name__
    raise TypeError(f"no way to write the type {annotation!r}")


def _quoted(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


if __name__ == "__main__":
    TARGET.write_text(source(), encoding="utf-8")
