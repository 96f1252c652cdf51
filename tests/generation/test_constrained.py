"""What is said under a constraint has the form that was asked for, whatever the model would rather say."""

import json
import random
import re
import threading
import time
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from sartor.base.errors import SartorError, UsageError
from sartor.generation.engine import Engine
from sartor.generation.protocol import Sampling, TokenConstraint
from sartor.generation.text_formats import FORMATS
from sartor.models.forward import use_packed_attention
from tests import tiny_models
from tests.generation.grammar_walk import TOKENIZERS, answer, world

SCHEMAS: dict[str, Any] = {
    "object": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}, "required": ["b"]},
    "closed": {"type": "object", "properties": {"é": {"enum": ["☃", 1, None]}}, "additionalProperties": False},
    "map": {"type": "object", "additionalProperties": {"type": "boolean"}, "minProperties": 1, "maxProperties": 3},
    "patterns": {"type": "object", "patternProperties": {"^x": {"type": "null"}}, "additionalProperties": False},
    "named and patterns": {
        "type": "object",
        "properties": {"x1": {"type": ["null", "integer"]}, "y": {"const": "z"}},
        "patternProperties": {"^x": {"type": "null"}},
        "required": ["x1"],
        "additionalProperties": False,
    },
    "required only": {"type": "object", "required": ["q"], "additionalProperties": {"type": "integer"}},
    "array": {"type": "array", "items": {"type": "integer", "minimum": -3, "exclusiveMaximum": 40}, "maxItems": 4},
    "tuple": {"type": "array", "prefixItems": [{"type": "null"}, {"type": "boolean"}], "items": False, "minItems": 2},
    "multiple": {"type": "integer", "multipleOf": 7, "minimum": 0, "maximum": 10_000},
    "decimal": {"type": "number", "multipleOf": 0.01, "minimum": -1.5, "maximum": 99.5},
    "number": {"type": "number", "exclusiveMinimum": 0.25, "maximum": 17.5},
    "text": {"type": "string", "minLength": 2, "maxLength": 5},
    "pattern": {"type": "string", "pattern": "^[a-c]{2,3}-\\d+$"},
    "searched": {"type": "string", "pattern": "b\\s", "maxLength": 12},
    "alternatives": {"type": "string", "pattern": "^ab?$|^\\w{3}$"},
    "any of": {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "boolean"}}], "title": "either"},
    "one of": {"oneOf": [{"type": "string", "maxLength": 3}, {"type": "null"}]},
    "all of": {
        "allOf": [{"type": "object", "properties": {"a": {"minimum": 3}}, "required": ["a"]}],
        "properties": {"a": {"type": "integer", "maximum": 5}},
        "additionalProperties": False,
    },
    "reference": {
        "$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}, "maxItems": 2}},
        "$ref": "#/$defs/tree",
    },
    "constant": {"const": {"a": [1, 2.5, 'q"\\\n', {}], "b": None}},
    "no type": {"minimum": 3, "maxLength": 2, "maxItems": 1, "maxProperties": 1},
    "shape": {
        "type": "object",
        "properties": {"a": {"type": "string", "maxLength": 3}, "b": {"enum": [1, "x", None]}},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
    "two lengths": {"allOf": [{"minLength": 1}, {"pattern": "^a*$"}], "type": "string", "maxLength": 4},
}
TOOL_SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}


