"""Settings: layers, YAML as people expect it, and one-line errors with place and remedy."""

import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, field_validator

from sartor.base.configuration import Config, build, dump_yaml, environment, flags, load_yaml
from sartor.base.errors import SartorError, UsageError


class Bounds(Config):
    local_only: bool = False
    seconds: float | None = None


class Settings(Config):
    name: str
    learning_rate: float = 1e-4
    steps: int = Field(default=5, gt=0)
    kind: Literal["a", "b"] = "a"
    bounds: Bounds | None = None
    tags: list[str] = []

    @field_validator("name")
    @classmethod
    def _no_space(cls, name: str) -> str:
        if " " in name:
            raise ValueError("a name has no spaces")
        return name


def settings_file(folder: Path, text: str) -> Path:
    path = folder / "settings.yaml"
    path.write_bytes(text.encode())
    return path


def test_later_layers_win_and_mappings_merge_key_by_key(tmp_path: Path) -> None:
    file = load_yaml(settings_file(tmp_path, "name: x\nsteps: 1\nkind: b\nbounds:\n  seconds: 2\n"))
    variables = {
        "SARTOR_STEPS": "2",
        "SARTOR_LEARNING_RATE": "3e-5",
        "SARTOR_TAGS": "[a, b]",
        "SARTOR_OTHER": "1",
    }
    given_flags = flags({"steps": 3, "kind": None, "bounds": {"local_only": True}})
    built = build(Settings, file, environment(Settings, variables), given_flags)
    expected = Settings(
        name="x",
        steps=3,
        kind="b",
        learning_rate=3e-5,
        tags=["a", "b"],
        bounds=Bounds(local_only=True, seconds=2),
    )
    assert built == expected
    assert file.values["bounds"] == {"seconds": 2}  # layers themselves stay as they were


def test_a_built_configuration_cannot_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        build(Settings, flags({"name": "x"})).steps = 3


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("1e-4", 1e-4),
        ("no", "no"),
        ("1:30", "1:30"),
        ("010", "010"),
        ("0x1f", 31),
        ("true", True),
        ("2024-01-01", "2024-01-01"),
        (".inf", float("inf")),
        ("~", None),
        ("20m", "20m"),
        ("-3", -3),
    ],
)
def test_scalars_follow_the_core_schema(tmp_path: Path, written: str, read: object) -> None:
    value = load_yaml(settings_file(tmp_path, f"key: {written}")).values["key"]
    assert value == read and type(value) is type(read)


BAD_FILES = [
    ("name: x\nlerning_rate: 3", ":2", "unknown key 'lerning_rate'", "did you mean 'learning_rate'?"),
    ("name: x\nzzz: 3", ":2", "unknown key 'zzz'", "known keys: name, learning_rate, steps"),
    ("name: x\nbounds:\n  localonly: 1", ":3", "unknown key 'bounds.localonly'", "'local_only'"),
    ("name: x\nsteps: 3\nname: y", ":3", "'name' occurs twice, first in line 1", "keep one"),
    ("name: x\nbounds: {seconds: 1, seconds: 2}", ":2", "'seconds' occurs twice", "keep one"),
    ("steps: 3", "settings.yaml", "'name' is missing", "add `name: …`"),
    ("name: x\nsteps: -1", ":2", "'steps' cannot be -1", "greater than 0"),
    ("name: x\nsteps: many", ":2", "'steps' cannot be 'many'", "valid integer"),
    ("name: x\nkind: c", ":2", "'kind' cannot be 'c'", "'a' or 'b'"),
    ("name: x\nbounds: 3", ":2", "'bounds' cannot be 3", "mapping"),
    ("name: x\nlearning_rate: .nan", ":2", "'learning_rate' cannot be nan", "finite"),
    ("name: a b", ":1", "'name' cannot be 'a b'", "no spaces"),
    ("name: x\nsteps: 0\nkind: c", ":2", "(also wrong: kind)", "greater than 0"),
    ("a: b: c", ":1", "mapping values are not allowed", "quotes"),
    ("name: x\n\tsteps: 1", ":2", "cannot be read as YAML", "spaces, not tabs"),
    ("- 1", ":1", "holds no keys", "key: value"),
    ("just text", ":1", "holds no keys", "key: value"),
    ("name: &a x\nkind: *a", ":2", "aliases", "key: value"),
    ("name: !!python/object/apply:os.getcwd []", ":1", "constructor", "key: value"),
    ("name: " + "[" * 3000, "settings.yaml", "nested too deeply", "short lists"),
    ("name: x\nsteps: " + "1" * 5000, ":2", "too many digits", "key: value"),
    ("1: x", ":1", "a key must be a name", "key: value"),
    ("name: a\x01b", ":1", "character that YAML forbids", "control character"),
    ("name: [", ":1", "cannot be read as YAML", "key: value"),
    ("---\nname: x\n---\nname: y", ":3", "another document", "key: value"),
]


