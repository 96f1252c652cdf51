"""S2: every parameter of every route with values that are wrong, huge, nested, or made to take long."""

import json
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from sartor.serving.schema import RequestBody
from sartor.serving.schema_chat import ChatRequest
from sartor.serving.schema_completions import CompletionRequest
from sartor.serving.schema_embeddings import EmbeddingRequest
from sartor.serving.schema_tokens import DetokenizeRequest, TokenizeRequest

REQUESTS: dict[str, type[RequestBody]] = {
    "/v1/chat/completions": ChatRequest,
    "/v1/completions": CompletionRequest,
    "/v1/embeddings": EmbeddingRequest,
    "/tokenize": TokenizeRequest,
    "/detokenize": DetokenizeRequest,
}
LONGEST_ANSWER_SECONDS = 20.0  # a hang is a failure; the slowest of these takes well under a second
USER = {"role": "user", "content": "hi"}
ROUTES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "tiny", "messages": [USER], "max_tokens": 3},
    "/v1/completions": {"model": "tiny", "prompt": "the cat", "max_tokens": 3},
    "/v1/embeddings": {"model": "vectors", "input": "ship"},
    "/tokenize": {"prompt": "the cat"},
    "/detokenize": {"tokens": [5, 6]},
}
NUMBERS = [math.nan, math.inf, -math.inf, -1, -0.5, 1e308, 10**400, -(10**30), 2**63, 1.5, 0, 1, 2, 5e-324, 1e-40]
OTHERS = [
    True,
    "",
    "x",
    "\ud800",
    "\x00",
    "9" * 5000,
    [],
    [[]],
    [None],
    {},
    {"": None},
    {"a": {"b": [1]}},
    ["x"] * 3000,
]
EVIL_PATTERNS = [
    "(a+)+$",
    "(a|a)*b",
    "a{1,1000000000}",
    "((a{1,500}){1,500}){1,500}",
    "(?=x)y",
    r"(.)\1",
    "[",
    "(?P<n>a)",
    ".*" * 200,
]


def deep(levels: int) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        made = {"type": "object", "properties": {"a": made}, "required": ["a"]}
    return made


def wide(fields: int) -> dict[str, Any]:
    names = [f"field_{number}" for number in range(fields)]
    return {"type": "object", "properties": {name: {"type": "integer"} for name in names}, "required": names}


