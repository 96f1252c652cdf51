"""One request for a plain completion on its way: prompts as text or token ids, echoed and scored if asked."""

import codecs
from collections.abc import AsyncIterator, Hashable
from dataclasses import dataclass, field
from typing import Any

from sartor.base.errors import DataError
from sartor.data.chat import ChatFormat
from sartor.generation.events import NO_TOKEN
from sartor.serving.completion import Completion, finite
from sartor.serving.scheduler import Scheduler
from sartor.serving.schema_completions import CompletionRequest
from sartor.serving.served_model import PromptScores, ServedModel, TokenEvent
from sartor.serving.token_text import TokenTexts

UTF8 = codecs.getincrementaldecoder("utf-8")


@dataclass(frozen=True)
class Prompt:
    """`text` is what is echoed. The first `num_added` ids (a beginning-of-text token) are not in it."""

    ids: list[int]
    text: str
    num_added: int = 0


@dataclass
class TokenList:
    """Tokens of a choice as the completions API lists them: four lists of one length.

    `text_offset` counts characters from the beginning of the choice's text; the pieces of one character all have the
    offset at which it begins.
    """

    texts: TokenTexts
    offset: int = 0
    names: list[str] = field(default_factory=list)
    log_probs: list[float | None] = field(default_factory=list)
    likeliest: list[dict[str, float] | None] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    _decoder: codecs.IncrementalDecoder = field(default_factory=lambda: UTF8("replace"))

    def add(
        self, token_id: int, log_prob: float | None, top: Any, in_text: bool = True, written: str | None = None
    ) -> None:
        """`top` are pairs of id and log-probability, None where nothing was asked. `written` is the text that the token
        is read from, where there is one: some tokenizers put a space in front that is not in it."""
        token = self.texts[token_id]
        self.names.append(token.name)
        self.log_probs.append(None if log_prob is None else finite(log_prob))
        self.likeliest.append(self._map(token_id, log_prob, top))
        self.offsets.append(self.offset)
        if in_text:
            raw = token.text.encode("utf-8", "replace") if token.raw is None else token.raw
            text = self._decoder.decode(raw)
            if written is not None and text.startswith(" ") and not written.startswith(text, self.offset):
                text = text[1:]
            self.offset += len(text)

    def _map(self, token_id: int, log_prob: float | None, top: Any) -> dict[str, float] | None:
        """The likeliest and, if it is not among them, the token itself. The likelier wins where two have one text."""
        if log_prob is None or top is None:
            return None
        found: dict[str, float] = {}
        for each, value in (*top, (token_id, log_prob)):
            name = self.texts[each].name
            found[name] = max(finite(value), found.get(name, finite(value)))
        return found

    def rest(self) -> "TokenList":
        """An empty list for what follows."""
        return TokenList(self.texts, self.offset, _decoder=self._decoder)

    def as_dict(self) -> dict[str, Any]:
        return {
            "tokens": self.names,
            "token_logprobs": self.log_probs,
            "top_logprobs": self.likeliest,
            "text_offset": self.offsets,
        }


@dataclass
class _Choice:
    """One answer while it is made."""

    index: int
    prompt: Prompt
    tokens: TokenList
    waiting: str = ""  # the echo, until the first event comes
    begun: bool = False  # whether it has a token of its own
    finish: str | None = None


