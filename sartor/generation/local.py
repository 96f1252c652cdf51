"""A model on this machine as a `Generator`."""

import time
from collections.abc import Callable, Iterator, Sequence

import torch
from transformers import PreTrainedModel

from sartor.adapters.store import load_adapter
from sartor.base.device import compute_dtype, device
from sartor.base.errors import SartorError
from sartor.data.chat import ChatFormat
from sartor.data.packing import common_tokens
from sartor.data.records import Conversation
from sartor.generation.engine import Engine
from sartor.generation.protocol import Reply, Sampling
from sartor.models.forward import load_packed
from sartor.models.hub import ModelLocation, load_tokenizer


class LocalModel:
    """Answers conversations with one engine; prompts that begin alike share that beginning."""

    def __init__(self, model: PreTrainedModel, chat: ChatFormat):
        self.model, self.chat = model, chat
        self.engine = Engine(model, chat.decode, chat.stop_ids, context_tokens(model))

    @staticmethod
    def open(location: ModelLocation, dtype: torch.dtype | None = None) -> "LocalModel":
        """Load a model, with its adapter if it is one, in the number format this machine computes best in."""
        place = device()
        model = load_packed(location.folder, dtype or compute_dtype(place))
        if location.adapter is not None:
            load_adapter(model, location.adapter)
        return LocalModel(model.to(place), ChatFormat(load_tokenizer(location.folder)))

    def generate(
        self,
        conversations: Sequence[Conversation],
        sampling: Sampling,
        on_reply: Callable[[int, Reply], None] | None = None,
    ) -> list[Reply]:
        started = time.perf_counter()
        replies = [Reply("", "error", messages=list(conversation)) for conversation in conversations]
        prompts = self._prompts(replies)
        self.engine.share(common_prefix(list(prompts.values())))
        owners = {}
        for index in sorted(prompts, key=lambda index: len(prompts[index])):
            replies[index].prompt_tokens = len(prompts[index])
            try:
                owners[self.engine.add(prompts[index], sampling)] = index
            except SartorError as error:
                replies[index].error = error.what
        for index, reply in enumerate(replies):
            if reply.error is not None and on_reply:
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
                    if on_reply:
                        on_reply(owners[event.request_id], reply)
        self.engine.share(())
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
        """The reply to one conversation, piece by piece."""
        self.engine.share(())
        self.engine.add(self.chat.prompt(conversation), sampling)
        while self.engine.has_work:
            yield from (event.text for event in self.engine.step() if event.text)


def context_tokens(model: PreTrainedModel) -> int:
    """How many tokens the model was made to read."""
    return int(model.config.max_position_embeddings)


def common_prefix(prompts: Sequence[list[int]]) -> list[int]:
    """The longest beginning of all prompts that leaves each a token of its own; [] when not worth sharing."""
    limit = min((len(prompt) for prompt in prompts), default=0) - 1
    return prompts[0][: common_tokens(prompts, limit)] if prompts else []
