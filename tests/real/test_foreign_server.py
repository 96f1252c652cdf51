"""The API path against a server that is not ours: llama.cpp's OpenAI server with the starter, behind a proxy that
answers 429 and 500 and drops connections. Nothing is lost, and nothing that was answered is asked twice."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sartor.choosing.measure import read_answers
from sartor.choosing.service import ANSWERS_FILE
from sartor.models.hub import locate
from sartor.recipes.exported import exported_gguf
from tests.fault_proxy import Fault, Proxy, faulty
from tests.tiny_folders import write_rows

for needed in ("llama_cpp", "sse_starlette", "starlette_context", "pydantic_settings"):
    pytest.importorskip(needed, reason=f"llama.cpp's server cannot run: {needed} is not installed")

START_SECONDS, RUN_SECONDS, STOP_SECONDS = 120, 300, 20
NUM_TRAIN, NUM_DEV, NUM_TEST = 8, 4, 6
FAULTS = {  # of the first time that a question is asked in some way: three of dev rows, three of test rows
    "Greece": Fault.CUT, "Kenya": Fault.BROKEN, "Austria": Fault.BUSY,
    "Chile": Fault.BUSY, "Ghana": Fault.CUT, "Iran": Fault.BROKEN,
}  # fmt: skip
FAULTS_UNTIL = 40  # requests; afterwards dev rows are spared
HELD_FROM = 24  # in the run that is killed: in the middle of the dev rows
ADDRESS = "jane.doe@harbour-office.de"  # planted in a test row
ASKED_AGAIN_BY_CHECKS = ("Count from 1", "one sentence")  # whether a service repeats itself is told by asking again


@pytest.fixture(scope="module")
def server(starter_model: Path) -> Iterator[str]:
    """llama.cpp's own server: its host and port."""
    gguf = exported_gguf(locate("starter"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "llama_cpp.server", "--model", str(gguf), "--model_alias", "starter",
        "--host", "127.0.0.1", "--port", str(port), "--n_ctx", "1024", "--n_threads", "1", "--n_threads_batch", "1",
        "--interrupt_requests", "False", "--verbose", "False",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        assert process.poll() is None, f"llama.cpp's server ended with {process.returncode}"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    pytest.fail("llama.cpp's server did not start")


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tasks") / "capitals"
    folder.mkdir()
    (folder / "task.yaml").write_text("name: capitals\ninstruction: Answer with one word.\nscorer: contains\n")
    pairs = [
        ("France", "Paris"), ("Italy", "Rome"), ("Spain", "Madrid"), ("Japan", "Tokyo"), ("Egypt", "Cairo"),
        ("Norway", "Oslo"), ("Cuba", "Havana"), ("Peru", "Lima"), ("Greece", "Athens"), ("Kenya", "Nairobi"),
        ("Austria", "Vienna"), ("Poland", "Warsaw"), ("Chile", "Santiago"), ("Ghana", "Accra"), ("Iran", "Tehran"),
        ("Qatar", "Doha"), ("Latvia", "Riga"), ("Nepal", "Kathmandu"),
    ]  # fmt: skip
    rows = [{"question": f"What is the capital of {land}?", "answer": city} for land, city in pairs]
    rows[-1]["question"] += f" Write to {ADDRESS}."
    write_rows(folder / "train.jsonl", rows[:NUM_TRAIN])
    write_rows(folder / "dev.jsonl", rows[NUM_TRAIN : NUM_TRAIN + NUM_DEV])
    write_rows(folder / "test.jsonl", rows[NUM_TRAIN + NUM_DEV :])
    return folder


@contextmanager
def choosing(task: Path, out: Path, proxy: Proxy) -> Iterator["subprocess.Popen[str]"]:
    """`sartor choose` of the API path alone, with a price for it."""
    prices = out.parent / "prices.yaml"
    host = proxy.url.removeprefix("http://").removesuffix("/v1")
    prices.write_text(
        f'prices:\n  - {{host: "{host}", models: [starter], input_per_million: 2, output_per_million: 8, '
        "as_of: 2026-01-31}\n"
    )
    command = [
        sys.executable, "-m", "sartor", "choose", str(task), "--out", str(out), "--paths", "api", "--budget", "1h",
        "--api", "starter", "--api-base-url", proxy.url, "--prices", str(prices), "--json",
    ]  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    environment |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "NO_PROXY": "127.0.0.1"}
    said = (out.parent / "said").open("w")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True, env=environment)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=STOP_SECONDS)
        said.close()


