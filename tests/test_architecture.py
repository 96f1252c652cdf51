"""The one-way rule and the other laws of the house, checked on the source itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "sartor"
SOURCES = sorted(PACKAGE.rglob("*.py"))
RANKS = {
    "base": 0,
    "data": 1,
    "models": 1,
    "reporting": 1,
    "adapters": 2,
    "generation": 3,
    "train": 4,
    "retrieval": 4,
    "evaluation": 4,
    "recipes": 5,
    "serving": 5,
    "choosing": 6,
    "api": 7,
    "cli": 7,
    "__main__": 8,
}
# Functions that a verb calls: the settings beside them are read for its help, so what is heavy waits inside.
LAZY_ENTRIES = {"recipes": ("run",), "choosing": ("run", "rescore")}
LONGEST_FILE_LINES = 450
HEAVY_LIBRARIES = {
    "bitsandbytes", "daft", "datasets", "gguf", "jinja2", "matplotlib", "numpy", "openai", "psycopg", "pyarrow",
    "pypdfium2", "ray", "resiliparse", "rich", "starlette", "tokenizers", "torch", "transformers", "uvicorn",
}  # fmt: skip


def room_of(module: str) -> str | None:
    """`sartor.data.records` -> `data`; None for the package itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else None


def imports(node: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, module) of an import statement; a relative import's module begins with a dot."""
    if isinstance(node, ast.Import):
        yield from ((node.lineno, alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        module = "." * node.level + (node.module or "")
        if module == "sartor":  # `from sartor import data` is an import of the room
            yield from ((node.lineno, f"sartor.{alias.name}") for alias in node.names if alias.name in RANKS)
        else:
            yield node.lineno, module


def wrong_ranks(module: str, source: str) -> list[str]:
    """Imports of `module` that go up, sideways, or by a relative path."""
    room = room_of(module)
    problems = []
    for node in ast.walk(ast.parse(source, filename=module)):
        for line, imported in imports(node):
            if imported.startswith("."):
                problems.append(f"{module}:{line} imports by a relative path")
            if imported.split(".")[0] != "sartor" or room is None:
                continue
            other = room_of(imported)
            if other is not None and other != room and RANKS[other] >= RANKS[room]:
                problems.append(f"{module}:{line} imports {imported}: {room} may not see {other}")
    return problems


def wrong_local_imports(module: str, source: str) -> list[str]:
    """Imports inside functions, apart from heavy libraries at an edge and the command line's lazy loading."""
    problems = []
    for function in ast.walk(ast.parse(source, filename=module)):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        room = room_of(module)
        lazy = room == "cli" or function.name in LAZY_ENTRIES.get(room, ())
        for node in ast.walk(function):
            for line, imported in imports(node):
                top = imported.split(".")[0]
                if top not in HEAVY_LIBRARIES and not (top == "sartor" and lazy):
                    problems.append(f"{module}:{line} imports {imported} inside {function.name}()")
    return problems


def dangers(module: str, source: str) -> list[str]:
    """Ways to run code that came as data: pickle, torch.load, eval, exec, trust_remote_code, allow_pickle."""
    problems = []
    for node in ast.walk(ast.parse(source, filename=module)):
        names = [imported.split(".")[0] for _, imported in imports(node)]
        problems += [
            f"{module} imports {name}" for name in names if name in ("pickle", "dill", "shelve", "marshal")
        ]
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called in ("eval", "exec", "torch.load", "torch.save", "yaml.unsafe_load", "yaml.full_load"):
            problems.append(f"{module}:{node.lineno} calls {called}")
        for keyword in node.keywords:
            allowed = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
            if keyword.arg in ("trust_remote_code", "allow_pickle") and not allowed:
                problems.append(f"{module}:{node.lineno} passes {keyword.arg}")
    return problems


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


@pytest.mark.parametrize("check", [wrong_ranks, wrong_local_imports, dangers])
def test_the_package_keeps_the_rule(check):
    assert len(SOURCES) > 20
    problems = [problem for path in SOURCES for problem in check(module_name(path), path.read_text())]
    assert not problems, "\n".join(problems)


def test_every_room_has_a_rank():
    rooms = {path.parent.name for path in PACKAGE.glob("*/*.py")}
    assert rooms <= RANKS.keys()


def test_files_are_short_and_named_after_what_they_hold():
    lengths = {module_name(path): len(path.read_text().splitlines()) for path in SOURCES}
    assert not {name: length for name, length in lengths.items() if length > LONGEST_FILE_LINES}
    assert not [
        name for name in lengths if name.rpartition(".")[2] in ("utils", "util", "helpers", "misc", "common")
    ]


@pytest.mark.parametrize(
    ("check", "module", "source"),
    [
        (wrong_ranks, "sartor.base.console", "from sartor.data.records import Row"),
        (wrong_ranks, "sartor.data.chat", "import sartor.models.hub"),
        (wrong_ranks, "sartor.train.loop", "def f():\n    from sartor import retrieval"),
        (wrong_ranks, "sartor.train.loop", "from ..choosing import verdict"),
        (wrong_ranks, "sartor.serving.app", "from sartor.recipes.finetune import run"),
        (wrong_local_imports, "sartor.data.chat", "def f():\n    import json"),
        (
            wrong_local_imports,
            "sartor.recipes.finetune",
            "def plan():\n    from sartor.train.loop import fit",
        ),
        (wrong_local_imports, "sartor.train.loop", "def run():\n    from sartor.base import seeds"),
        (dangers, "sartor.base.seeds", "import pickle"),
        (dangers, "sartor.models.hub", "torch.load(path)"),
        (dangers, "sartor.models.hub", "load(path, trust_remote_code=flag)"),
        (dangers, "sartor.evaluation.runner", "value = eval(text)"),
    ],
)
def test_a_breach_is_found(check, module, source):
    assert len(check(module, source)) == 1


@pytest.mark.parametrize(
    ("check", "module", "source"),
    [
        (wrong_ranks, "sartor.train.objectives.causal_lm", "from sartor.train.log_probs import x"),
        (wrong_ranks, "sartor.choosing.paths", "from sartor.recipes import finetune"),
        (wrong_local_imports, "sartor.recipes.finetune", "def run():\n    from sartor.train.loop import fit"),
        (wrong_local_imports, "sartor.base.console", "def f():\n    from rich.console import Console"),
        (dangers, "sartor.models.hub", "model.eval()\nload(path, trust_remote_code=False)"),
    ],
)
def test_what_is_allowed_passes(check, module, source):
    assert check(module, source) == []
