"""JSON schemas that can be enforced exactly, told from those that cannot.

The compiler of grammars passes over keywords that it does not know, and some others it only comes near to. So every
schema is read here first: only keywords that hold for each finished answer go on, every other one is refused by name.
"""

import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from jsonschema import Draft202012Validator

from sartor.base.errors import UsageError
from sartor.generation.pattern_check import check_pattern
from sartor.generation.text_formats import FORMATS

MAX_VALUES = 5_000  # objects, lists, strings and numbers in a schema
MAX_CHARACTERS = 200_000
MAX_DEPTH = 64
MAX_COUNT = 100_000  # of minItems, maxLength and the like
MAX_MULTIPLE = 20_000  # the steps that multiples are compiled to; measured: 10,000 take 75 ms
LARGEST_EXACT = 2**53  # the compiler reads numbers as 64-bit floats

ANNOTATIONS = frozenset(
    ("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment", "$schema")
)
SCHEMAS_BY_NAME = frozenset(("properties", "patternProperties", "$defs", "definitions"))
LISTS_OF_SCHEMAS = frozenset(("anyOf", "oneOf", "allOf", "prefixItems"))
SCHEMAS = frozenset(("items", "additionalProperties"))
COUNTS = frozenset(("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"))
LIMITS = frozenset(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"))
VALUES = frozenset(("const", "enum"))
PLAIN = frozenset(("type", "required", "$ref", "pattern", "format"))
DIALECTS = (
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema",
    "http://json-schema.org/draft-06/schema",
)
COMBINING = ("anyOf", "oneOf", "allOf", "$ref")


def enforceable(schema: Any, strict: bool = False) -> dict[str, Any]:
    """The schema without what only describes, with formats as patterns. UsageError that names what is in the way;
    `where` is a JSON pointer into the schema.

    `strict`: as OpenAI's strict mode asks, the answer is an object, every object names all of its properties in
    `required`, and has `additionalProperties: false`.
    """
    _check_size(schema)
    reading = _Reading(strict)
    clean = reading.schema(schema, "#")
    error = next(Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(clean), None)
    if error is not None:
        where = "/".join(["#", *map(str, error.absolute_path)])
        raise UsageError(f"the schema is not valid: {error.message[:200]}", where=where)
    for reference, where in reading.references:
        if reference not in reading.places:
            raise UsageError(f"$ref {reference[:80]!r} leads to no schema in this schema", where=where)
    if strict and (not isinstance(clean, dict) or clean.get("type") != "object" or "anyOf" in clean):
        raise UsageError("a strict schema is of type object, without anyOf beside it", where="#")
    if clean is False:
        raise UsageError("no answer is valid under the schema false")
    return {} if clean is True else clean


def _check_size(schema: Any) -> None:
    """Before anything walks it with recursion."""
    waiting, count, characters = [(schema, 0)], 0, 0
    while waiting:
        value, depth = waiting.pop()
        count += 1
        inner: list[Any] = []
        if isinstance(value, Mapping):
            inner = [*value.keys(), *value.values()]
        elif isinstance(value, list):
            inner = value
        elif isinstance(value, str):
            characters += len(value)
        elif isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"the schema holds the number {value}, which is not JSON")
        if count + len(inner) > MAX_VALUES or depth > MAX_DEPTH or characters > MAX_CHARACTERS:
            raise UsageError(
                f"the schema is too large: at most {MAX_VALUES:,} values, {MAX_CHARACTERS:,} characters and "
                f"{MAX_DEPTH} levels"
            )
        waiting += [(each, depth + 1) for each in inner]


