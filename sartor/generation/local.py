"""A model on this machine as a `Generator`."""

import time
from collections.abc import Callable, Iterator, Sequence

import torch
from transformers import PreTrainedModel

from sartor.adapters.store import load_adapter
from sartor.base.device import compute_dtype, device
from sartor.base.errors import SartorError, UsageError
from sartor.data.chat import ChatFormat
from sartor.data.packing import common_tokens
from sartor.data.records import Conversation
from sartor.generation.engine import Engine
from sartor.generation.protocol import Reply, Sampling
from sartor.models.forward import load_packed
from sartor.models.hub import ModelLocation, load_tokenizer

KEPT_TOKENS = 16_384  # of earlier prompts and answers; the starter needs 23 KB a token


class LocalModel:
    """Answers conversations with one engine; prompts that begin alike share that beginning.

    `adapter` is the name of the adapter that answers where several share the engine's model.
    """

    def __init__(self, model: PreTrainedModel, chat: ChatFormat, base: "LocalModel | None" = None):
        self.model, self.chat = model, chat
        self.location: ModelLocation | None = None
        self.adapter: str | None = None
        self.engine: Engine = base.engine if base is not None else _live_engine(model, chat)

    @staticmethod
    def open(location: ModelLocation, dtype: torch.dtype | None = None) -> "LocalModel":
        """Load a model, with its adapter if it is one, in the number format this machine computes best in."""
        place = device()
        model = load_packed(location.folder, dtype or compute_dtype(place))
        if location.adapter is not None:
            load_adapter(model, location.adapter)
        opened = LocalModel(model.to(place), ChatFormat(load_tokenizer(location.folder)))
        opened.location = location
        return opened

    def with_adapter(self, location: ModelLocation) -> "LocalModel":
        """The adapter on this base, in the same engine: what it and the base are asked runs in one batch.

        UsageError when this is not the adapter's base, or the adapter cannot share it; DataError for a damaged one.
        """
        if location.adapter is None:
            raise UsageError(f"{location.name} is no adapter", where=location.name)
        if self.location is None or self.location.folder.resolve() != location.folder.resolve():
            raise UsageError(f"{location.name} is an adapter of another base", where=location.name)
        self.engine.add_adapter(str(location.adapter), location.adapter)
        opened = LocalModel(self.model, self.chat, self)
        opened.location, opened.adapter = location, str(location.adapter)
        return opened

    def generate(
        self,
        conversations: Sequence[Conversation],
        sampling: Sampling,
        on_reply: Callable[[int, Reply], None] | None = None,
    ) -> list[Reply]:
        """A question alone is answered as a server answers it: what it has in common with those before it is not
        computed again. That is for models opened from a folder, whose weights stay as they are."""
        tell = on_reply or (lambda index, reply: None)
        if len(conversations) == 1 and self.location is not None:
            return self._answer_alone(conversations, sampling, tell)
        self.engine.live = False
        try:
            return self._answer(conversations, sampling, tell)
        finally:
            self.engine.clear()
            self.engine.live = True

    def _answer_alone(
        self, conversations: Sequence[Conversation], sampling: Sampling, on_reply: Callable[[int, Reply], None]
    ) -> list[Reply]:
        assert not self.engine.has_work, "one batch after the other"
        try:
            return self._answer(conversations, sampling, on_reply)
        except BaseException:
            self.engine.clear()
            raise

    def _answer(
        self, conversations: Sequence[Conversation], sampling: Sampling, on_reply: Callable[[int, Reply], None]
    ) -> list[Reply]:
        started = time.perf_counter()
        replies = [Reply("", "error", messages=list(conversation)) for conversation in conversations]
        prompts = self._prompts(replies)
        if not self.engine.live:
            self.engine.share(common_prefix(list(prompts.values())), self.adapter)
        owners = {}
        for index in sorted(prompts, key=lambda index: len(prompts[index])):
            replies[index].prompt_tokens = len(prompts[index])
            try:
                owners[self.engine.add(prompts[index], sampling, adapter=self.adapter)] = index
            except SartorError as error:
                replies[index].error = error.what
        for index, reply in enumerate(replies):
            if reply.error is not None:
                on_reply(index, reply)
        while self.engine.has_work:
            for event in self.engine.step():
                reply = replies[owners[event.request_id]]
                reply.text += event.text
                reply.token_ids.append(event.token_id)
                reply.log_probs.append(event.log_prob)
                if event.finish is not None:
                    reply.finish, reply.completion_tokens = event.finish, len(reply.token_ids)
                    reply.seconds = time.perf_counter() - started
                    on_reply(owners[event.request_id], reply)
        return replies

    def _prompts(self, replies: Sequence[Reply]) -> dict[int, list[int]]:
        """Rendered prompts by the index of their reply; what the template refuses becomes that reply's error."""
        prompts = {}
        for index, reply in enumerate(replies):
            try:
                prompts[index] = self.chat.prompt(reply.messages)
            except SartorError as error:
                reply.error = error.what
        return prompts

    def stream(self, conversation: Conversation, sampling: Sampling) -> Iterator[str]:
        """The reply to one conversation, piece by piece; what it has in common with earlier ones is not computed
        again (`engine.share(())` forgets them, as it must be when the weights have changed)."""
        number = self.engine.add(self.chat.prompt(conversation), sampling, adapter=self.adapter)
        try:
            while self.engine.has_work:
                yield from (each.text for each in self.engine.step() if each.request_id == number and each.text)
        finally:
            self.engine.cancel(number)  # whoever reads may stop before the end


def _live_engine(model: PreTrainedModel, chat: ChatFormat) -> Engine:
    return Engine(model, chat.decode, chat.stop_ids, context_tokens(model), live=True, kept_tokens=KEPT_TOKENS)


def context_tokens(model: PreTrainedModel) -> int:
    """How many tokens the model was made to read."""
    return int(model.config.get_text_config().max_position_embeddings)


def common_prefix(prompts: Sequence[list[int]]) -> list[int]:
    """The longest beginning of all prompts that leaves each a token of its own; [] when not worth sharing."""
    limit = min((len(prompt) for prompt in prompts), default=0) - 1
    return prompts[0][: common_tokens(prompts, limit)] if prompts else []
