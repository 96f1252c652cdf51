"""Serving one model to many clients: Sartor, `transformers serve`, llama-cpp-python's server, llama.cpp's own.

    python -m benchmarks.serving_throughput [--clients 1 8 32] [--requests 3] [--new-tokens 64] [--sides ...]

The starter in bfloat16, the same prompts and the same limit of tokens for all, temperature 0. Each client asks one
question after the other and reads its stream. A token is what the model's own tokenizer makes of the texts, so that
all are counted alike. `engine` is Sartor's engine without a server, given the same prompts in the same manner: what it
is ahead of `sartor` is what serving costs. `transformers-batching` is `transformers serve --continuous-batching`.
`llama-cpp-python` is `python -m llama_cpp.server`, which answers one request at a time; `llama-server` is llama.cpp's
own server, which answers as many at a time as there are clients (`-np`).

One server at a time, each in a process of its own, first warmed up. No prompt is asked twice of a server, so that none
is answered from what it remembers. Of fewer than 20 requests the slowest first token is told instead of the 95th
percentile. Needs `pip install transformers[serving] llama-cpp-python[server]` and the program llama-server; a side that
is not installed is named and left out.
"""

import argparse
import asyncio
import http.client
import importlib.util
import json
import os
import shutil
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
WARM_UP = "Name the days of the week."
ENOUGH_FOR_P95 = 20  # requests; of fewer the 95th percentile is the slowest or nearly
SLOT_TOKENS = 2048
LOADING = 503
SIDES = (
    "sartor", "sartor-llamacpp", "transformers", "transformers-batching", "llama-cpp-python", "llama-server", "engine",
)  # fmt: skip
TITLES = {"llama-cpp-python": "llama-cpp-python's server (one request at a time)"}
WIDTH = 52
NEEDS = {
    "sartor-llamacpp": ("llama_cpp",),
    "transformers": ("fastapi",),
    "transformers-batching": ("fastapi",),
    "llama-cpp-python": ("llama_cpp", "sse_starlette", "starlette_context", "pydantic_settings"),
}
PROGRAMS = {"llama-server": "llama-server"}


@dataclass(frozen=True)
class Figures:
    side: str
    clients: int
    tokens: int
    seconds: float
    tokens_a_second: float
    first_token_p50: float
    first_token_high: float
    high_is: str  # p95, or slowest where there are too few requests for it


def prompts_of(clients: int, requests: int, first: int) -> list[list[str]]:
    """What each client asks, one after the other; prompts are numbered on from `first`, and no two are alike."""
    numbers = ([first + client * requests + turn for turn in range(requests)] for client in range(clients))
    return [
        [f"Tell a long story in {number + 3} parts about {SUBJECTS[number % len(SUBJECTS)]}." for number in each]
        for each in numbers
    ]


def missing(side: str) -> list[str]:
    """What is not installed of what a side needs."""
    names = [name for name in NEEDS.get(side, ()) if importlib.util.find_spec(name) is None]
    program = PROGRAMS.get(side)
    return names + ([program] if program and shutil.which(program) is None else [])


def command_of(side: str, port: int, folder: Path, gguf: Path, cores: int, slots: int) -> list[str]:
    """How a side's server is started, and under which name it serves the model."""
    run = [sys.executable, "-m"]
    return {
        "sartor": [*run, "sartor", "serve", str(folder), "--port", str(port)],
        "sartor-llamacpp": [*run, "sartor", "serve", str(folder), "--port", str(port), "--engine", "llamacpp"],
        "transformers": [*_transformers(folder, port)],
        "transformers-batching": [*_transformers(folder, port), "--continuous-batching"],
        "llama-cpp-python": [
            *run, "llama_cpp.server", "--model", str(gguf), "--model_alias", str(folder), "--port", str(port),
            "--host", "127.0.0.1", "--n_ctx", str(SLOT_TOKENS), "--n_threads", str(cores),
            "--n_threads_batch", str(cores), "--interrupt_requests", "False", "--verbose", "False",
        ],
        "llama-server": [
            "llama-server", "-m", str(gguf), "--alias", str(folder), "--host", "127.0.0.1", "--port", str(port),
            "-np", str(slots), "-c", str(slots * SLOT_TOKENS), "-t", str(cores), "-tb", str(cores),
        ],
    }[side]  # fmt: skip


def _transformers(folder: Path, port: int) -> list[str]:
    program = str(Path(sys.executable).with_name("transformers"))
    options = ["--host", "127.0.0.1", "--port", str(port), "--dtype", "bfloat16", "--device", "cpu"]
    return [program, "serve", str(folder), *options]