def chosen(task: Path, out: Path, proxy: Proxy) -> dict[str, Any]:
    """The run's choice.json once it has ended well."""
    with choosing(task, out, proxy) as process:
        printed, _ = process.communicate(timeout=RUN_SECONDS)
        assert process.returncode == 0, (out.parent / "said").read_text()
    choice: dict[str, Any] = json.loads(printed)
    return choice


def breaking(number: int, body: str, attempt: int) -> Fault:
    asked = json.loads(body)["messages"][-1]["content"]
    fault = next((fault for land, fault in FAULTS.items() if f"capital of {land}" in asked), Fault.NONE)
    return fault if attempt == 1 and (number <= FAULTS_UNTIL or is_of_test(asked)) else Fault.NONE


def is_of_test(question: str) -> bool:
    return any(f"capital of {land}" in question for land in ("Chile", "Ghana", "Iran"))


def require_whole(choice: dict[str, Any], out: Path, proxy: Proxy) -> list[dict[str, Any]]:
    """The answers to the test rows: all there, each the very text that came through the proxy, each asked for once."""
    (path,) = choice["paths"]
    answers = read_answers(out / "answers" / "api.jsonl")
    assert (path["n"], path["unscored"], len(answers)) == (NUM_TEST, 0, NUM_TEST)
    for answer in answers:
        (choices,) = proxy.answers[body_of(answer, proxy)]["choices"]
        assert answer["text"] == choices["message"]["content"]
    twice = [body for body, times in proxy.answered.items() if times > 1]
    assert not [body for body in twice if not any(known in body for known in ASKED_AGAIN_BY_CHECKS)]
    return answers


def test_faults_lose_nothing_and_ask_nothing_twice(server: str, task: Path, tmp_path: Path) -> None:
    with faulty(server, breaking) as proxy:
        choice = chosen(task, tmp_path / "run", proxy)
    assert {Fault.BUSY, Fault.CUT, Fault.BROKEN} <= set(proxy.faults), "every kind of fault has happened"
    answers = require_whole(choice, tmp_path / "run", proxy)
    (path,) = choice["paths"]
    spent = sum(2e-6 * answer["prompt_tokens"] + 8e-6 * answer["completion_tokens"] for answer in answers)
    assert path["cost_per_1k"] == pytest.approx(1000 * spent / NUM_TEST) and spent > 0
    assert path["hosts"] == [proxy.url.removeprefix("http://").removesuffix("/v1")]
    assert path["personal_data"] == {"email_address": 1}
    received = [proxy.bytes_received[body_of(answer, proxy)] for answer in answers]
    assert [answer["bytes_sent"] for answer in answers] == received and path["bytes_sent"] == sum(received)


def body_of(answer: dict[str, Any], proxy: Proxy) -> str:
    """The body that asked for it."""
    asked = {body: json.loads(body) for body in proxy.asked}
    wanted = answer["messages"], answer["seed"]
    (body,) = [body for body, each in asked.items() if (each["messages"], each["seed"]) == wanted]
    return body


def test_a_killed_run_goes_on_without_asking_again(server: str, task: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    held = {"from": HELD_FROM}

    def holding(number: int, body: str, attempt: int) -> Fault:
        return Fault.HELD if number >= held["from"] else Fault.NONE

    with faulty(server, holding) as proxy:
        with choosing(task, out, proxy) as process:
            _wait_until_nothing_is_under_way(process, proxy, out)
            process.kill()
            process.wait(STOP_SECONDS)
        kept = len((out / ANSWERS_FILE).read_text().splitlines())
        proxy.let_go()
        held["from"] = 10**9
        choice = chosen(task, out, proxy)
        assert kept > 0
        require_whole(choice, out, proxy)


def _wait_until_nothing_is_under_way(process: "subprocess.Popen[str]", proxy: Proxy, out: Path) -> None:
    """Until the proxy holds requests, and every answer to a dev row that it has let through is written down."""
    end = time.monotonic() + RUN_SECONDS
    while time.monotonic() < end:
        assert process.poll() is None, (out.parent / "said").read_text()
        with proxy.lock:
            let_through = sum(times for body, times in proxy.answered.items() if "What is the capital" in body)
            waits = proxy.faults[Fault.HELD] > 0 and proxy.under_way == 0
        file = out / ANSWERS_FILE
        if waits and file.is_file() and 0 < let_through == len(file.read_text().splitlines()):
            return
        time.sleep(0.05)
    pytest.fail("the run did not get to the held requests")