class TextCompletion(Completion):
    id_prefix = "cmpl"

    def __init__(
        self, scheduler: Scheduler, model: ServedModel, request: CompletionRequest, texts: TokenTexts, client: Hashable
    ):
        self.request = request
        super().__init__(scheduler, model, request, texts, client)
        self._prompts: list[Prompt] = []

    @property
    def num_choices(self) -> int:
        return self.request.num_choices

    async def open(self) -> None:
        self.model.require(self.request.asked_of_the_engine())
        self.check_biases()
        self._prompts = await self.scheduler.run(self._encode_all, client=self.client, param="prompt")
        self.prompt_tokens = sum(len(prompt.ids) for prompt in self._prompts)
        rooms = [self.check_room(len(prompt.ids), "prompt") for prompt in self._prompts]
        for prompt, room in zip(self._prompts, rooms, strict=True):
            choices = range(self.request.n)
            samplings = [self.request.sampling(self.model.sampling, room, self.next_seed()) for _ in choices]
            scored = self.request.scored_prompt_tokens
            self._jobs.append(self.scheduler.submit(self.model, prompt.ids, samplings, None, scored, self.client))

    async def collect(self) -> dict[str, Any]:
        """The whole `text_completion`."""
        choices: list[dict[str, Any]] = []
        for number in range(len(self._prompts)):
            made = self._choices(number)
            texts = [""] * self.request.n
            async for place, event in self.events(self._jobs[number]):
                texts[place] += self._advance(made[place], event)
            choices += [self._part(choice, text) for choice, text in zip(made, texts, strict=True)]
        return {**self.head, "object": "text_completion", "choices": choices, "usage": self.usage()}

    async def chunks(self) -> AsyncIterator[dict[str, Any]]:
        """The same as chunks, one prompt after the other; an echo is part of each choice's first one."""
        for number in range(len(self._prompts)):
            made = self._choices(number)
            async for place, event in self.events(self._jobs[number]):
                choice = made[place]
                choice.tokens = choice.tokens.rest()
                part = self._part(choice, self._advance(choice, event))
                yield self.with_usage({**self.head, "object": "text_completion", "choices": [part]})
        if self.request.wants_usage:
            yield self.with_usage({**self.head, "object": "text_completion", "choices": []}, self.usage())

    # --- pieces -------------------------------------------------------------------------------------------------------

    def _encode_all(self) -> list[Prompt]:
        assert self.model.chat is not None, "the route sees to it"
        with self.model.rendering:
            return [encode(self.model.chat, prompt) for prompt in self.request.prompt]

    def _choices(self, number: int) -> list[_Choice]:
        """The answers to one prompt, before their first token."""
        first = number * self.request.n
        prompt = self._prompts[number]
        made = [_Choice(first + place, prompt, TokenList(self.texts)) for place in range(self.request.n)]
        if self.request.echo:
            for choice in made:
                choice.waiting = prompt.text
        return made

    def _advance(self, choice: _Choice, event: TokenEvent) -> str:
        """Take an event in; the text that it adds, with the echo in front of the first."""
        if event.prompt is not None and self.request.scores_prompt:
            self._score_prompt(choice, event.prompt)
        elif choice.waiting:
            choice.tokens.offset += len(choice.waiting)
        text, choice.waiting = choice.waiting, ""
        if event.token_id != NO_TOKEN:
            self.completion_tokens += 1
            top = event.top if self.request.num_top_log_probs else None
            choice.tokens.add(event.token_id, event.log_prob, top, self.is_text(event.token_id))
            if not choice.begun and self._loses_its_space(event.token_id):
                text += " "
            choice.begun = True
        choice.finish = event.finish
        return text + event.text

    def _loses_its_space(self, token_id: int) -> bool:
        """Whether the token begins with a space that is dropped where a text begins: here it follows the prompt."""
        return self.texts[token_id].text == " " + self.model.decode([token_id])

    def _score_prompt(self, choice: _Choice, scores: PromptScores) -> None:
        wanted = self.request.num_top_log_probs
        prompt = choice.prompt
        for place, token_id in enumerate(prompt.ids):
            top = scores.top[place] if wanted else None
            in_text = place >= prompt.num_added
            choice.tokens.add(token_id, scores.log_probs[place], top, in_text, written=prompt.text)

    def _part(self, choice: _Choice, text: str) -> dict[str, Any]:
        return {
            "index": choice.index,
            "text": text,
            "logprobs": None if self.request.logprobs is None else choice.tokens.as_dict(),
            "finish_reason": choice.finish,
        }


def encode(chat: ChatFormat, prompt: str | list[int]) -> Prompt:
    """A text as the tokenizer reads it by itself: control tokens typed in it count as such, and one that begins every
    text is put in front unless the text has it already. DataError for an empty prompt and for unknown ids."""
    tokenizer = chat.tokenizer
    if isinstance(prompt, list):
        if (largest := max(prompt)) >= len(tokenizer):
            raise DataError(f"the model has no token {largest}")
        return Prompt(prompt, tokenizer.decode(prompt, skip_special_tokens=False, clean_up_tokenization_spaces=False))
    plain: list[int] = tokenizer(prompt, add_special_tokens=False).input_ids
    bos = tokenizer.bos_token_id
    adds_bos = bos is not None and tokenizer("").input_ids[:1] == [bos]
    if adds_bos and plain[:1] != [bos]:
        return Prompt([bos, *plain], prompt, num_added=1)
    if not plain:
        raise DataError("the prompt is empty, and this model needs a token to begin with")
    return Prompt(plain, prompt)
