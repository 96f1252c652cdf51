"""Calls of tools as a grammar, and what a definition of a tool has to hold."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sartor.base.errors import UsageError
from sartor.generation.schema_check import COMBINING, as_json, enforceable

BEGIN, END = "<tool_call>", "</tool_call>"
MAX_TOOLS = 128
MAX_NAME_CHARACTERS = 64
MAX_DESCRIPTION_CHARACTERS = 4_096
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_TOOL_KEYS = {"type", "function"}
_FUNCTION_KEYS = {"name", "description", "parameters", "strict"}


def check_tools(tools: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The schemas of the arguments by the tools' names. UsageError whose `where` is the parameter in the request."""
    if not 0 < len(tools) <= MAX_TOOLS:
        raise UsageError(f"there can be 1 to {MAX_TOOLS} tools, not {len(tools)}", where="tools")
    schemas: dict[str, dict[str, Any]] = {}
    for place, tool in enumerate(tools):
        where = f"tools[{place}]"
        function = _function(tool, where)
        name = function["name"]
        if name in schemas:
            raise UsageError(f"two tools are called {name}", where=f"{where}.function.name")
        schemas[name] = _arguments(function, f"{where}.function.parameters")
    return schemas


def _function(tool: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(tool, Mapping) or tool.get("type") != "function" or not isinstance(tool.get("function"), Mapping):
        raise UsageError('a tool is {"type": "function", "function": {…}}', where=where)
    function: Mapping[str, Any] = tool["function"]
    unknown = [*(set(tool) - _TOOL_KEYS), *(set(function) - _FUNCTION_KEYS)]
    if unknown:
        raise UsageError(f"a tool has no {str(unknown[0])[:80]!r}", where=where)
    name, description = function.get("name"), function.get("description") or ""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        what = f"a name has 1 to {MAX_NAME_CHARACTERS} letters, digits, - and _"
        raise UsageError(what, where=f"{where}.function.name")
    if not isinstance(description, str) or len(description) > MAX_DESCRIPTION_CHARACTERS:
        what = f"a description is a text of at most {MAX_DESCRIPTION_CHARACTERS:,} characters"
        raise UsageError(what, where=f"{where}.function.description")
    if function.get("strict") not in (None, False, True):
        raise UsageError("strict is true or false", where=f"{where}.function.strict")
    return function


def _arguments(function: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What is not declared is not said, unless the schema allows it by itself."""
    given = function.get("parameters")
    given = {"type": "object", "properties": {}} if given is None else given
    if not isinstance(given, Mapping) or given.get("type") != "object":
        raise UsageError("the parameters of a function are a schema of type object", where=where)
    try:
        schema = enforceable(given, strict=function.get("strict") is True)
    except UsageError as error:
        raise UsageError(f"{error.what} ({error.where})" if error.where else error.what, where=where) from None
    if not any(keyword in schema for keyword in ("additionalProperties", "patternProperties", *COMBINING)):
        schema["additionalProperties"] = False
    return schema


def tool_grammar(tools: Sequence[Mapping[str, Any]], choice: str, parallel: bool, layout: Mapping[str, Any]) -> str:
    """A grammar in llguidance's form of Lark. Before the first call any words may stand, where nothing has to be
    called; behind a call there are only further calls."""
    schemas = check_tools(tools)
    if choice not in ("auto", "required"):
        if choice not in schemas:
            raise UsageError(f"there is no tool {choice[:80]!r}", where="tool_choice")
        schemas = {choice: schemas[choice]}
    more = '("\\n" call)*' if parallel and choice in ("auto", "required") else ""
    bodies = " | ".join(f"body_{place}" for place in range(len(schemas)))
    rules = [f'call: "{BEGIN}" body', f"body: {bodies}"]
    for place, (name, schema) in enumerate(schemas.items()):
        head = as_json(f'\n{{"name": "{name}", "arguments": ')
        rules.append(f'body_{place}: {head} %json {as_json({"x-guidance": layout, **schema})} "}}\\n{END}"')
    if choice == "auto":
        rules += [
            f"start: WORDS | words_and_begin body {more}",
            f"words_and_begin[lazy]: /(?s:.*){BEGIN}/",
            f"WORDS: /(?s:.*)/ & ~/(?s:.*){BEGIN}(?s:.*)/",
        ]
    else:
        rules.append(f"start: call {more}")
    return "\n".join(rules)
