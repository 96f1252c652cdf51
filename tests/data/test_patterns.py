"""The guard against patterns whose matching takes exponential time, or a high power."""

import re
import time

import pytest

from sartor.data.pattern_cost import TEXT_CHARACTERS
from sartor.data.patterns import bad_pattern


@pytest.mark.parametrize("pattern", [
    r"(a+)+b", r"(a|a?)+b", r"(\w+\s*)+", r"(?:a|ab)*c", r"(?i)(?:ax|Ay)*c", r"(a{1,9}){10,}", r"((ab?)*c?)*",
    r"(.|a)*b", r"(?=(a+)+b)x",
])
def test_patterns_that_can_explode_are_refused(pattern: str) -> None:
    assert bad_pattern(pattern) is not None


@pytest.mark.parametrize("pattern", [
    r"\d{1,3}(,\d{3})*(\.\d+)?", r"(?:foo|bar)+", r"(\d++, )*\d+", r"(?>a|ab)*c", r"\s*(yes|no)[.!]*\s*",
    r"[ab|c]+x",
    r"(\d{1,3}\.){3}\d{1,3}", r"(a+)?b+", r"(?s:.)*42", r"(x)(?(1)y+|z)", r"(?:abc)*",
])
def test_common_patterns_are_allowed(pattern: str) -> None:
    assert bad_pattern(pattern) is None


@pytest.mark.parametrize("pattern", [
    r"(?s).*\d+.*\d+.*\d+.*\d+.*apples", r".*.*.*.*b", r".*a.*a.*a.*b", r"(?i)[a-m]*[A-M]*[a-m]*A*1", r"\w*\d*\w*\d*-",
    r"(\w+\s*){1,9}-", r"(a*)(b?a*)(b?a*)(b?a*)c", r"(?>.*.*.*.*b)", r"(?=.*.*.*.*b).", r"(?:x|.*.*.*.*)b",
    r"\d{1,3000}\d{1,3000}\d{1,3000}\d{1,3000}x", r"(?:ab)*(?:ba|ab)*(?:ab)*[ab]*c", r".+ .+ .+ .+",
])
def test_many_repeats_that_can_share_a_text_are_refused_with_what_to_do(pattern: str) -> None:
    what, hint = bad_pattern(pattern) or ("", "")
    assert "hours" in what and "different characters" in hint


@pytest.mark.parametrize("pattern", [
    r".*answer: \d+.*", r"(?s).*\d+.*apples", r"[\w.+-]+@[\w-]+\.[\w.-]+", r"\d{1,2}[./-]\d{1,2}[./-]\d{2,4}",
    r"\d+\s\+\s\d+\s=\s\d+", r"(?s).*red.*green.*blue.*", r".*\n.*\n.*\n.*\n.*", r"\w+ \w+ \w+ \w+ \w+",
    r"(\w+\s+){0,8}\w+",
    r".*?([-+]?\d+(\.\d+)?([eE][-+]?\d+)?)\s*", r'\s*\{\s*"a"\s*:\s*\d+\s*,\s*"b"\s*:\s*"[^"]*"\s*\}\s*',
    r"(?s)<think>.*</think>\s*<answer>.*</answer>\s*", r"(?s)(?>.*?red)(?>.*?green)(?>.*?blue)(?>.*?black).*",
    r"(?:Mr|Mrs|Ms)\.? [A-Z]\w+(?: [A-Z]\w+){0,3}", r"\D*\d+\D+\d+\D+\d+\D+\d+\D*", r"\s*[A-D]\s*[.)]?\s*",
    r"(?:\d{3}-){2}\d{4}", r"(\d{1,3}\.){3}\d{1,3}(:\d{1,5})?", r"\$?\d{1,3}(,\d{3})*(\.\d{2})?\s*(USD|dollars)?",
])
def test_usual_sequences_are_allowed(pattern: str) -> None:
    assert bad_pattern(pattern) is None


@pytest.mark.parametrize("pattern", [
    r"\D*\d+\D+\d+\D+\d+\D+\d+x", r"(?s)(?>.*?a)(?>.*?b)(?>.*?a)(?>.*?b)x", r".*\d.*x",
])
@pytest.mark.parametrize("text", ["1", "a1", "ab"])
def test_what_is_allowed_in_their_place_is_quick(pattern: str, text: str) -> None:
    assert bad_pattern(pattern) is None
    begun = time.process_time()
    assert not re.fullmatch(pattern, text * (TEXT_CHARACTERS // len(text)))
    assert time.process_time() - begun < 5
