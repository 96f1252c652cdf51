"""Keys of remote services: read from an environment variable or a file, never shown."""

import os
import re
from pathlib import Path

from sartor.base.errors import UsageError

SHORTEST_MASKED_KEY = 4  # shorter ones (a local server's "x") would black out ordinary words


def read_key(variable: str | None = None, file: str | os.PathLike[str] | None = None) -> str | None:
    """The key in the environment `variable` or in `file`; None when neither is named.

    UsageError when it is not there or cannot be a key.
    """
    if variable is not None and file is not None:
        raise UsageError("the key is to come from a variable and from a file", hint="name one of the two")
    if variable is not None:
        return _checked(os.environ.get(variable, ""), _shown(variable))
    if file is not None:
        try:
            return _checked(Path(file).read_text("utf-8"), f"the file {file}")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError("the key file cannot be read", where=str(file), hint="check the path") from error
    return None


def masked(text: str, key: str | None) -> str:
    """`text` without the key, whoever wrote it there."""
    return text.replace(key, "(key)") if key and len(key) >= SHORTEST_MASKED_KEY else text


def _checked(raw: str, place: str) -> str:
    key = raw.strip()
    if not key:
        raise UsageError(f"{place} holds no key", hint="put the key there; flags never carry one")
    if not re.fullmatch(r"[!-~]+", key):
        raise UsageError(f"{place} holds what is no key", hint="a key is one line of ASCII without spaces")
    return key


def _shown(variable: str) -> str:
    """The variable's name, unless it looks as if the key itself had been given in its place."""
    named = re.fullmatch(r"[A-Z_][A-Z0-9_]{0,39}", variable)
    return f"the environment variable {variable}" if named else "the environment variable named for the key"