EVIL_SCHEMAS: list[Any] = [
    *({"type": "string", "pattern": pattern} for pattern in EVIL_PATTERNS),
    *({"type": "object", "patternProperties": {pattern: {}}} for pattern in EVIL_PATTERNS[:4]),
    {"$ref": "#"},
    {"$ref": "#/$defs/none"},
    {"$ref": "http://127.0.0.1:1/schema.json"},
    {"$ref": "file:///etc/passwd"},
    {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    {"type": "array", "items": {"$ref": "#"}, "minItems": 1},
    {"type": "array", "minItems": 10**9},
    {"type": "array", "maxItems": 10**9, "items": {"type": "array", "maxItems": 10**9}},
    {"type": "string", "minLength": 10**9},
    {"type": "string", "minLength": 5, "maxLength": 1},
    {"type": "array", "uniqueItems": True},
    {"type": "integer", "multipleOf": 7},
    {"type": "number", "minimum": math.nan},
    {"minimum": 5, "maximum": 1, "type": "integer"},
    {"enum": []},
    {"enum": [f"word {number}" for number in range(5000)]},
    {"not": {}},
    {"if": {"type": "string"}, "then": {"minLength": 2}},
    {"anyOf": [deep(5)] * 50},
    {"oneOf": [{"type": "integer"}, {"type": "number"}]},
    {"allOf": [{"type": "string"}, {"type": "integer"}]},
    {"type": "date"},
    {"type": ["string", 5]},
    {"properties": 5},
    {"unevaluatedProperties": False, "type": "object"},
    {"unknownKeyword": 5, "type": "string"},
    {"const": {"a": [1, {"b": None}]}},
    deep(60),
    deep(200),
    wide(1000),
    {},
]


@dataclass
class Findings:
    """`answers` counts status codes; `problems` are sentences."""

    answers: Counter[int] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    slowest_seconds: float = 0.0


@dataclass(frozen=True)
class Trial:
    """A request and the parameter that is tried; `must_refuse`: it is wrong for certain."""

    route: str
    param: str
    body: dict[str, Any]
    must_refuse: bool = False


def fuzz_parameters(url: str, key: str, trials: int, seed: int) -> Findings:
    """Every answer has to be 200 or 400, the latter with the name of the
    parameter that was tried, or of one that it contradicts."""
    findings = Findings()
    with httpx.Client(
        base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=LONGEST_ANSWER_SECONDS
    ) as client:
        for trial in _trials(random.Random(seed), trials):
            _judge(client, trial, findings)
    return findings


def _judge(client: httpx.Client, trial: Trial, findings: Findings) -> None:
    text = json.dumps(trial.body)
    shown = f"{trial.route} {trial.param}: {text[:300]}"
    started = time.perf_counter()
    try:
        answer = client.post(trial.route, content=text.encode(), headers={"content-type": "application/json"})
    except httpx.HTTPError as error:
        findings.problems.append(f"{type(error).__name__} for {shown}")
        return
    findings.slowest_seconds = max(findings.slowest_seconds, time.perf_counter() - started)
    findings.answers[answer.status_code] += 1
    if answer.status_code not in (200, 400, 404) or (answer.status_code == 404 and trial.param != "model"):
        findings.problems.append(f"{answer.status_code} {answer.text[:200]} for {shown}")
    elif answer.status_code != 200:
        error = answer.json()["error"]
        named = error["param"] or ""
        if error["code"] == "invalid_json" and not _is_readable(text):
            return  # then no parameter can be named
        if not named.startswith((trial.param, *RELATED.get(trial.param, ()))):
            findings.problems.append(f"{named!r} was named for {shown}")
    elif trial.must_refuse:
        findings.problems.append(f"accepted: {shown}")


def _is_readable(text: str) -> bool:
    """Whether it is JSON for Python, which a number of too many digits is not."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


RELATED = {  # a value may be right by itself and contradict, or ask for, something else
    "max_completion_tokens": ("max_tokens",),
    "echo": ("max_tokens",),
    "prompt": ("messages", "max_tokens"),
    "messages": ("prompt", "max_tokens"),
    "tokens": ("max_tokens",),
    "n": ("prompt",),
    "tool_choice": ("tools",),
    "tools": ("messages", "max_tokens"),  # they are part of the prompt, and may be too long for it
}


def _trials(draw: random.Random, count: int) -> Iterator[Trial]:
    makers: list[Callable[[], Trial]] = []
    for route, base in ROUTES.items():
        for name in [*REQUESTS[route].model_fields, "temperatur", "__proto__"]:
            makers.append(lambda route=route, base=base, name=name: _plain(draw, route, base, name))
    schemas = [lambda: _with_schema(draw)] * (len(makers) // 2)
    wrong = [lambda: _certainly_wrong(draw)] * (len(makers) // 4)
    every = makers + schemas + wrong
    for number in range(count):
        yield (every[number % len(every)] if count >= len(every) else draw.choice(every))()


def _plain(draw: random.Random, route: str, base: dict[str, Any], name: str) -> Trial:
    value = draw.choice(NUMBERS + OTHERS)
    if draw.random() < 0.3:
        value = draw.choice([[value], {"type": value}, {"name": value, "schema": value}, [value, value]])
    extra = {"logprobs": True} if name == "top_logprobs" else {"stream": True} if name == "stream_options" else {}
    unknown = name not in base and name in ("temperatur", "__proto__")
    return Trial(route, name, base | extra | {name: value}, must_refuse=unknown)


def _certainly_wrong(draw: random.Random) -> Trial:
    route = draw.choice(["/v1/chat/completions", "/v1/completions"])
    name, values = draw.choice(
        [
            ("temperature", [math.nan, math.inf, -1, 2.5, "1", True, [1]]),
            ("top_p", [math.nan, 0, -1, 1.01, "1"]),
            ("n", [0, -1, 9, 10**30, 1.5, "1", True]),
            ("max_tokens", [-1, 10**30, 10**9, 1.5, "1", True]),
            ("seed", [2**63, -(2**63) - 1, 0.5, "1"]),
            ("presence_penalty", [math.nan, math.inf, 3, "1"]),
            ("frequency_penalty", [math.nan, math.inf, -3, "1"]),
            ("logit_bias", [{"x": 1}, {"-1": 1}, {"5": math.nan}, {"5": 1000}, {"999999": 1}, [1], 5]),
            ("stop", ["", [""], [1], 5, ["x"] * 17, "x" * 501]),
        ]
    )
    return Trial(route, name, ROUTES[route] | {name: draw.choice(values)}, must_refuse=True)


def _with_schema(draw: random.Random) -> Trial:
    """A schema to answer in, or of a tool's arguments; sometimes two evils in one."""
    schema = draw.choice(EVIL_SCHEMAS)
    if draw.random() < 0.4:
        schema = {"type": "object", "properties": {"a": schema, "b": draw.choice(EVIL_SCHEMAS)}}
    route = "/v1/chat/completions"
    if draw.random() < 0.5:
        form = {"type": "json_schema", "json_schema": {"name": "form", "schema": schema}}
        return Trial(route, "response_format", ROUTES[route] | {"response_format": form})
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    choice = draw.choice(["auto", "required"])
    return Trial(route, "tools", ROUTES[route] | {"tools": [tool], "tool_choice": choice})