def check(schema: Any, text: str) -> None:
    value = json.loads(text, parse_float=Decimal)
    exact = json.loads(json.dumps(schema), parse_float=Decimal)
    with localcontext(prec=1_000):  # numbers may have as many digits as they like
        Draft202012Validator(exact, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(value)


@pytest.mark.parametrize("kind", list(TOKENIZERS))
@pytest.mark.parametrize("name", list(SCHEMAS))
def test_every_finished_answer_is_valid(kind: str, name: str) -> None:
    chat, grammars = world(kind)
    make, draw = grammars.json_schema(SCHEMAS[name]), random.Random(name)
    said = [answer(chat, make(), draw) for _ in range(25)]
    finished = [text for text in said if text is not None]
    assert len(finished) >= 3
    for text in finished:
        check(SCHEMAS[name], text)


@pytest.mark.parametrize("kind", list(TOKENIZERS))
def test_json_objects(kind: str) -> None:
    chat, grammars = world(kind)
    make, draw = grammars.json_object(), random.Random(0)
    finished = [text for text in (answer(chat, make(), draw) for _ in range(60)) if text is not None]
    assert len(finished) > 5
    assert all(isinstance(json.loads(text), dict) for text in finished)


@pytest.mark.parametrize("name", list(FORMATS))
def test_formats(name: str) -> None:
    chat, grammars = world()
    make, draw = grammars.json_schema({"type": "string", "format": name}), random.Random(name)
    finished = [text for text in (answer(chat, make(), draw) for _ in range(40)) if text is not None]
    assert len(finished) > 5
    for text in finished:
        check({"type": "string", "format": name}, text)


@pytest.mark.parametrize(
    ("date", "valid"),
    [("2024-02-29", True), ("2023-02-29", False), ("1900-02-29", False), ("2000-02-29", True), ("0000-01-01", False)],
)
def test_days_that_there_are(date: str, valid: bool) -> None:
    assert bool(re.match(FORMATS["date"], date)) is valid
    assert bool(re.match(FORMATS["date-time"], f"{date}T23:59:59Z")) is valid


@pytest.mark.parametrize(
    "pattern", ["a+b?", "(ab|c){2,4}", "[^a-z ]{3}", "^ab$", "x\\.y|\\d{1,2}", "☃[é-ü]*", "\\u0041\\x42", "a.c"]
)
def test_a_pattern_is_the_whole_answer(pattern: str) -> None:
    chat, grammars = world()
    make, draw = grammars.regex(pattern), random.Random(pattern)
    finished = [text for text in (answer(chat, make(), draw) for _ in range(30)) if text is not None]
    assert len(finished) > 5
    for text in finished:
        if "\ufffd" not in text:  # the bytes of a character that the tokenizer shows in its own way
            assert re.fullmatch(pattern, text), text


@pytest.mark.parametrize("kind", list(TOKENIZERS))
def test_the_end_is_allowed_only_where_the_text_may_end(kind: str) -> None:
    chat, grammars = world(kind)
    constraint = grammars.json_schema({"const": "☃ é"})()
    stops = list(chat.stop_ids)
    text = b""
    while not constraint.finished:
        allowed = constraint.allowed()
        assert allowed.dtype == np.bool_ and allowed.shape == (len(chat.tokenizer),)
        ids = list(map(int, allowed.nonzero()[0]))
        assert not set(ids) & set(stops), text
        constraint.accept(ids[0])
        text += b"."
    assert len(text) > 3  # the characters fell apart in bytes
    assert sorted(map(int, constraint.allowed().nonzero()[0])) == sorted(stops)


def test_special_tokens_are_no_part_of_a_text() -> None:
    chat, grammars = world()
    constraint = grammars.json_schema({"type": "string"})()
    for token in chat.tokenizer('"<|im_', add_special_tokens=False).input_ids:
        constraint.accept(token)
    allowed = constraint.allowed()
    assert allowed.sum() > 100 and not allowed[sorted(chat.special_ids)].any()
    with pytest.raises(SartorError):
        constraint.accept(min(chat.stop_ids))


def test_objects_of_one_grammar_do_not_disturb_each_other() -> None:
    chat, grammars = world()
    make = grammars.json_schema({"type": "array", "items": {"type": "integer"}})
    said: list[str | None] = [None] * 8

    def work(place: int) -> None:
        said[place] = answer(chat, make(), random.Random(place))

    threads = [threading.Thread(target=work, args=[place]) for place in range(len(said))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert said == [answer(chat, make(), random.Random(place)) for place in range(len(said))]


def generate(constraints: list[TokenConstraint], max_new_tokens: int) -> list[tuple[str, str]]:
    chat, _ = world()
    engine = Engine(use_packed_attention(tiny_models.model()), chat.decode, chat.stop_ids, 256)
    samplings = [Sampling(max_new_tokens, temperature=1.0, seed=seed) for seed in range(len(constraints))]
    ids = engine.add_group(chat.prompt([{"role": "user", "content": "say"}]), samplings, constraints)
    said, ends = dict.fromkeys(ids, ""), dict.fromkeys(ids, "")
    while engine.has_work:
        for event in engine.step():
            said[event.request_id] += event.text
            ends[event.request_id] = event.finish or ""
    return [(said[each], ends[each]) for each in ids]


def test_a_tiny_model_in_the_engine_keeps_to_its_schema() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string", "maxLength": 4}, "b": {"type": "integer", "maximum": 10, "minimum": 0}},
        "required": ["a", "b"],
        "additionalProperties": False,
    }
    make = world()[1].json_schema(schema)
    answers = generate([make() for _ in range(16)], 150)
    finished = [text for text, finish in answers if finish == "stop"]
    assert len(finished) > 8 and {finish for _, finish in answers} <= {"stop", "length"}
    for text in finished:
        check(schema, text)


def test_an_answer_that_is_cut_off_ends_with_length() -> None:
    make = world()[1].json_schema({"type": "string", "minLength": 100})
    ((text, finish),) = generate([make()], 12)
    assert finish == "length" and text.startswith('"')


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"not": {}}, "not"),
        ({"if": {}, "then": {}}, "if"),
        ({"type": "object", "propertyNames": {"maxLength": 3}}, "propertyNames"),
        ({"contains": {}}, "contains"),
        ({"dependentRequired": {}}, "dependentRequired"),
        ({"unevaluatedProperties": False}, "unevaluatedProperties"),
        ({"x-guidance": {"lenient": True}, "type": "object"}, "x-guidance"),
        ({"type": "string", "maxlength": 3}, "maxlength"),
        ({"type": "object", "minProperties": 2}, "minProperties"),
        ({"type": "string", "format": "regex"}, "regex"),
        ({"type": "string", "format": "unknown"}, "unknown"),
        ({"type": "string", "pattern": "(?=a)b"}, "(?=a)b"),
        ({"type": "string", "pattern": "[a&&b]"}, "&"),
        ({"type": "string", "pattern": "(a{1000}){1000}"}, "repetitions"),
        ({"type": "integer", "multipleOf": 62_615_533}, "multipleOf"),
        ({"allOf": [{"multipleOf": 997}, {"multipleOf": 991}], "type": "integer"}, "multipleOf"),
        ({"const": 2**53 + 1}, "9007199254740993"),
        ({"$ref": "https://example.com/x"}, "https://example.com/x"),
        ({"$ref": "#"}, "enforced"),
        ({"$ref": "#/default", "default": {"not": {}}}, "#/default"),
        ({"$schema": "http://json-schema.org/draft-04/schema#"}, "draft-04"),
        ({"type": "array", "items": [{}]}, "prefixItems"),
        ({"type": "text"}, "text"),
        ({"type": "string", "minLength": -1}, "-1"),
        ({"type": "string", "minLength": float("nan")}, "nan"),
        ({"type": "array", "minItems": 10**9}, "minItems"),
        ({"required": "a"}, "a"),
        ({"const": "\ud800"}, "JSON"),
        ({"enum": []}, "anyOf is empty"),
        (False, "false"),
        ([], "object"),
    ],
)
def test_what_cannot_be_enforced_is_refused_by_name(schema: Any, named: str) -> None:
    with pytest.raises(UsageError) as caught:
        world()[1].json_schema(schema)
    assert named in str(caught.value)


