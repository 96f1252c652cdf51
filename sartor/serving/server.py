"""`sartor serve`: the application on an address, and what to type to use it."""

import json
import shlex
import socket
from collections.abc import Sequence

import uvicorn
from starlette.types import ASGIApp

from sartor.base.console import say
from sartor.base.errors import UsageError
from sartor.serving.app import build_app
from sartor.serving.auth import check_binding, is_loopback
from sartor.serving.served_model import ServedModel

DEFAULT_PORT = 8000
SECONDS_TO_FINISH = 5
WAITING_CONNECTIONS = 2048


def serve(
    models: Sequence[ServedModel], host: str = "127.0.0.1", port: int = DEFAULT_PORT, key: str | None = None,
    key_env: str = "SARTOR_API_KEY",
) -> None:
    """Serve until interrupted (the signal is raised again at the end). Port 0 takes a free one.

    `key_env` is the environment variable that the key came from, for the examples that are shown: they
    never hold the key itself.

    UsageError for an address beyond this machine without a key, and for a port that cannot be had.
    """
    check_binding(host, key)
    app = build_app(models, key, is_loopback(host))
    listening = listen(host, port)
    say(welcome(models, host, listening.getsockname()[1], key_env if key is not None else None))
    http_server(app).run(sockets=[listening])


def http_server(app: ASGIApp) -> uvicorn.Server:
    """Requests under way at the end have a few seconds to finish."""
    return uvicorn.Server(uvicorn.Config(
        app, lifespan="on", ws="none", access_log=False, server_header=False, proxy_headers=False,
        log_level="warning", timeout_graceful_shutdown=SECONDS_TO_FINISH))


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. UsageError when the address cannot be had."""
    if not 0 <= port < 65536:
        raise UsageError(f"{port} is no port", hint="ports go from 1 to 65535; 0 takes a free one")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        what = f"{host} is no address of this machine: {error.strerror}"
        raise UsageError(what, hint="try 127.0.0.1") from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(WAITING_CONNECTIONS)
    except OSError as error:
        listening.close()
        raise UsageError(f"cannot listen on {host}, port {port}: {error.strerror}",
                         hint="is another server running there? give another --port") from None
    return listening


def welcome(models: Sequence[ServedModel], host: str, port: int, key_env: str | None) -> str:
    """The address and two examples that can be pasted."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    url = f"http://{f'[{name}]' if ':' in name else name}:{port}/v1"
    message = {"role": "user", "content": "Hello!"}
    body = shlex.quote(json.dumps({"model": models[0].id, "messages": [message]}))
    header = f' -H "Authorization: Bearer ${key_env}"' if key_env else ""
    key = f'os.environ["{key_env}"]' if key_env else '"none"'
    imports = "import os, openai" if key_env else "import openai"
    return f"""serving {", ".join(model.id for model in models)} at {url} (Ctrl-C ends)

curl {url}/chat/completions -H 'Content-Type: application/json'{header} -d {body}

{imports}
client = openai.OpenAI(base_url="{url}", api_key={key})
answer = client.chat.completions.create(model={models[0].id!r}, messages=[{message}])
print(answer.choices[0].message.content)
"""
