"""A text as the served model's tokens and back, in the form that vLLM gives: how clients count before they ask."""

from collections.abc import Hashable
from typing import Any

from sartor.data.chat import ChatFormat
from sartor.serving.errors import ApiError
from sartor.serving.scheduler import Scheduler
from sartor.serving.schema_tokens import DetokenizeRequest, TokenizeRequest
from sartor.serving.served_model import ServedModel


async def tokenize(
    scheduler: Scheduler, model: ServedModel, request: TokenizeRequest, client: Hashable
) -> dict[str, Any]:
    """The ids; of messages the whole prompt, with what the path puts in front of them and the passages it finds."""
    if request.messages is not None:
        conversation = [message.message() for message in request.messages]
        tools = [tool.model_dump() for tool in request.tools]
        ids, _ = await scheduler.prepare(model, conversation, tools, client)
    else:
        ids = await scheduler.run(_ids_of_text, model, request, client=client, param="prompt")
    answer: dict[str, Any] = {"count": len(ids), "max_model_len": model.max_context_tokens, "tokens": ids}
    written = _chat(model).tokenizer.convert_ids_to_tokens(ids) if request.return_token_strs else None
    return {**answer, "token_strs": written}


async def detokenize(
    scheduler: Scheduler, model: ServedModel, request: DetokenizeRequest, client: Hashable
) -> dict[str, Any]:
    return {"prompt": await scheduler.run(_text_of_ids, model, request.tokens, client=client, param="tokens")}


def tokenizer_info(model: ServedModel) -> dict[str, Any]:
    """What a client needs to render conversations itself."""
    chat = _chat(model)
    return {
        "tokenizer_class": type(chat.tokenizer).__name__,
        "vocab_size": len(chat.tokenizer),
        "model_max_length": model.max_context_tokens,
        "bos_token": chat.tokenizer.bos_token,
        "eos_token": chat.tokenizer.eos_token,
        "pad_token": chat.tokenizer.pad_token,
        "unk_token": chat.tokenizer.unk_token,
        "chat_template": chat.template,
    }


def _ids_of_text(model: ServedModel, request: TokenizeRequest) -> list[int]:
    tokenizer = _chat(model).tokenizer
    with model.rendering:
        ids: list[int] = tokenizer(request.prompt, add_special_tokens=request.add_special_tokens).input_ids
    return ids


def _text_of_ids(model: ServedModel, ids: list[int]) -> str:
    tokenizer = _chat(model).tokenizer
    if ids and max(ids) >= len(tokenizer):
        raise ApiError(400, f"{model.id} has no token {max(ids)}", param="tokens", code="invalid_value")
    text: str = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return text


def _chat(model: ServedModel) -> ChatFormat:
    if model.chat is None:
        raise ApiError(400, f"{model.id} has no tokenizer that can be shown", param="model", code="invalid_value")
    return model.chat
