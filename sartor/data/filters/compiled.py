"""Functions compiled to machine code by numba, kept on disk between runs.

numba looks at one file only to see whether its compiled form still holds, but these functions call each other across
files. So the compiled code lies in a folder that is named after the content of all files that hold some.
"""

import hashlib
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile at the first call; later runs load the machine code."""
    settings: Any = numba.config
    before = settings.CACHE_DIR  # NUMBA_CACHE_DIR, where the user says so
    settings.CACHE_DIR = before or _folder()
    try:
        compile_function: Any = numba.njit(cache=bool(settings.CACHE_DIR), nogil=True)
        made: Function = compile_function(function)
    finally:
        settings.CACHE_DIR = before
    return made


@lru_cache(maxsize=1)
def _folder() -> str:
    """Where compiled code is kept; empty where nothing can be written, so that every run compiles anew."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    content = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        source = path.read_bytes()
        if b"import compiled" in source:
            content.update(path.name.encode() + b"\0" + source)
    folder = cache / "sartor" / "compiled" / content.hexdigest()[:16]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return ""
    return str(folder)
