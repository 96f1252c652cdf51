"""The one rendering of a conversation: token ids, and which of them are learnt.

Training, evaluation, rollouts and serving all call this file, so what a model is trained on is what it is asked with.
A conversation's text is cut where the assistant begins and ends to speak and the pieces are tokenized one by one:
the ids before an answer are therefore exactly the ids that generation is prompted with, for every tokenizer.
"""

import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from jinja2 import TemplateError

from sartor.base.errors import DataError
from sartor.data.records import Conversation, Message

# For base models that come without a chat template. `eos_token` ends every answer.
PLAIN_TEMPLATE = (
    "{{ bos_token or '' }}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + '\\n\\n' }}"
    "{% elif message['role'] == 'user' %}{{ 'Question: ' + message['content'] + '\\n' }}"
    "{% else %}{{ 'Answer: ' + message['content'] + eos_token + '\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Answer: ' }}{% endif %}"
)


# Why nothing can be learnt where a finished answer does not go on from what the model is asked with.
ASKS_OTHERWISE = "the model's chat template asks for answers otherwise than it writes them"
ASKS_OTHERWISE_HINT = (
    "some templates begin the thinking when they ask, and leave it out of answers: give the model one that does neither"
)
ANSWER_MARK = "(answer)"  # stands for an answer where only the text behind it is looked at

Tools = Sequence[Mapping[str, Any]]  # in the form of OpenAI's API
Value = TypeVar("Value")


@dataclass(frozen=True)
class Rendered:
    """`ids` and, for each, whether it is `trained` (an assistant's words or the end of its turn)."""

    ids: list[int]
    trained: list[bool]
    where: str = ""

    @property
    def num_tokens(self) -> int:
        return len(self.ids)

    @property
    def num_trained(self) -> int:
        return sum(self.trained)


