"""One chat request on its way: from the checked request to chunks or a whole answer."""

import dataclasses
from collections.abc import AsyncIterator, Hashable
from typing import Any

from sartor.data.records import Message
from sartor.generation.protocol import Passage
from sartor.retrieval.citations import cite
from sartor.retrieval.grounded import link_filter
from sartor.retrieval.links import LinkFilter
from sartor.serving.answer_form import AnswerReader, ToolCallDelta, constraint_maker
from sartor.serving.completion import Completion, finite
from sartor.serving.json_links import JsonLinkFilter, strings_in
from sartor.serving.scheduler import Scheduler
from sartor.serving.schema_chat import ChatRequest
from sartor.serving.served_model import ServedModel, TokenEvent
from sartor.serving.token_text import TokenTexts


class ChatCompletion(Completion):
    id_prefix = "chatcmpl"

    def __init__(
        self, scheduler: Scheduler, model: ServedModel, request: ChatRequest, texts: TokenTexts, client: Hashable
    ):
        super().__init__(scheduler, model, request, texts, client)
        self.request = request
        self.form_param = request.form_param
        self.passages: list[Passage] | None = None
        self._readers = [AnswerReader(bool(request.usable_tools)) for _ in range(request.n)]
        self._links: list[LinkFilter | JsonLinkFilter] = []  # of a path that retrieves, one a choice
        self._said = [""] * request.n

    @property
    def num_choices(self) -> int:
        return self._shape.n

    async def open(self) -> None:
        self.model.require(self.request.asked_of_the_engine())
        self.check_biases()
        make = await constraint_maker(self.scheduler, self.model, self.request, self.client)
        prompt_ids, self.passages = await self.scheduler.prepare(
            self.model, self.request.conversation, self.request.usable_tools, self.client
        )
        if self.passages is not None:
            self._links = [self._link_filter(self.passages) for _ in range(self.request.n)]
        self.prompt_tokens = len(prompt_ids)
        room = self.check_room(self.prompt_tokens, "messages")
        choices = range(self.request.n)
        samplings = [self.request.sampling(self.model.sampling, room, self.next_seed()) for _ in choices]
        constraints = [make() for _ in choices] if make is not None else None
        self._jobs = [self.scheduler.submit(self.model, prompt_ids, samplings, constraints, client=self.client)]

    async def collect(self) -> dict[str, Any]:
        """The whole `chat.completion`."""
        texts = [""] * self.request.n
        calls: list[list[ToolCallDelta]] = [[] for _ in texts]
        finishes: list[str | None] = [None for _ in texts]
        tokens: list[list[dict[str, Any]]] = [[] for _ in texts]
        async for choice, event in self.events(self._jobs[0]):
            self.completion_tokens += 1
            text, found = self._readers[choice].push(event.text, event.finish is not None)
            texts[choice] += self._safe(choice, text, event.finish is not None)
            calls[choice] += found
            tokens[choice] += self._tokens(event)
            finishes[choice] = self._readers[choice].finish_reason(event.finish)
        choices = [
            {
                "index": choice,
                "message": self._message(choice, texts[choice], calls[choice]),
                "logprobs": self._log_probs(tokens[choice]),
                "finish_reason": finishes[choice],
            }
            for choice in range(self.request.n)
        ]
        return {**self.head, "object": "chat.completion", "choices": choices, "usage": self.usage()}

    async def chunks(self) -> AsyncIterator[dict[str, Any]]:
        """The same as `chat.completion.chunk`s; citations come with each choice's last one."""
        for choice in range(self.request.n):
            yield self._chunk(choice, {"role": "assistant", "content": ""})
        async for choice, event in self.events(self._jobs[0]):
            self.completion_tokens += 1
            reader = self._readers[choice]
            text, calls = reader.push(event.text, event.finish is not None)
            text = self._safe(choice, text, event.finish is not None)
            tokens = self._tokens(event)
            if text or tokens:
                yield self._chunk(choice, {"content": text} if text else {}, tokens)
            for call in calls:
                yield self._chunk(choice, {"tool_calls": [call.as_dict()]})
            if event.finish is not None:
                yield self._chunk(choice, self._citations(choice), finish=reader.finish_reason(event.finish))
        if self.request.wants_usage:
            yield self.with_usage({**self.head, "object": "chat.completion.chunk", "choices": []}, self.usage())

    # --- pieces -------------------------------------------------------------------------------------------------------

    def _link_filter(self, passages: list[Passage]) -> LinkFilter | JsonLinkFilter:
        if self.form_param != "response_format":
            return link_filter(passages, self.request.conversation)
        form = self.request.response_format.json_schema if self.request.response_format is not None else None
        schema = form.json_schema if form is not None else {}
        given = Message(role="system", content="\n".join(strings_in(schema)))  # whoever asks holds what the schema says
        return JsonLinkFilter(link_filter(passages, [*self.request.conversation, given]), schema)

    def _safe(self, choice: int, text: str, last: bool) -> str:
        """Text without addresses that no source holds, where the path retrieves; some is held back until it is known
        what it becomes."""
        if self._links:
            links = self._links[choice]
            text = links.push(text) + (links.finish() if last else "")
            self._said[choice] += text
        return text

    def _message(self, choice: int, text: str, calls: list[ToolCallDelta]) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None, **self._citations(choice)}
        if calls:
            message["content"] = text or None
            message["tool_calls"] = [call.as_whole() for call in calls]
        return message

    def _chunk(
        self, choice: int, delta: dict[str, Any], tokens: list[dict[str, Any]] | None = None, finish: str | None = None
    ) -> dict[str, Any]:
        log_probs = self._log_probs(tokens) if tokens is not None else None
        part = {"index": choice, "delta": delta, "logprobs": log_probs, "finish_reason": finish}
        return self.with_usage({**self.head, "object": "chat.completion.chunk", "choices": [part]})

    def _citations(self, choice: int) -> dict[str, Any]:
        if self.passages is None:
            return {}
        question = next((each["content"] for each in self.request.conversation[::-1] if each["role"] == "user"), "")
        citations = cite(self._said[choice], self.passages, question)
        return {
            "sartor": {
                "passages": [dataclasses.asdict(passage) for passage in self.passages],
                "citations": [dataclasses.asdict(citation) for citation in citations],
                "removed": self._links[choice].removed,
            }
        }

    def _log_probs(self, tokens: list[dict[str, Any]]) -> dict[str, Any] | None:
        return {"content": tokens, "refusal": None} if self.request.logprobs else None

    def _tokens(self, event: TokenEvent) -> list[dict[str, Any]]:
        """The token as the API lists it, if asked for; control tokens that were said are left out."""
        if not self.request.logprobs or not self.is_text(event.token_id):
            return []
        likeliest = [self._token(token_id, log_prob) for token_id, log_prob in event.top]
        return [{**self._token(event.token_id, event.log_prob), "top_logprobs": likeliest}]

    def _token(self, token_id: int, log_prob: float) -> dict[str, Any]:
        token = self.texts[token_id]
        return {
            "token": token.text,
            "bytes": list(token.raw) if token.raw is not None else None,
            "logprob": finite(log_prob),
        }
