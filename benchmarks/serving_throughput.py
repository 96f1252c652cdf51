"""Serving one model to many clients: Sartor, `transformers serve` and llama.cpp's server, side by side.

    python -m benchmarks.serving_throughput [--clients 1 8 32] [--requests 3] [--new-tokens 64] [--sides ...]

The starter in bfloat16, the same prompts and the same limit of tokens for all, temperature 0. Each client asks one
question after the other and reads its stream. A token is what the model's own tokenizer makes of the texts, so that
all are counted alike. `engine` is Sartor's engine without a server, given the same prompts in the same manner: what it
is ahead of `sartor` is what serving costs. `transformers-batching` is `transformers serve --continuous-batching`.

One server at a time, each in a process of its own, first warmed up. Needs `pip install transformers[serving]
llama-cpp-python[server]`; a side that is not installed is named and left out.
"""

import argparse
import asyncio
import importlib.util
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

START_SECONDS = 300
STOP_SECONDS = 30
REQUEST_SECONDS = 1800
SUBJECTS = ("a lighthouse", "a clockmaker", "two rivers", "an old library", "the first snow", "a lost letter")
SIDES = ("sartor", "sartor-llamacpp", "transformers", "transformers-batching", "llama.cpp", "engine")
NEEDS = {
    "sartor-llamacpp": ("llama_cpp",),
    "transformers": ("fastapi",),
    "transformers-batching": ("fastapi",),
    "llama.cpp": ("llama_cpp", "sse_starlette", "starlette_context", "pydantic_settings"),
}


@dataclass(frozen=True)
class Figures:
    side: str
    clients: int
    tokens: int
    seconds: float
    tokens_a_second: float
    first_token_p50: float
    first_token_p95: float


def prompt_of(number: int) -> str:
    return f"Tell a long story in {number + 3} parts about {SUBJECTS[number % len(SUBJECTS)]}."


def command_of(side: str, port: int, folder: Path, gguf: Path, cores: int) -> list[str]:
    """How a side's server is started, and under which name it serves the model."""
    run = [sys.executable, "-m"]
    return {
        "sartor": [*run, "sartor", "serve", str(folder), "--port", str(port)],
        "sartor-llamacpp": [*run, "sartor", "serve", str(folder), "--port", str(port), "--engine", "llamacpp"],
        "transformers": [*_transformers(folder, port)],
        "transformers-batching": [*_transformers(folder, port), "--continuous-batching"],
        "llama.cpp": [
            *run, "llama_cpp.server", "--model", str(gguf), "--model_alias", str(folder), "--port", str(port),
            "--host", "127.0.0.1", "--n_ctx", "2048", "--n_threads", str(cores), "--n_threads_batch", str(cores),
            "--interrupt_requests", "False", "--verbose", "False",
        ],
    }[side]  # fmt: skip


def _transformers(folder: Path, port: int) -> list[str]:
    program = str(Path(sys.executable).with_name("transformers"))
    options = ["--host", "127.0.0.1", "--port", str(port), "--dtype", "bfloat16", "--device", "cpu"]
    return [program, "serve", str(folder), *options]