@pytest.mark.parametrize(("text", "place", "what", "hint"), BAD_FILES, ids=[bad[0][:25] for bad in BAD_FILES])
def test_a_bad_file_is_one_line_with_place_and_hint(
    tmp_path: Path, text: str, place: str, what: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        build(Settings, load_yaml(settings_file(tmp_path, text)))
    error = caught.value
    assert error.where and error.where.endswith(place)
    assert what in error.what and "\n" not in error.what
    assert error.hint and hint in error.hint
    assert error.exit_code == 2


def test_the_place_is_the_layer_that_set_the_value(tmp_path: Path) -> None:
    file = load_yaml(settings_file(tmp_path, "name: x\nsteps: 3"))
    with pytest.raises(UsageError) as caught:
        build(Settings, file, environment(Settings, {"SARTOR_STEPS": "0"}))
    assert caught.value.where == "SARTOR_STEPS"
    with pytest.raises(UsageError) as caught:
        build(Settings, file, flags({"learning_rate": "fast"}))
    assert caught.value.where == "--learning-rate"
    with pytest.raises(UsageError) as caught:
        environment(Settings, {"SARTOR_TAGS": "[a"})
    assert caught.value.where == "SARTOR_TAGS"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    settings_file(tmp_path, "name: x")
    with pytest.raises(UsageError, match="did you mean .*settings.yaml"):
        load_yaml(tmp_path / "setings.yaml")
    with pytest.raises(UsageError, match="is a folder"):
        load_yaml(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"name: x\nkind: caf\xe9\n")
    with pytest.raises(UsageError, match=r"latin.yaml:2: is not UTF-8"):
        load_yaml(tmp_path / "latin.yaml")
    (tmp_path / "huge.yaml").write_bytes(b"a: b\n" * 300_000)
    with pytest.raises(UsageError, match="too large"):
        load_yaml(tmp_path / "huge.yaml")


def test_an_empty_file_sets_nothing_and_a_byte_order_mark_is_no_key(tmp_path: Path) -> None:
    assert load_yaml(settings_file(tmp_path, "# nothing\n")).values == {}
    assert load_yaml(settings_file(tmp_path, "\ufeffname: x")).values == {"name": "x"}


names = st.text(st.characters(codec="utf-8", exclude_characters=" "), max_size=20)


@given(
    name=names,
    tags=st.lists(names | st.sampled_from(["yes", "1e-4", "010", "0x1f", "~", "1:30", "null"])),
    learning_rate=st.floats(allow_nan=False, allow_infinity=False),
)
def test_dumped_settings_are_read_back_equal(
    tmp_path_factory: pytest.TempPathFactory, name: str, tags: list[str], learning_rate: float
) -> None:
    settings = Settings(name=name, tags=tags, learning_rate=learning_rate, bounds=Bounds(seconds=2))
    path = tmp_path_factory.mktemp("dumped") / "settings.yaml"
    path.write_text(dump_yaml(settings), encoding="utf-8", newline="")
    assert build(Settings, load_yaml(path)) == settings


@given(text=st.text(max_size=60) | st.text(alphabet="ab:{}[]&*!|>-\n\t '\"#%@,?0.e~", max_size=40))
def test_any_text_is_read_or_refused_by_name(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("any") / "settings.yaml"
    path.write_bytes(text.encode())
    try:
        build(Settings, load_yaml(path))
    except SartorError as error:
        assert error.hint


def test_importing_configuration_loads_neither_torch_nor_numpy() -> None:
    code = "import sys, sartor.base.configuration; print({'torch', 'numpy', 'pyarrow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_what_a_command_works_on_is_not_taken_from_the_environment() -> None:
    class Working(Config):
        source: str
        data: list[str] = []
        steps: int = 1

    variables = {"SARTOR_SOURCE": "elsewhere", "SARTOR_DATA": "/a/folder", "SARTOR_STEPS": "3"}
    assert environment(Working, variables).values == {"steps": "3"}
