"""Reward of structured answers: exactly one JSON value, valid against a JSON Schema."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jsonschema
from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from sartor.base.console import warn
from sartor.base.errors import UsageError
from sartor.data.patterns import bad_pattern
from sartor.data.scorers import MAX_REGEX_REPLY_CHARACTERS
from sartor.data.values import JSON_DECODER
from sartor.train.rewards.protocol import Answered

MAX_JSON_REPLY_CHARACTERS = 20_000  # assumed: far beyond an answer of a few thousand tokens
KINDS_OF_VALUES: tuple[Any, ...] = (None, True, 0, "", [], {})
REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


class ValidJson:
    """1 when the answer is one JSON value that is valid against the schema in `file`, with nothing else around it but
    white space; else 0. A code fence is something else.

    An answer also gets 0 when it is nested too deeply to be checked, holds a number too large to compute with, or is
    too long: of more than `MAX_JSON_REPLY_CHARACTERS`, or `MAX_REGEX_REPLY_CHARACTERS` if the schema holds a pattern.
    The draft is the one that the schema names, or 2020-12. Nothing is fetched: all that the schema refers to must be
    in the file. UsageError for a file that cannot be read, and for a schema that is not valid, refers to what is not
    there or to itself without end, or holds a pattern that could run for ever.
    """

    name = "schema"

    def __init__(self, file: str):
        self._validator, parts = _validator(_schema_in(file), file)
        patterns = [pattern for part in parts for pattern in _patterns(part)]
        for pattern in patterns:
            _check_pattern(pattern, file)
        formats = sorted({part["format"] for part in parts if "format" in part})
        if formats:
            warn(f'{file}: "format" ({", ".join(formats)}) is not checked; a "pattern" would be')
        self._max_characters = MAX_REGEX_REPLY_CHARACTERS if patterns else MAX_JSON_REPLY_CHARACTERS

    def score(self, answered: Sequence[Answered]) -> list[float]:
        return [self._is_valid(each.text) for each in answered]

    def _is_valid(self, text: str) -> float:
        if len(text) > self._max_characters:
            return 0.0
        try:
            value = JSON_DECODER.decode(text.strip())
        except (ValueError, RecursionError):
            return 0.0
        try:
            return float(self._validator.is_valid(value))
        except (RecursionError, OverflowError):
            return 0.0


def _schema_in(file: str) -> Any:
    try:
        schema = JSON_DECODER.decode(Path(file).read_text("utf-8-sig").strip())
    except OSError as error:
        raise UsageError(f"the schema cannot be read: {error.strerror}", where=file, hint="check the path") from error
    except json.JSONDecodeError as error:
        where = f"{file}:{error.lineno}"
        raise UsageError(f"the schema is not JSON: {error.msg}", where=where, hint="a schema is one object") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the schema is not JSON: {error}", where=file, hint="a schema is one object") from error
    if not isinstance(schema, dict):
        raise UsageError("the schema is no object", where=file, hint='for example {"type": "object"}')
    return schema


def _validator(schema: dict[str, Any], file: str) -> tuple[Any, list[dict[str, Any]]]:
    """A validator that fetches nothing, and every part of the schema. UsageError for one that cannot be used."""
    latest = jsonschema.Draft202012Validator
    draft = schema.get("$schema", latest.META_SCHEMA["$schema"])
    checker = jsonschema.validators.validator_for({"$schema": str(draft)}, default=latest)
    if _without_end(draft) != _without_end(checker.META_SCHEMA["$schema"]):
        raise UsageError(f"unknown draft of JSON Schema: {draft}", where=file, hint="leave $schema out for 2020-12")
    try:
        checker.check_schema(schema)
        registry: Registry[Any] = Registry()  # jsonschema's default one would fetch what it does not know
        whole = Resource.from_contents(schema, default_specification=DRAFT202012)
        parts = list(_parts(registry.resolver_with_root(whole), whole, file, set()))
        for part in parts:
            checker.check_schema(part)
        validator = checker(schema, registry=registry)
        for value in KINDS_OF_VALUES:
            validator.is_valid(value)
    except jsonschema.SchemaError as error:
        where = f"{file}, {error.json_path}"
        raise UsageError(f"the schema is not valid: {error.message}", where=where, hint="mend it there") from error
    except RecursionError as error:
        hint = "a $ref may come back to where it stands only inside properties or items"
        raise UsageError("the schema refers to itself without end", where=file, hint=hint) from error
    return validator, parts


def _without_end(address: object) -> str:
    """Drafts are named with and without an empty fragment."""
    return str(address).rstrip("#")


def _parts(resolver: Any, part: "Resource[Any]", file: str, seen: set[int]) -> Iterator[dict[str, Any]]:
    """Every schema inside `part`, and all that they refer to. UsageError for a reference to nothing of the kind."""
    schema = part.contents
    if not isinstance(schema, dict) or id(schema) in seen:
        return
    seen.add(id(schema))
    yield schema
    for reference in [schema[keyword] for keyword in REFERENCES if keyword in schema]:
        found = _referred(resolver, reference, file)
        meant = Resource.from_contents(found.contents, default_specification=DRAFT202012)
        yield from _parts(found.resolver, meant, file, seen)
    for inner in part.subresources():
        yield from _parts(resolver.in_subresource(inner), inner, file, seen)


def _referred(resolver: Any, reference: object, file: str) -> Any:
    """What `reference` leads to, with `.contents` and `.resolver`."""
    hint = "move it into the file, under $defs; no schema is fetched"
    if not isinstance(reference, str):
        raise UsageError(f"the schema holds a reference that is no text: {reference}", where=file, hint=hint)
    try:
        found = resolver.lookup(reference)
    except Unresolvable as error:
        raise UsageError(f"the schema refers to what is not in it: {reference}", where=file, hint=hint) from error
    if not isinstance(found.contents, dict | bool):
        raise UsageError(f"the schema refers to what is no schema: {reference}", where=file, hint=hint)
    return found


def _patterns(schema: dict[str, Any]) -> list[str]:
    alone = schema.get("pattern")
    return [*([alone] if isinstance(alone, str) else []), *schema.get("patternProperties", {})]


def _check_pattern(pattern: str, file: str) -> None:
    if not pattern:
        return  # allows everything
    problem = bad_pattern(pattern)
    if problem is not None:
        what, hint = problem
        raise UsageError(f"{what}: {pattern!r}", where=file, hint=hint)