@contextmanager
def server(side: str, folder: Path, gguf: Path, cores: int) -> Iterator[tuple[str, str]]:
    """A running server: its address and the name of the model there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"OMP_NUM_THREADS": str(cores)}
    command = command_of(side, port, folder, gguf, cores)
    with open(os.devnull, "w") as nowhere:
        process = subprocess.Popen(command, stdout=nowhere, stderr=nowhere, env=environment)
    try:
        _wait_for(port, process, side)
        yield f"http://127.0.0.1:{port}/v1", folder.name if side.startswith("sartor") else str(folder)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(port: int, process: "subprocess.Popen[bytes]", side: str) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise SystemExit(f"the server of {side} ended with {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise SystemExit(f"the server of {side} did not start")


async def load(url: str, model: str, clients: int, requests: int, new_tokens: int) -> tuple[list[str], list[float]]:
    """Texts, and seconds to the first one of each request."""
    import httpx

    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)

    async def client(number: int) -> list[tuple[str, float]]:
        return [await ask(http, url, model, number * requests + each, new_tokens) for each in range(requests)]

    async with httpx.AsyncClient(timeout=REQUEST_SECONDS, limits=limits) as http:
        answers = await asyncio.gather(*(client(number) for number in range(clients)))
    flat = [answer for found in answers for answer in found]
    return [text for text, _ in flat], [first for _, first in flat]


async def ask(http: Any, url: str, model: str, number: int, new_tokens: int) -> tuple[str, float]:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": prompt_of(number)}],
        "max_tokens": new_tokens,
        "temperature": 0.0,
        "stream": True,
    }
    begun, first, text = time.perf_counter(), 0.0, ""
    async with http.stream("POST", f"{url}/chat/completions", json=body) as response:
        if response.status_code != 200:
            raise SystemExit(f"{model}: {response.status_code} {(await response.aread()).decode()[:300]}")
        async for line in response.aiter_lines():
            piece = _piece(line)
            first = first or (time.perf_counter() - begun if piece else 0.0)
            text += piece
    return text, first


def _piece(line: str) -> str:
    if not line.startswith("data:") or line.endswith("[DONE]"):
        return ""
    choices = json.loads(line.removeprefix("data:")).get("choices") or [{}]
    return (choices[0].get("delta") or {}).get("content") or ""


def engine_load(folder: Path, clients: int, requests: int, new_tokens: int) -> tuple[list[str], list[float], float]:
    """The same, of the engine alone: as one answer ends, its client's next begins. And the seconds it took."""
    from sartor.generation.local import LocalModel
    from sartor.generation.protocol import Sampling
    from sartor.models.hub import locate

    local = LocalModel.open(locate(str(folder)))
    engine, texts, begun, firsts = local.engine, {}, {}, {}
    owners: dict[int, tuple[int, int]] = {}

    def begin(client: int, turn: int) -> None:
        prompt = local.chat.prompt([{"role": "user", "content": prompt_of(client * requests + turn)}])
        request = engine.add(prompt, Sampling(max_new_tokens=new_tokens))
        owners[request], texts[request], begun[request] = (client, turn), "", time.perf_counter()

    def finish() -> None:
        while engine.has_work:
            for event in engine.step():
                request = event.request_id
                texts[request] += event.text
                if event.text:
                    firsts.setdefault(request, time.perf_counter() - begun[request])
                client, turn = owners[request]
                if event.finish is not None and turn + 1 < requests:
                    begin(client, turn + 1)

    begin(0, requests - 1)  # to warm up
    finish()
    for found in (texts, begun, firsts, owners):
        found.clear()
    started = time.perf_counter()
    for client in range(clients):
        begin(client, 0)
    finish()
    return list(texts.values()), list(firsts.values()), time.perf_counter() - started


def figures(
    side: str, clients: int, texts: Sequence[str], firsts: Sequence[float], seconds: float, folder: Path
) -> Figures:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokens = sum(len(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts)
    ordered = sorted(firsts)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return Figures(side, clients, tokens, seconds, tokens / seconds, statistics.median(ordered), p95)


def measure(side: str, folder: Path, gguf: Path, options: argparse.Namespace) -> Iterator[Figures]:
    if side == "engine":
        for clients in options.clients:
            texts, firsts, seconds = engine_load(folder, clients, options.requests, options.new_tokens)
            yield figures(side, clients, texts, firsts, seconds, folder)
        return
    with server(side, folder, gguf, options.cores) as (url, model):
        asyncio.run(load(url, model, 1, 1, 8))
        for clients in options.clients:
            begun = time.perf_counter()
            texts, firsts = asyncio.run(load(url, model, clients, options.requests, options.new_tokens))
            yield figures(side, clients, texts, firsts, time.perf_counter() - begun, folder)


def main() -> None:
    from sartor.models.hub import ModelLocation
    from sartor.models.starter import fetch
    from sartor.recipes.exported import exported_gguf

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--requests", type=int, default=3, help="of each client, one after the other")
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.cores)
    folder = fetch("starter")
    needs_gguf = {"llama.cpp", "sartor-llamacpp"} & set(options.sides)
    gguf = exported_gguf(ModelLocation("starter", folder), "bf16") if needs_gguf else Path()
    print(f"{'side':<22}{'clients':>8}{'tokens':>8}{'tokens/s':>10}{'first p50':>11}{'first p95':>11}", flush=True)
    for side in options.sides:
        missing = [name for name in NEEDS.get(side, ()) if importlib.util.find_spec(name) is None]
        if missing:
            print(f"{side:<22} left out: {', '.join(missing)} not installed", flush=True)
            continue
        for each in measure(side, folder, gguf, options):
            if options.json:
                print(json.dumps(asdict(each)), flush=True)
            row = f"{each.side:<22}{each.clients:>8}{each.tokens:>8}{each.tokens_a_second:>10.1f}"
            print(f"{row}{each.first_token_p50:>10.2f}s{each.first_token_p95:>10.2f}s", flush=True)


if __name__ == "__main__":
    main()
