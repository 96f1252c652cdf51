"""A remote service checked for silent faults, with the tokenizer of the model it should serve, if known."""

from sartor.data.chat import ChatFormat
from sartor.generation.remote import Remote
from sartor.generation.service_checks import ServiceFinding, check_service
from sartor.models.hub import load_tokenizer, resolve


def check_remote(url: str, model: str, key_env: str | None, tokenizer: str | None) -> list[ServiceFinding]:
    """About a dozen cheap requests. `tokenizer`: a model whose template and tokens the service is expected to use."""
    remote = Remote(model, url, api_key_env=key_env, concurrency=1)
    if tokenizer is None:
        return check_service(remote)
    chat = ChatFormat(load_tokenizer(resolve(tokenizer)))
    return check_service(remote, lambda conversation: len(chat.prompt(conversation)))
