"""Reward of answers that are JSON of a given form; schemas that cannot be used are refused at the start."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from sartor.base.errors import UsageError
from sartor.train.rewards.protocol import Answered
from sartor.train.rewards.schema import ValidJson

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name"],
    "additionalProperties": False,
}


def reward(folder: Path, schema: Any) -> ValidJson:
    file = folder / "schema.json"
    file.write_text(schema if isinstance(schema, str) else json.dumps(schema))
    return ValidJson(str(file))


def scores(by: ValidJson, *texts: str) -> list[float]:
    return by.score([Answered([], text, (), 1, True, "rows.jsonl:1") for text in texts])


@pytest.mark.parametrize(("text", "score"), [
    ('{"name": "Ada"}', 1), (' {"name": "Ada", "age": 36}\n', 1),
    ('{"name": "Ada", "age": -1}', 0), ('{"age": 36}', 0), ('{"name": "Ada", "born": 1815}', 0), ("[]", 0),
    ('{"name": "Ada"} {"name": "Ada"}', 0), ('Sure: {"name": "Ada"}', 0), ('```json\n{"name": "Ada"}\n```', 0),
    ('{"name": "Ada"', 0), ("", 0), ('{"name": NaN}', 0),
])  # fmt: skip
def test_only_one_valid_value_with_nothing_around_it_scores(tmp_path: Path, text: str, score: int) -> None:
    assert scores(reward(tmp_path, PERSON), text) == [score]


def test_a_schema_that_refers_to_itself_is_followed(tmp_path: Path) -> None:
    tree = {"type": "object", "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}}
    assert scores(reward(tmp_path, tree), '{"left": {"right": {}}}', '{"left": {"right": 1}}') == [1, 0]


def test_names_inside_the_file_are_found(tmp_path: Path) -> None:
    inner = {"$id": "count", "$anchor": "here", "type": "integer"}
    for name in ("https://example.org/count", "count", "count#here"):
        schema = {"$id": "https://example.org/all", "items": {"$ref": name}, "$defs": {"count": inner}}
        assert scores(reward(tmp_path, schema), "[1]", '["a"]') == [1, 0]


@pytest.mark.parametrize("draft", [
    "http://json-schema.org/draft-07/schema#", "http://json-schema.org/draft-07/schema",
    "https://json-schema.org/draft/2019-09/schema", "https://json-schema.org/draft/2020-12/schema",
])  # fmt: skip
def test_the_draft_that_the_schema_names_is_followed(tmp_path: Path, draft: str) -> None:
    """Up to draft 7 what stands beside a $ref is ignored; since 2019-09 it counts."""
    schema = {"$schema": draft, "properties": {"a": {"$ref": "#/properties/b", "minimum": 5}, "b": {"type": "integer"}}}
    assert scores(reward(tmp_path, schema), '{"a": 7}', '{"a": 3}', '{"a": "x"}') == [1, "draft-07" in draft, 0]


def test_answers_that_cannot_be_checked_score_zero(tmp_path: Path) -> None:
    by = reward(tmp_path, {"items": {"$ref": "#"}})
    assert scores(by, "[" * 9_000 + "]" * 9_000, "[" * 700 + "]" * 700, "[[]]") == [0, 0, 1]
    assert scores(by, f"[{'1,' * 9_998}1]", f"[{'1,' * 9_999}1]") == [1, 0], "20,000 characters are allowed"
    assert scores(reward(tmp_path, {"multipleOf": 0.5}), "1e999", "9" * 400, "1.5") == [0, 0, 1]


def test_patterns_lower_the_length_that_is_read(tmp_path: Path) -> None:
    by = reward(tmp_path, {"items": {"pattern": "^a*$"}})
    assert scores(by, '["aaa"]', '["b"]', json.dumps(["a" * 3_990]), json.dumps(["a" * 4_000])) == [1, 0, 1, 0]


@pytest.mark.parametrize(("schema", "message"), [
    ("{", "schema.json:1: the schema is not JSON"), ("NaN", "not JSON"), ("[]", "no object"),
    ({"type": "strnig"}, "not valid.*strnig"), ({"properties": {"a": {"minimum": "1"}}}, r"\$.properties.a.minimum"),
    ({"$schema": "https://example.org/mine"}, "unknown draft"), ({"$schema": [5]}, "unknown draft"),
    ({"$ref": "#/$defs/missing"}, r"what is not in it: #/\$defs/missing"),
    ({"$ref": "https://json-schema.org/draft/2020-12/schema"}, "what is not in it"),
    ({"items": {"$ref": "other.json"}}, "what is not in it: other.json"),
    ({"$ref": "#/enum/0", "enum": ["a"]}, "what is no schema"), ({"$dynamicRef": "#x"}, "what is not in it: #x"),
    ({"$schema": "http://json-schema.org/draft-04/schema#", "$ref": {"a": 1}}, "a reference that is no text"),
    ({"$ref": "#"}, "without end"), ({"anyOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"$ref": "#"}}}, "without end"),
    ({"properties": {"a": {"pattern": "("}}}, "is not a .regex"),
    ({"$schema": "http://json-schema.org/draft-04/schema#", "patternProperties": {"(": {}}}, "not a regular"),
    ({"properties": {"a": {"pattern": "(a+)+b"}}}, "for ever"),
    ({"patternProperties": {"(a+)+b": {}}}, "for ever"),
    ({"$ref": "#/parts/a", "parts": {"a": {"pattern": "(a+)+b"}}}, "for ever"),
    ({"$ref": "#/parts/a", "parts": {"a": {"pattern": 5}}}, "not valid"),
])  # fmt: skip
def test_schemas_that_cannot_be_used_are_refused(tmp_path: Path, schema: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        reward(tmp_path, schema)


def test_data_in_a_schema_is_not_taken_for_a_schema(tmp_path: Path) -> None:
    schema = {"enum": [{"pattern": "(a+)+b", "$ref": "nowhere"}]}
    assert scores(reward(tmp_path, schema), json.dumps(schema["enum"][0]), "{}") == [1, 0]


def test_a_missing_file_is_named() -> None:
    with pytest.raises(UsageError, match="nowhere.json: the schema cannot be read"):
        ValidJson("nowhere.json")


def test_nothing_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(UsageError, match="no schema is fetched"):
        reward(tmp_path, {"properties": {"a": {"$ref": "http://example.org/schema.json"}}})


def test_formats_are_said_to_be_unchecked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    by = reward(tmp_path, {"properties": {"day": {"format": "date"}}})
    assert '"format" (date) is not checked' in " ".join(capsys.readouterr().err.split())
    assert scores(by, '{"day": "never"}') == [1]