class _Reading:
    """One walk through a schema: where its parts are and what it refers to."""

    def __init__(self, strict: bool):
        self.strict = strict
        self.places: set[str] = set()
        self.references: list[tuple[str, str]] = []
        self._steps = Decimal(1)  # multiples that are combined need the product of their steps at most

    def schema(self, given: Any, where: str) -> dict[str, Any] | bool:
        self.places.add(where)
        if isinstance(given, bool):
            return given
        if not isinstance(given, Mapping):
            raise UsageError("a schema is an object, true or false", where=where)
        made: dict[str, Any] = {}
        for keyword, value in given.items():
            self._keyword(made, keyword, value, where)
        if "format" in made:
            _put_format(made, where)
        self._check_counts(made, where)
        if self.strict:
            _check_strict(made, where)
        return made

    def _keyword(self, made: dict[str, Any], keyword: Any, value: Any, where: str) -> None:
        inside = f"{where}/{_pointer(str(keyword))}"
        if keyword in ANNOTATIONS:
            if keyword == "$schema":
                _check_dialect(value, where)
        elif keyword == "uniqueItems" and value is False:
            return
        elif keyword in SCHEMAS_BY_NAME and isinstance(value, Mapping):
            made[keyword] = {
                str(name): self.schema(each, f"{inside}/{_pointer(str(name))}") for name, each in value.items()
            }
            if keyword == "patternProperties":
                for pattern in value:
                    check_pattern(str(pattern), inside)
        elif keyword in LISTS_OF_SCHEMAS and isinstance(value, list):
            made[keyword] = [self.schema(each, f"{inside}/{place}") for place, each in enumerate(value)]
        elif keyword in SCHEMAS:
            if isinstance(value, list):
                raise UsageError("items as a list is not supported; use prefixItems", where=inside)
            made[keyword] = self.schema(value, inside)
        elif keyword in COUNTS | LIMITS | VALUES | PLAIN:
            made[keyword] = self._value(keyword, value, inside)
        elif keyword in SCHEMAS_BY_NAME | LISTS_OF_SCHEMAS:
            raise UsageError(f"{keyword} has the wrong type", where=inside)
        else:
            raise UsageError(f"the keyword {str(keyword)[:80]!r} cannot be enforced", where=where)

    def _value(self, keyword: str, value: Any, where: str) -> Any:
        if keyword in COUNTS and isinstance(value, (int, float)) and not isinstance(value, bool):
            if value > MAX_COUNT:
                raise UsageError(f"{keyword} is more than {MAX_COUNT:,}", where=where)
            return int(value) if value == int(value) else value
        if keyword in LIMITS | VALUES:
            _check_numbers(value, where)
            if keyword == "multipleOf" and isinstance(value, (int, float)) and not isinstance(value, bool):
                self._check_multiple(value, where)
        if keyword == "pattern" and isinstance(value, str):
            check_pattern(value, where)
        if keyword == "$ref":
            self.references.append((str(value), where))
        if keyword == "type" and value not in _TYPES and not isinstance(value, list):
            raise UsageError(f"there is no type {str(value)[:80]!r}", where=where)
        return value

    def _check_multiple(self, value: float, where: str) -> None:
        number = Decimal(repr(value))
        exponent = number.as_tuple().exponent
        assert isinstance(exponent, int)
        self._steps *= max(abs(number), Decimal(1)) * Decimal(10) ** max(0, -exponent)
        if self._steps > MAX_MULTIPLE:
            raise UsageError(f"multipleOf {value} needs too large a grammar", where=where)

    def _check_counts(self, made: Mapping[str, Any], where: str) -> None:
        """Names that are not in `properties` may be said twice, and then count once."""
        least, required = made.get("minProperties", 0), made.get("required", [])
        if isinstance(least, int) and isinstance(required, list) and least > max(1, len(required)):
            raise UsageError("minProperties above 1 cannot be enforced; name the properties in required", where=where)


_TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")


def _pointer(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _check_dialect(value: Any, where: str) -> None:
    if where != "#" or str(value).rstrip("#") not in DIALECTS:
        raise UsageError(f"$schema {str(value)[:80]!r} is not supported", where=where)


def _check_numbers(value: Any, where: str) -> None:
    """Only numbers that a 64-bit float holds exactly, and that need no exponent."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, (list, tuple)):
            waiting += each
        elif isinstance(each, Mapping):
            waiting += each.values()
        elif isinstance(each, (int, float)) and not isinstance(each, bool):
            tiny = each != 0 and abs(each) < 1e-4
            if abs(each) > LARGEST_EXACT or tiny:
                raise UsageError(f"the number {each} cannot be kept to exactly", where=where)


def _put_format(made: dict[str, Any], where: str) -> None:
    name = made.pop("format")
    if not isinstance(name, str) or name not in FORMATS:
        known = ", ".join(FORMATS)
        raise UsageError(
            f"the format {str(name)[:80]!r} cannot be enforced; these can: {known}", where=f"{where}/format"
        )
    if "pattern" in made:
        made["allOf"] = [*made.get("allOf", []), {"pattern": FORMATS[name]}]
    else:
        made["pattern"] = FORMATS[name]


def _check_strict(made: Mapping[str, Any], where: str) -> None:
    kinds = made.get("type")
    is_object = kinds == "object" or (isinstance(kinds, list) and "object" in kinds) or "properties" in made
    if not is_object:
        return
    if made.get("additionalProperties") is not False:
        raise UsageError("strict needs additionalProperties: false in every object", where=where)
    missing = [name for name in made.get("properties", {}) if name not in made.get("required", ())]
    if missing:
        raise UsageError(f"strict needs every property in required; {missing[0]!r} is not", where=where)


def as_json(value: Any) -> str:
    """UsageError for what JSON cannot hold, such as half of a surrogate pair."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (ValueError, TypeError) as error:
        raise UsageError(f"the schema is not JSON: {error}") from None
    return text