def test_deep_and_large_schemas_are_refused_before_anything_walks_them() -> None:
    deep: Any = {}
    for _ in range(50_000):
        deep = {"items": deep}
    for schema in (deep, {"enum": list(range(100_000))}, {"const": "x" * 10**6}):
        with pytest.raises(UsageError, match="too large"):
            world()[1].json_schema(schema)


def test_strict_schemas_name_all_properties_and_allow_no_others() -> None:
    grammars = world()[1]
    good = {"type": "object", "properties": {"a": TOOL_SCHEMA}, "required": ["a"], "additionalProperties": False}
    with pytest.raises(UsageError, match="additionalProperties") as caught:
        grammars.json_schema(good, strict=True)
    assert caught.value.where == "#/properties/a"
    good["properties"] = {"a": {"type": "string"}}
    grammars.json_schema(good, strict=True)
    with pytest.raises(UsageError, match="'a' is not"):
        grammars.json_schema({**good, "required": []}, strict=True)
    with pytest.raises(UsageError, match="type object"):
        grammars.json_schema({"type": "string"}, strict=True)


EVIL_PATTERNS = [
    "(a*)*b",
    "(a|b)*a(a|b){200}",
    "((a{0,9}){0,9}){0,9}",
    ".{4000}",
    "(.*a){30}",
    "(x+x+)+y",
    "[a-z]{1,9}" * 60,
]
PIECES = "ab(|)[]{}*+?^$.\\dws,-&1950\u2603<>:="