class ChatFormat:
    """How one model's tokenizer and chat template write conversations."""

    def __init__(self, tokenizer: Any):
        self.tokenizer = tokenizer
        self.template: str = tokenizer.chat_template or PLAIN_TEMPLATE
        self.template_hash = hashlib.sha256(self.template.encode()).hexdigest()
        self.has_own_template = bool(tokenizer.chat_template)
        if not self.has_own_template and tokenizer.eos_token is None:
            raise DataError(
                "the tokenizer names no token that ends a text",
                where=str(tokenizer.name_or_path) or None,
                hint="set eos_token in tokenizer_config.json",
            )
        specials = {str(token) for token in tokenizer.all_special_tokens}
        specials |= {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
        self.special_tokens = sorted(specials, key=len, reverse=True)
        self.special_ids = set(tokenizer.convert_tokens_to_ids(self.special_tokens))
        self._anchor = self._find_anchor()
        self.stop_ids = self._find_stop_ids()

    # --- what callers use -----------------------------------------------------------------------------------------

    def prompt(self, messages: Conversation, tools: Tools = ()) -> list[int]:
        """Ids that ask the model for the next assistant turn. `tools` are for templates that know them."""
        pieces, typed = self._pieces(messages, asking=True, tools=tools)
        return [token for text, _ in pieces for token in self._encode(text, typed)]

    def render(self, messages: Conversation, where: str = "") -> list[Rendered]:
        """The conversation as training rows: one, unless the template rewrites earlier turns when later ones come
        (some drop earlier thinking); then one row a turn, each exactly as it would be asked."""
        answers = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
        if not answers:
            raise DataError(
                "no assistant turn, so there is nothing to learn",
                where=where,
                hint="end the conversation with the answer to learn",
            )
        conversation = messages[: answers[-1] + 1]
        if self._grows(conversation, answers):
            return [self._row(conversation, where, learn_from=0)]
        return [self._row(messages[: index + 1], where, learn_from=index) for index in answers]

    def text(self, text: str, where: str = "") -> Rendered:
        """Running text: every token is learnt, with the end-of-text token behind it."""
        safe, typed = self._protect(text)
        ids = self._encode(safe, typed) + [self.tokenizer.eos_token_id]
        if self.tokenizer.bos_token_id is not None and self.tokenizer.bos_token_id != self.tokenizer.eos_token_id:
            ids = [self.tokenizer.bos_token_id, *ids]
            return Rendered(ids, [False] + [True] * (len(ids) - 1), where)
        return Rendered(ids, [True] * len(ids), where)

    def decode(self, ids: Sequence[int]) -> str:
        """Text without control tokens."""
        text: str = self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    @functools.cached_property
    def writes_tool_calls(self) -> bool:
        """Whether the template shows tools to the model, and writes calls as a line of JSON in `<tool_call>`."""
        asked = Message(role="user", content="a")
        call = {"type": "function", "function": {"name": "b", "arguments": {"c": "d"}}}
        tool = {"name": "b", "description": "e", "parameters": {"type": "object", "properties": {}}}
        try:
            shown = self._apply([asked], True, [{"type": "function", "function": tool}])
            written = self._apply([asked, Message(role="assistant", content="", tool_calls=[call])], False)
        except (TemplateError, TypeError):  # of templates that add a message's parts up
            return False
        return shown != self._apply([asked], True) and _TOOL_CALL.search(written) is not None

    # --- pieces ---------------------------------------------------------------------------------------------------

    def _row(self, messages: Conversation, where: str, learn_from: int) -> Rendered:
        pieces, typed = self._pieces(messages, asking=False)
        ids: list[int] = []
        trained: list[bool] = []
        for text, turn in pieces:
            tokens = self._encode(text, typed)
            learn = turn is not None and turn >= learn_from
            end = self._end_of_turn(tokens) if learn else 0
            ids += tokens
            trained += [learn and place < end for place in range(len(tokens))]
        return Rendered(ids, trained, where)

    def _end_of_turn(self, tokens: list[int]) -> int:
        """How many of a turn's tokens are learnt: up to the first that ends an answer, since nothing behind it is ever
        generated; else up to its last control token, or all if it has none."""
        stops = [place for place, token in enumerate(tokens) if token in self.stop_ids]
        if stops:
            return stops[0] + 1
        controls = [place for place, token in enumerate(tokens) if token in self.special_ids]
        return controls[-1] + 1 if controls else len(tokens)

    def _grows(self, messages: Conversation, answers: list[int]) -> bool:
        """Whether the text only ever grows at its end as turns are added."""
        text = ""
        for index in answers:
            for next_text in (self._text(messages[:index], asking=True), self._text(messages[: index + 1])):
                if not next_text.startswith(text):
                    return False
                text = next_text
        return True

    def _pieces(
        self, messages: Conversation, asking: bool, tools: Tools = ()
    ) -> tuple[list[tuple[str, int | None]], "re.Pattern[str]"]:
        """Text pieces in order, each with the index of the assistant turn it holds (None for everything else)."""
        (messages, tools), typed = self._protect((messages, tools))
        text = self._text(messages, asking, tools)
        pieces: list[tuple[str, int | None]] = []
        done = 0
        for index, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            before = self._text(messages[:index], True, tools)
            after = self._text(messages[: index + 1], False, tools)
            if not (text.startswith(after) and after.startswith(before)):
                continue  # this turn is rewritten by the template; it stays part of the text around it
            pieces += [(text[done : len(before)], None), (text[len(before) : len(after)], index)]
            done = len(after)
        pieces.append((text[done:], None))
        return [piece for piece in pieces if piece[0]], typed

    def _text(self, messages: Conversation, asking: bool = False, tools: Tools = ()) -> str:
        try:
            return self._apply(messages, asking, tools)
        except TemplateError as error:
            folded = fold_system(messages)
            if folded is None:
                raise DataError(
                    f"the model's chat template refuses this conversation: {error}",
                    hint="user and assistant turns must alternate, the user first",
                ) from None
            return self._text(folded, asking, tools)

    def _apply(self, messages: Conversation, asking: bool, tools: Tools = ()) -> str:
        if not messages:
            return ""
        text: str = self.tokenizer.apply_chat_template(
            messages,
            tools=list(tools) or None,
            tokenize=False,
            add_generation_prompt=asking,
            chat_template=self.template,
        )
        return text

    # --- tokens ---------------------------------------------------------------------------------------------------

    def _protect(self, value: Value) -> tuple[Value, "re.Pattern[str]"]:
        """Control tokens that somebody typed become marks that no template or tokenizer knows, in every text of the
        value (a text, messages, tools)."""
        contents = "".join(_texts(value))
        if not any(token in contents for token in self.special_tokens):
            return value, _protect_nothing
        left, right = (chr(code) for code in _unused_code_points(contents))
        known = re.compile("|".join(re.escape(token) for token in self.special_tokens))

        def mark(found: "re.Match[str]") -> str:
            return f"{left}{self.special_tokens.index(found.group())}{right}"

        def safe(part: Any) -> Any:
            if isinstance(part, str):
                return known.sub(mark, part)
            if isinstance(part, Mapping):
                return {safe(name): safe(each) for name, each in part.items()}
            return [safe(each) for each in part] if isinstance(part, (list, tuple)) else part

        return cast(Value, safe(value)), re.compile(f"{left}(\\d+){right}")

    def _encode(self, text: str, typed: "re.Pattern[str]") -> list[int]:
        """Ids of one piece of rendered text; marks of typed control tokens become plain characters again."""
        ids: list[int] = []
        for place, part in enumerate(typed.split(text)):
            if place % 2:
                plain = self.special_tokens[int(part)]
                ids += self.tokenizer(
                    plain, add_special_tokens=False, split_special_tokens=True, verbose=False
                ).input_ids
            elif part:
                ids += self._encode_part(part)
        return ids

    def _encode_part(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(self._anchor + text, add_special_tokens=False, verbose=False).input_ids
        return ids[1:] if self._anchor else ids

    def _find_anchor(self) -> str:
        """Some tokenizers put a space before the first word of whatever they are given; behind a control token they
        do not. Pieces are tokenized behind such an anchor where that makes a difference."""
        anchor = self.tokenizer.eos_token or ""
        if not anchor:
            return ""
        behind: list[int] = self.tokenizer(anchor + "a", add_special_tokens=False).input_ids
        alone: list[int] = self.tokenizer("a", add_special_tokens=False).input_ids
        return anchor if behind[1:] != alone and behind[0] == self.tokenizer.eos_token_id else ""

    def _find_stop_ids(self) -> set[int]:
        """Tokens that end an answer: the first that the template writes behind one (some write the end of the text
        too, which comes later), and the tokenizer's own."""
        turns = [Message(role="user", content="a"), Message(role="assistant", content=ANSWER_MARK)]
        _, mark, behind = self._text(turns).rpartition(ANSWER_MARK)
        written = self._encode(behind, _protect_nothing) if mark else []
        controls = [token for token in written if token in self.special_ids]
        return {*controls[:1], self.tokenizer.eos_token_id} - {None}


_protect_nothing = re.compile(r"(?!)")
_TOOL_CALL = re.compile(r'<tool_call>\s*\{\s*"name":\s*"b",\s*"arguments":\s*\{\s*"c":\s*"d"\s*\}\s*\}\s*</tool_call>')


def _texts(value: Any) -> list[str]:
    """Every text in a value, names included."""
    if isinstance(value, Mapping):
        return [text for pair in value.items() for each in pair for text in _texts(each)]
    if isinstance(value, (list, tuple)):
        return [text for each in value for text in _texts(each)]
    return [value] if isinstance(value, str) else []


def _unused_code_points(text: str) -> list[int]:
    """Two characters of Unicode's private area that do not occur in the text."""
    used = set(map(ord, text))
    return [code for code in range(0xE000, 0xF8FF) if code not in used][:2]


def fold_system(messages: Conversation) -> Conversation | None:
    """The system prompt put in front of the first user turn, for templates that know no system role; None if absent."""
    if len(messages) < 2 or messages[0]["role"] != "system" or messages[1]["role"] != "user":
        return None
    joined = f"{messages[0]['content']}\n\n{messages[1]['content']}"
    return [Message(role="user", content=joined), *messages[2:]]
