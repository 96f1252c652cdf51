"""How byte-level BPE tokenizers cut text into words before they merge bytes: the few rules that are in common use.

A word never goes on into the next one, so what is here decides what can become a token.
"""

from collections.abc import Mapping
from typing import Any

from tokenizers import Regex, pre_tokenizers

_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
THREE_DIGITS = rf"{_WORDS}|\p{{N}}{{1,3}}|{_REST}"  # Llama 3
ONE_DIGIT = rf"{_WORDS}|\p{{N}}|{_REST}"  # Qwen 2
DIGITS = "digits"  # every digit apart, then GPT-2's rule
GPT2 = "gpt2"
KNOWN_RULES = (THREE_DIGITS, ONE_DIGIT, DIGITS, GPT2)


def splitter(rule: str) -> Any:
    """The pre-tokenizer of a rule: DIGITS, GPT2 or a pattern."""
    by_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=rule in (DIGITS, GPT2))
    if rule == DIGITS:
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), by_bytes])
    if rule == GPT2:
        return pre_tokenizers.Sequence([by_bytes])
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(rule), "isolated"), by_bytes])


def rule_of(pre_tokenizer: Mapping[str, Any] | None) -> str | None:
    """The rule (DIGITS, GPT2 or a pattern) of a tokenizer.json's `pre_tokenizer`; None for one of another kind."""
    if pre_tokenizer is None:
        return None
    parts = pre_tokenizer["pretokenizers"] if pre_tokenizer["type"] == "Sequence" else [pre_tokenizer]
    kinds = [part["type"] for part in parts]
    if not parts or kinds[-1] != "ByteLevel" or parts[-1]["add_prefix_space"]:
        return None
    own_rule = parts[-1]["use_regex"]
    if kinds == ["ByteLevel"] and own_rule:
        return GPT2
    if kinds == ["Digits", "ByteLevel"] and own_rule and parts[0]["individual_digits"]:
        return DIGITS
    if kinds == ["Split", "ByteLevel"] and not own_rule:
        isolated = parts[0]["behavior"] == "Isolated" and not parts[0]["invert"]
        pattern: str | None = parts[0]["pattern"].get("Regex") if isolated else None
        return pattern
    return None