def mutated(draw: random.Random) -> Any:
    """A schema of SCHEMAS with something in it replaced, moved or repeated."""
    schema = json.loads(json.dumps(draw.choice(list(SCHEMAS.values()))))
    keywords = ["minItems", "maxLength", "pattern", "multipleOf", "minimum", "$ref", "anyOf", "allOf", "items", "enum"]
    for _ in range(draw.randrange(1, 4)):
        parts: list[dict[str, Any]] = [schema]
        for part in parts:
            parts += [each for each in part.values() if isinstance(each, dict)]
        other = json.loads(json.dumps(draw.choice(list(SCHEMAS.values()))))
        number = draw.choice([-1, 0, 3, 1.5, 10**9, 10**18, 1e300, -1e-7, float("inf"), float("nan")])
        pattern = draw.choice([*EVIL_PATTERNS, "".join(draw.choices(PIECES, k=draw.randrange(1, 40)))])
        fitting: dict[str, list[Any]] = {
            **dict.fromkeys(("minItems", "maxLength"), [0, 3, 30_000]),
            **dict.fromkeys(("anyOf", "allOf"), [[other, schema], [{"type": "integer"}, other]]),
            "pattern": [pattern],
            "multipleOf": [3, 0.5, 997],
            "minimum": [0, -3, 1.5],
            "$ref": ["#", "#/$defs/tree", "#/properties/a"],
            "items": [other, False],
            "enum": [[3, "a", None, {"b": [1.5]}], [pattern]],
        }
        part, keyword = draw.choice(parts), draw.choice(keywords)
        if draw.random() < 0.7:
            part[keyword] = json.loads(json.dumps(draw.choice(fitting[keyword])))
        else:
            wrong = [number, pattern, other, [other, schema], "#", None, True, [], [number, pattern]]
            part[draw.choice([*keywords, *part, pattern])] = json.loads(json.dumps(draw.choice(wrong)))
    return schema


def test_mutated_schemas_and_patterns_are_compiled_or_refused_quickly() -> None:
    chat, grammars = world()
    draw, refused, given_up, slowest = random.Random(2), 0, 0, 0.0
    for number in range(500):
        started = time.process_time()
        schema = mutated(draw)
        try:
            if number % 4:
                make = grammars.json_schema(schema)
            else:
                pattern = "".join(draw.choices(PIECES, k=draw.randrange(1, 60)))
                make = grammars.regex(draw.choice([*EVIL_PATTERNS, pattern]))
            text = answer(chat, make(), draw, 100)
            if text is not None and number % 4:
                check(schema, text)
        except UsageError:
            refused += 1
        except SartorError:
            given_up += 1  # a grammar that grew too large stops, it does not go on for ever
        slowest = max(slowest, time.process_time() - started)
    assert 100 < refused < 450 and given_up < 10
    assert slowest < 2
