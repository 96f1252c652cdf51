"""Reward by a Python function of the user's own."""

import difflib
import inspect
import math
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from hashlib import sha256
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from numbers import Real
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from sartor.base.errors import SartorError, UsageError
from sartor.train.rewards.protocol import Answered

SIGNATURE = "f(answer: str, prompt: list[dict], answers: list[str]) -> float"


class UserFunction:
    """What `function` in the Python file `file` returns for `(answer, prompt, answers)`.

    The file is run, with all rights that the user has: that is what giving it asks for. It is run when the reward is
    made, and exactly this file: never a compiled copy of it, and its folder is not searched for imports. `prompt` and
    `answers` are copies that the function may change; `answers` is empty for a row without accepted answers. An error
    inside the function stops the run and is told with its place in the file and with the row, and so is a result that
    is not a finite number. What the file prints goes to stderr: stdout is the data of the command. UsageError when
    there is no such file or function, when the file itself fails, or when the function does not take three arguments.
    """

    def __init__(self, file: str, function: str):
        self.name = function
        self._path = Path(file).resolve()
        self._call = _function_in(_loaded(self._path), function, self._path)

    def score(self, answered: Sequence[Answered]) -> list[float]:
        return [self._score(each) for each in answered]

    def _score(self, each: Answered) -> float:
        try:
            with redirect_stdout(sys.stderr):
                value = self._call(each.text, [dict(message) for message in each.messages], list(each.answers))
        except (Exception, SystemExit) as error:
            what = f"{self.name} failed on an answer to {each.where}: {type(error).__name__}: {error}"
            raise SartorError(what, where=_place(error, self._path), hint="mend the function") from error
        number = _finite(value)
        if number is None:
            what = f"{self.name} returned {_shown(value)} for an answer to {each.where}"
            raise SartorError(what, where=str(self._path), hint="return a finite number")
        return number


def _finite(value: Any) -> float | None:
    """The value as a number; None where it is none, or none that is finite."""
    try:
        number = float(value) if isinstance(value, Real) else math.nan
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _shown(value: Any) -> str:
    if isinstance(value, int):
        return f"a whole number of {value.bit_length():,} bits"  # too many digits to be shown
    return repr(value) if isinstance(value, float) else f"{type(value).__name__} {value!r:.60}"


class _NeverCompiled(SourceFileLoader):
    """Neither reads nor writes `__pycache__`, which could hold what the file said before."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _loaded(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError("there is no such file", where=str(path), hint="python:FILE.py:FUNCTION")
    name = f"sartor_reward_{sha256(str(path).encode()).hexdigest()}"
    spec = spec_from_file_location(name, path, loader=_NeverCompiled(name, str(path)))
    assert spec is not None and spec.loader is not None, "a spec with a given loader always has it"
    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and annotations in the file look their module up
    try:
        with redirect_stdout(sys.stderr):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        what = f"the file cannot be run: {type(error).__name__}: {error}"
        raise UsageError(what, where=_place(error, path), hint="try it with `python FILE.py`") from error
    return module


def _function_in(module: ModuleType, name: str, path: Path) -> Callable[..., Any]:
    function = getattr(module, name, None)
    if not callable(function):
        names = [each for each, value in vars(module).items() if callable(value)]
        nearest = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else f"define {SIGNATURE}"
        raise UsageError(f"there is no function {name} in the file", where=str(path), hint=hint)
    try:
        inspect.signature(function).bind("", [], [])
    except TypeError as error:
        raise UsageError(f"{name} cannot be called: {error}", where=str(path), hint=f"define {SIGNATURE}") from error
    except ValueError:
        pass  # what is written in C may not say what it takes; the first call will show
    return function


def _place(error: BaseException, path: Path) -> str:
    """`file:line` of the innermost line of this file that was running, or that could not be parsed."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"{path}:{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path}:{lines[-1]}" if lines else str(path)
