"""64 clients of which half leave in the middle, again and again: what they leave behind, and how soon work stops.

`python -m tests.serving.disconnects --rounds 200` is the whole campaign; the test suite runs a few rounds.
"""

import argparse
import asyncio
import ctypes
import gc
import json
import os
import random
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from tests.serving.tiny_server import TinyServer, tiny_server

CLIENTS = 64
LONG_TOKENS = 3000  # more than a leaver will wait for
WARM_UP_ROUNDS = 5  # caches fill, threads start
LONGEST_WAIT_SECONDS = 1.0
MOST_BYTES_A_ROUND = 100_000  # rounding and the allocator; a lost request with its text is several times that


@dataclass(frozen=True)
class Round:
    """What was seen after one round: `wrong` are answers of those who stayed that were not as they should be."""

    wrong: int
    seconds_until_idle: float
    threads: int
    open_files: int
    memory_bytes: int


def run_rounds(rounds: int, clients: int = CLIENTS, seed: int = 0) -> list[Round]:
    """Rounds against one real server. It has just as many places as there are clients, so that one that is not given
    back shows as a refusal in the next round."""
    with tempfile.TemporaryDirectory() as folder, tiny_server(Path(folder), max_answers=clients) as server:
        draw = random.Random(seed)
        return [asyncio.run(_round(server, clients, draw)) for _ in range(rounds)]


async def _round(server: TinyServer, clients: int, draw: random.Random) -> Round:
    staying = [number for number in range(clients) if number % 2]
    wanted = await _ask(server.url, staying[0], stream=False)
    tasks = [
        _ask(server.url, staying[0], stream=number % 4 == 1)
        if number % 2
        else _leave(server.url, number, stream=number % 4 == 0, after=draw.uniform(0.0, 0.5))
        for number in range(clients)
    ]
    answers = await asyncio.gather(*tasks)
    left = time.monotonic()
    while server.local.engine.active or server.local.engine.queued:
        await asyncio.sleep(0.005)
        assert time.monotonic() < left + 30, "work went on for those who left"
    idle = time.monotonic() - left
    await asyncio.sleep(0.1)  # connections are closed
    wrong = sum(answer != wanted for number, answer in enumerate(answers) if number % 2)
    return Round(wrong, idle, threading.active_count(), len(os.listdir("/proc/self/fd")), _memory_bytes())


def _body(number: int, stream: bool, tokens: int) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"the cat number {number} sat"}]
    return {"model": "tiny", "messages": messages, "max_tokens": tokens, "stream": stream}


async def _ask(url: str, number: int, stream: bool) -> str:
    """The whole answer; a refusal is an answer of its own."""
    async with httpx.AsyncClient(timeout=120) as client:
        answer = await client.post(f"{url}/v1/chat/completions", json=_body(number, stream, 24))
    if answer.status_code != 200:
        return f"status {answer.status_code}"
    if not stream:
        return str(answer.json()["choices"][0]["message"]["content"])
    events = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    if events.pop() != "[DONE]":
        return "no end"
    deltas = [json.loads(event)["choices"][0]["delta"] for event in events]
    return "".join(delta.get("content") or "" for delta in deltas)


async def _leave(url: str, number: int, stream: bool, after: float) -> None:
    """Ask for a long answer that never ends by itself, and hang up without a word."""
    port = int(url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    ends = {str(token): -100 for token in range(3)}  # the control tokens, which would end it
    body = json.dumps(_body(number, stream, LONG_TOKENS) | {"logit_bias": ends}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/json\r\n"
    writer.write(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()
    await asyncio.sleep(after)
    writer.transport.abort()


def _memory_bytes() -> int:
    """Resident memory once what is free was given back: else rounds that happened to need more look like a leak."""
    gc.collect()
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def problems(found: list[Round]) -> list[str]:
    """What was not as it should be, in words."""
    said = []
    settled = found[min(WARM_UP_ROUNDS, len(found) - 1) :]
    if wrong := sum(each.wrong for each in found):
        said.append(f"{wrong} answers of those who stayed were wrong")
    if (slowest := max(each.seconds_until_idle for each in found)) > LONGEST_WAIT_SECONDS:
        said.append(f"work went on for {slowest:.2f} s after the last client had left")
    for name in ("threads", "open_files"):
        first, last = getattr(settled[0], name), getattr(settled[-1], name)
        if last > first:
            said.append(f"{name} grew from {first} to {last}")
    if len(settled) >= 20 and (slope := slope_bytes(settled)) > MOST_BYTES_A_ROUND:
        said.append(f"memory grew by {slope:,.0f} bytes a round")
    return said


def slope_bytes(found: list[Round]) -> float:
    """Bytes a round, by least squares."""
    return float(np.polyfit(np.arange(len(found)), [each.memory_bytes for each in found], 1)[0])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.serving.disconnects", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    found = run_rounds(options.rounds, seed=options.seed)
    settled = found[min(WARM_UP_ROUNDS, len(found) - 1) :]
    slowest = max(each.seconds_until_idle for each in found)
    print(
        f"S3   {options.rounds} rounds of {CLIENTS} clients, half of them leave: idle within {slowest:.2f} s, "
        f"{settled[-1].threads} threads, {settled[-1].open_files} open files, "
        f"{slope_bytes(settled) if len(settled) > 1 else 0.0:,.0f} bytes a round"
    )
    said = problems(found)
    for problem in said:
        print(f"     {problem}", file=sys.stderr)
    return int(bool(said))


if __name__ == "__main__":
    sys.exit(main())
