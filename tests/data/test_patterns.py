"""The guard against patterns whose matching takes exponential time."""

import pytest

from sartor.data.patterns import is_explosive


@pytest.mark.parametrize("pattern", [
    r"(a+)+b", r"(a|a?)+b", r"(\w+\s*)+", r"(?:a|ab)*c", r"(?i)(?:ax|Ay)*c", r"(a{1,9}){10,}", r"((ab?)*c?)*",
    r"(.|a)*b", r"(?=(a+)+b)x",
])
def test_patterns_that_can_explode_are_refused(pattern: str) -> None:
    assert is_explosive(pattern)


@pytest.mark.parametrize("pattern", [
    r"\d{1,3}(,\d{3})*(\.\d+)?", r"(?:foo|bar)+", r"(\d++, )*\d+", r"(?>a|ab)*c", r"\s*(yes|no)[.!]*\s*",
    r"[ab|c]+x",
    r"(\d{1,3}\.){3}\d{1,3}", r"(a+)?b+", r"(?s:.)*42", r"(x)(?(1)y+|z)", r"(?:abc)*",
])
def test_common_patterns_are_allowed(pattern: str) -> None:
    assert not is_explosive(pattern)