@contextmanager
def server(side: str, folder: Path, gguf: Path, cores: int, slots: int) -> Iterator[tuple[str, str]]:
    """A running server: its address and the name of the model there. `slots` is how many ask at once at most."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"OMP_NUM_THREADS": str(cores)}
    command = command_of(side, port, folder, gguf, cores, slots)
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
        if _answers(port):
            return
        time.sleep(0.2)
    raise SystemExit(f"the server of {side} did not start")


def _answers(port: int) -> bool:
    """Whether the server listens and does not say that it is still loading (llama-server does)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status != LOADING
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


async def load(url: str, model: str, prompts: list[list[str]], new_tokens: int) -> tuple[list[str], list[float]]:
    """Texts, and seconds to the first one of each request, of clients that ask their prompts one after the other."""
    import httpx

    clients = len(prompts)
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)

    async def client(questions: list[str]) -> list[tuple[str, float]]:
        return [await ask(session, url, model, question, new_tokens) for question in questions]

    async with httpx.AsyncClient(timeout=REQUEST_SECONDS, limits=limits) as session:
        answers = await asyncio.gather(*map(client, prompts))
    flat = [answer for found in answers for answer in found]
    return [text for text, _ in flat], [first for _, first in flat]


async def ask(session: Any, url: str, model: str, prompt: str, new_tokens: int) -> tuple[str, float]:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": new_tokens,
        "temperature": 0.0,
        "stream": True,
    }
    begun, first, text = time.perf_counter(), 0.0, ""
    async with session.stream("POST", f"{url}/chat/completions", json=body) as response:
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


def engine_load(folder: Path, prompts: list[list[str]], new_tokens: int) -> tuple[list[str], list[float], float]:
    """The same, of the engine alone: as one answer ends, its client's next begins. And the seconds it took."""
    from sartor.generation.local import LocalModel
    from sartor.generation.protocol import Sampling
    from sartor.models.hub import locate

    local = LocalModel.open(locate(str(folder)))
    engine, texts, begun, firsts = local.engine, {}, {}, {}
    owners: dict[int, tuple[int, int]] = {}

    def begin(client: int, turn: int) -> None:
        question = prompts[client][turn] if turn >= 0 else WARM_UP
        prompt = local.chat.prompt([{"role": "user", "content": question}])
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
                if event.finish is not None and 0 <= turn < len(prompts[client]) - 1:
                    begin(client, turn + 1)

    begin(0, -1)  # to warm up
    finish()
    for found in (texts, begun, firsts, owners):
        found.clear()
    started = time.perf_counter()
    for client in range(len(prompts)):
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
    enough = len(ordered) >= ENOUGH_FOR_P95
    high = ordered[int(0.95 * len(ordered))] if enough else ordered[-1]
    high_is = "p95" if enough else "slowest"
    return Figures(side, clients, tokens, seconds, tokens / seconds, statistics.median(ordered), high, high_is)


def measure(side: str, folder: Path, gguf: Path, options: argparse.Namespace) -> Iterator[Figures]:
    starts = [sum(options.clients[:place]) * options.requests for place in range(len(options.clients))]
    plans = [
        (clients, prompts_of(clients, options.requests, start))
        for clients, start in zip(options.clients, starts, strict=True)
    ]
    if side == "engine":
        for clients, prompts in plans:
            texts, firsts, seconds = engine_load(folder, prompts, options.new_tokens)
            yield figures(side, clients, texts, firsts, seconds, folder)
        return
    with server(side, folder, gguf, options.cores, max(options.clients)) as (url, model):
        asyncio.run(load(url, model, [[WARM_UP]], 8))
        for clients, prompts in plans:
            begun = time.perf_counter()
            texts, firsts = asyncio.run(load(url, model, prompts, options.new_tokens))
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
    present = [side for side in options.sides if not missing(side)]
    needs_gguf = {"llama-cpp-python", "llama-server", "sartor-llamacpp"} & set(present)
    gguf = exported_gguf(ModelLocation("starter", folder), "bf16") if needs_gguf else Path()
    print(f"{'side':<{WIDTH}}{'clients':>8}{'tokens':>8}{'tokens/s':>10}{'first p50':>11}  p95 or slowest", flush=True)
    for side in options.sides:
        if side not in present:
            print(f"{side:<{WIDTH}} left out: {', '.join(missing(side))} not installed", flush=True)
            continue
        for each in measure(side, folder, gguf, options):
            if options.json:
                print(json.dumps(asdict(each)), flush=True)
            title = TITLES.get(each.side, each.side)
            row = f"{title:<{WIDTH}}{each.clients:>8}{each.tokens:>8}{each.tokens_a_second:>10.1f}"
            print(f"{row}{each.first_token_p50:>10.2f}s{each.first_token_high:>8.2f}s {each.high_is}", flush=True)


if __name__ == "__main__":
    main()
