"""Filters on metadata, exactly: which documents have the fields and values that a question asks for.

Numbers equal numbers (1 is 1.0), texts equal texts, truth values equal truth values, and nothing else.
"""

import math
import sqlite3
from collections.abc import Mapping, Sequence

import numpy as np

from sartor.base.errors import UsageError
from sartor.data.extract import Scalar
from sartor.retrieval.protocol import Where


def filter_key(value: Scalar) -> str | None:
    """The text under which a value is stored and looked up; None for what equals nothing (not a number)."""
    if isinstance(value, bool):
        return f"truth {value}"
    if isinstance(value, str):
        return f"text {value}"
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return f"number {int(value)}" if value.is_integer() else f"number {value!r}"
    return f"number {value}"


def field_rows(metadata: Mapping[str, Scalar]) -> list[tuple[str, str]]:
    """(field, key) for all that can be asked for."""
    keys = [(field, filter_key(value)) for field, value in metadata.items()]
    return [(field, key) for field, key in keys if key is not None]


def checked(where: Where) -> dict[str, list[str]]:
    """For every field the keys of the values it may have; UsageError for a value of another type."""
    wanted: dict[str, list[str]] = {}
    for field, value in where.items():
        several = [value] if isinstance(value, Scalar) or not isinstance(value, Sequence) else list(value)
        for one in several:
            if not isinstance(one, Scalar):
                raise UsageError(
                    f"a filter compares with a text, a number or true/false, not with {type(one).__name__}",
                    where=f"where, {field}",
                    hint='like {"type": "markdown"} or {"year": [2024, 2025]}',
                )
        wanted[field] = [key for key in map(filter_key, several) if key is not None]
    return wanted


def allowed_documents(connection: sqlite3.Connection, where: Where) -> np.ndarray:
    """The numbers of the documents that have every field asked for with one of its values, int64, ascending."""
    found: np.ndarray | None = None
    for field, keys in checked(where).items():
        numbers = np.array(
            [
                number
                for key in keys
                for (number,) in connection.execute(
                    "SELECT document FROM fields WHERE field = ? AND value = ?", (field, key)
                )
            ],
            dtype=np.int64,
        )
        found = np.unique(numbers) if found is None else np.intersect1d(found, numbers)
    return np.zeros(0, dtype=np.int64) if found is None else found
