"""YAML as people expect it: the 1.2 core schema, no duplicate keys, no aliases, no tags that build objects.

YAML 1.1 (PyYAML's default) reads `no` as false, `1:30` as 90 and `1e-4` as text; the core schema
(https://yaml.org/spec/1.2.2/#103-core-schema) does not. Aliases are refused: with them
a short file can unfold to gigabytes.
"""

import re
from typing import Any

import yaml

CORE_SCHEMA = (
    ("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    (
        "tag:yaml.org,2002:int",
        re.compile(r"^(?:[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+)$"),
        list("-+0123456789"),
    ),
    (
        "tag:yaml.org,2002:float",
        re.compile(
            r"^(?:[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
            r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
        ),
        list("-+0123456789."),
    ),
)


class Loader(yaml.SafeLoader):
    """Reads the core schema; raises yaml.MarkedYAMLError with the line for what it refuses."""

    yaml_implicit_resolvers: dict[str, Any] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not read", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                raise yaml.constructor.ConstructorError(None, None, "a key must be a name", key.start_mark)
            if key.value in seen:
                problem = f"key '{key.value}' occurs twice, first in line {seen[key.value]}"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen[key.value] = key.start_mark.line + 1
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        try:
            return int(node.value, 0)
        except ValueError:
            problem = "the number has too many digits"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None


class Dumper(yaml.SafeDumper):
    """Writes text that `Loader` and YAML 1.1 readers take alike: what either reads as a number is quoted."""

    def represent_text(self, text: str) -> yaml.Node:
        # YAML folds Unicode's own line ends into spaces unless they are escaped, which only double quotes do
        style = '"' if set(text) & set("\x85\u2028\u2029") else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=style)


Dumper.add_representer(str, Dumper.represent_text)
Loader.add_constructor("tag:yaml.org,2002:int", Loader.construct_yaml_int)
for tag, pattern, first_characters in CORE_SCHEMA:
    Loader.add_implicit_resolver(tag, pattern, first_characters)
    Dumper.add_implicit_resolver(tag, pattern, first_characters)
