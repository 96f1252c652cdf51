"""Answers held to a form while they are written: JSON, a JSON schema, a regular expression, calls of tools.

The grammars are llguidance's: it works on bytes, so tokens that hold parts of characters are no special case.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from llguidance import LLMatcher, LLParserLimits, LLTokenizer, regex_to_lark
from llguidance.hf import from_tokenizer
from numpy.typing import NDArray

from sartor.base.errors import SartorError, UsageError
from sartor.generation.pattern_check import check_pattern
from sartor.generation.protocol import TokenConstraint
from sartor.generation.schema_check import as_json, enforceable
from sartor.generation.tool_grammar import tool_grammar

MakeConstraint = Callable[[], TokenConstraint]
WHITESPACE = r"[ \n]{1,32}"  # between the parts of JSON; without an end a small model may never write anything else
LAYOUT: Any = {"whitespace_pattern": WHITESPACE}
LIMITS = LLParserLimits(
    initial_lexer_fuel=300_000,  # 6 ms, as its documentation says
    step_lexer_fuel=100_000,  # 7 ms
    step_max_items=20_000,
    max_lexer_states=30_000,  # of up to 2 KB
    max_grammar_size=100_000,
    verbose_errors=False,
)


class Grammars:
    """Makes constraints for one tokenizer. A grammar is compiled once; what is returned makes one object an answer.

    UsageError for what cannot be kept to exactly, or is too large to be compiled quickly. May be used by several
    threads; the tokenizer is read at the first use.
    """

    def __init__(self, tokenizer: Any, stop_ids: Iterable[int]):
        self._tokenizer, self._stop_ids = tokenizer, sorted(stop_ids)
        self._lock = threading.Lock()
        self._vocabulary: _Vocabulary | None = None

    def json_object(self) -> MakeConstraint:
        """Any JSON object."""
        return self._compiled(LLMatcher.grammar_from_json_schema('{"type": "object"}', overrides=LAYOUT))

    def json_schema(self, schema: Mapping[str, Any] | bool, strict: bool = False) -> MakeConstraint:
        """JSON that is valid under the schema; what OpenAI's `strict` asks of it, see `enforceable`."""
        return self._compiled(_schema_grammar(enforceable(schema, strict)))

    def regex(self, pattern: str) -> MakeConstraint:
        """A text that matches the pattern from its beginning to its end."""
        check_pattern(pattern, "regex")
        return self._compiled(f"start: /{regex_to_lark(pattern, 'dw')}/")

    def tool_calls(
        self, tools: Sequence[Mapping[str, Any]], choice: str = "auto", parallel: bool = True
    ) -> MakeConstraint:
        """`choice`: auto (words, calls, or both), required (one call at least), or the name of the one tool to call.
        Not `parallel`: one call at most."""
        return self._compiled(tool_grammar(tools, choice, parallel, LAYOUT))

    def _compiled(self, grammar: str) -> MakeConstraint:
        vocabulary = self._read()
        matcher = LLMatcher(vocabulary.tokenizer, grammar, log_level=0, limits=LIMITS)
        try:
            # Some grammars fail, or turn out to allow nothing, only when they are first asked.
            if not _Constraint(matcher.deep_copy(), vocabulary).allowed().any():
                raise SartorError("nothing is allowed by it")
        except SartorError as error:
            raise UsageError(f"this form of answer cannot be enforced: {error.what}") from None
        return lambda: _Constraint(matcher.deep_copy(), vocabulary)

    def _read(self) -> "_Vocabulary":
        with self._lock:
            if self._vocabulary is None:
                self._vocabulary = _Vocabulary(self._tokenizer, self._stop_ids)
            return self._vocabulary


def _schema_grammar(schema: Mapping[str, Any]) -> str:
    text = as_json(schema)
    try:
        made: str = LLMatcher.grammar_from_json_schema(text, overrides=LAYOUT)
    except ValueError as error:
        raise UsageError(f"the schema cannot be enforced: {str(error)[:300]}") from None
    return made


class _Vocabulary:
    """The tokens as the grammars see them; `never` [V] are control tokens, which are no part of any text."""

    def __init__(self, tokenizer: Any, stop_ids: Sequence[int]):
        try:
            self.tokenizer: LLTokenizer = from_tokenizer(tokenizer, eos_token=list(stop_ids) or None)
        except ValueError as error:
            raise UsageError(f"this model's tokenizer cannot be held to a form: {str(error)[:300]}") from None
        self.size: int = self.tokenizer.vocab_size
        self.stop_ids = np.array(stop_ids, dtype=np.int64)
        specials = set(tokenizer.all_special_ids) | set(stop_ids)
        specials |= {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
        self.text = np.ones(self.size, dtype=np.bool_)
        self.text[sorted(specials)] = False


class _Constraint:
    """One answer's place in the grammar."""

    def __init__(self, matcher: LLMatcher, vocabulary: _Vocabulary):
        self.matcher, self._vocabulary = matcher, vocabulary
        self._mask = np.zeros((vocabulary.size + 31) // 32, dtype=np.int32)
        self._allowed = np.zeros(vocabulary.size, dtype=np.bool_)

    @property
    def finished(self) -> bool:
        return bool(self.matcher.is_stopped() and not self.matcher.is_error())

    def allowed(self) -> NDArray[np.bool_]:
        """[vocabulary]; the same memory every time. SartorError when the grammar became too large."""
        self._check()
        self._allowed[:] = False
        if not self.matcher.is_stopped():
            self.matcher.unsafe_compute_mask_ptr(self._mask.ctypes.data, self._mask.nbytes)
            self._check()
            bits = np.unpackbits(self._mask.view(np.uint8), count=self._vocabulary.size, bitorder="little")
            np.logical_and(bits.view(np.bool_), self._vocabulary.text, out=self._allowed)
        if self.matcher.is_accepting():
            self._allowed[self._vocabulary.stop_ids] = True
        return self._allowed

    def accept(self, token_id: int) -> None:
        """SartorError for a token that was not allowed."""
        self.matcher.consume_token(token_id)
        self._check()

    def _check(self) -> None:
        if self.matcher.is_error():
            raise SartorError(self.matcher.get_error().strip().split("\n")[0][:300])
