"""Settings as options: every field gets one, and what is typed arrives as it was meant."""

from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field

from sartor.base.configuration import Config
from sartor.base.errors import UsageError
from sartor.cli.main import VERBS, parser_of
from sartor.cli.options import VerbParser, add_common, add_settings, settings_from


class Lora(Config):
    rank: int = Field(8, description="rank of the update")


class Settings(Config):
    data: Path = Field(description="examples to learn from")
    out: Path = Field(description="where the run goes")
    learning_rate: float = Field(1e-4, gt=0, description="peak learning rate")
    packed: bool = Field(True, description="put rows together without padding")
    bits: Literal[4, 8] | None = Field(None, description="bits of the base, 100% by default")
    paths: tuple[Literal["prompt", "rag"], ...] = Field(("prompt", "rag"), description="what to measure")
    steps: int | None = Field(100, description="at most so many")
    ks: list[int] = Field(default_factory=lambda: [1, 3], description="passages")
    lora: Lora = Lora()
    rate: float | Literal["auto"] = Field("auto", description="rate")


def parser():
    made = VerbParser("sartor fit", epilog="example: sartor fit x.jsonl")
    add_settings(made, Settings, positional=["data"])
    add_common(made, json=True, config=True, dry_run=True)
    return made


def settings(*arguments, variables=None):
    return settings_from(parser().parse_args(list(arguments)), Settings, variables or {})


def test_defaults_stay_where_nothing_is_given():
    assert settings("x.jsonl", "--out", "run") == Settings(data=Path("x.jsonl"), out=Path("run"))


def test_every_kind_of_field():
    given = settings(
        "x.jsonl", "--out", "run", "--learning-rate", "3e-4", "--no-packed", "--bits", "8", "--paths", "rag",
        "--steps", "none", "--ks", "2", "5", "--lora.rank", "16", "--rate", "0.5",
    )  # fmt: skip
    assert given == Settings(
        data=Path("x.jsonl"), out=Path("run"), learning_rate=3e-4, packed=False, bits=8, paths=("rag",),
        steps=None, ks=[2, 5], lora=Lora(rank=16), rate=0.5,
    )  # fmt: skip
    assert settings("x", "--out", "r", "--rate", "auto").rate == "auto"
    assert settings("x", "--out", "r", "--bits", "none").bits is None


def test_file_then_environment_then_options(tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text(
        "out: from-file\ndata: d.jsonl\nlearning_rate: 0.1\nsteps: 1\nlora: {rank: 2}\npacked: false\n"
    )
    given = settings(
        "--config", str(file), "--steps", "3", variables={"SARTOR_STEPS": "2", "SARTOR_LEARNING_RATE": "0.2"}
    )
    assert (given.out, given.learning_rate, given.steps, given.lora.rank, given.packed) == (
        Path("from-file"), 0.2, 3, 2, False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "what", "where", "hint"),
    [
        ("--out r", "DATA is missing", None, "examples to learn from"),
        ("x", "--out is missing", None, "where the run goes"),
        ("x --out r --learning-rate 0", "'learning_rate' cannot be '0'", "--learning-rate", "than 0"),
        ("x --out r --steps many", "'steps' cannot be 'many'", "--steps", "integer"),
        ("x --out r --bits 5", "'bits' cannot be '5'", "--bits", "4 or 8"),
        ("x --out r --lora.rank a", "'lora.rank' cannot be 'a'", "--lora.rank", "integer"),
        ("x --out r --lerning-rate 1", "unknown option --lerning-rate", None, "--learning-rate"),
        ("x --out r --lora.rnk=4", "unknown option --lora.rnk", None, "--lora.rank"),
        ("x --out", "argument --out: expected one argument", None, "sartor fit --help"),
        ("x y --out r", "unexpected argument y", None, "sartor fit --help"),
    ],
)
def test_what_is_wrong_is_said_with_option_and_hint(arguments, what, where, hint):
    with pytest.raises(UsageError) as caught:
        settings(*arguments.split())
    assert caught.value.what == what
    assert caught.value.where == where
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2


def test_an_option_that_takes_several_may_be_given_twice():
    assert settings("x.jsonl", "--out", "o", "--ks", "1", "2", "--ks", "5").ks == [1, 2, 5]


class Several(Config):
    sources: tuple[Path, ...] = Field((), description="what to read")
    ks: list[int] = Field(default_factory=list, description="numbers")
    seed: int = Field(0, description="of chance")


@pytest.mark.parametrize("arguments", ["a b --seed 1", "--seed 1 a b", "a --seed 1 b", "a --ks 1 --seed 1 b --ks 2"])
def test_a_list_may_stand_on_both_sides_of_an_option(arguments):
    made = VerbParser("sartor many")
    add_settings(made, Several, positional=["sources"])
    given = settings_from(made.parse_args(arguments.split()), Several, {})
    assert (given.sources, given.seed) == ((Path("a"), Path("b")), 1)
    assert given.ks == ([1, 2] if "--ks" in arguments else [])
    with pytest.raises(UsageError, match="unknown option --sed"):
        made.parse_args([*arguments.split(), "--sed", "1"])
    assert made.parse_args(["--seed", "1", "--", "-odd"]).sources == ["-odd"]


@pytest.mark.parametrize(
    ("verb", "arguments", "name", "given"),
    [
        ("evaluate", "http://host/v1 --remote-model m my-task", "names", ["http://host/v1", "my-task"]),
        ("collect", "docs1 --licence CC0-1.0 t.jsonl --out c", "sources", ["docs1", "t.jsonl"]),
        ("tokenizer", "docs1 --vocab-size 400 t.jsonl", "data", ["docs1", "t.jsonl"]),
        ("models", "--json compare a --data t.jsonl b", "models", ["a", "b"]),
        ("runs", "rm a --checkpoints b --yes", "runs", ["a", "b"]),
    ],
)
def test_the_verbs_take_lists_on_both_sides(verb, arguments, name, given):
    parsed = parser_of(VERBS[verb]).parse_args(arguments.split())
    assert [str(each) for each in getattr(parsed, name)] == given


def test_help_comes_from_the_fields():
    text = " ".join(parser().format_help().split())
    for expected in (
        "DATA examples to learn from (required)",
        "--learning-rate LEARNING_RATE peak learning rate (default: 0.0001)",
        "--packed, --no-packed put rows together without padding (default: on)",
        "--bits 4|8 bits of the base, 100% by default",
        "what to measure (default: prompt rag)",
        "--lora.rank RANK rank of the update (default: 8)",
        "passages (default: 1 3)",
        "--config FILE",
        "--dry-run print the plan and stop",
        "example: sartor fit x.jsonl",
    ):
        assert expected in text


def test_a_field_without_a_form_is_refused_or_skipped():
    class Odd(Config):
        table: dict[str, int] = {}
        n: int = 1

    with pytest.raises(TypeError, match="table"):
        add_settings(VerbParser("x"), Odd)
    made = VerbParser("x")
    add_settings(made, Odd, skip=["table"])
    assert settings_from(made.parse_args(["--n", "2"]), Odd, {}) == Odd(n=2)
