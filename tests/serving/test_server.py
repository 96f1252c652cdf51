import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sartor.base.errors import UsageError
from sartor.serving.app import build_app
from sartor.serving.server import listen, serve, welcome

PROGRAM = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("fakes", sys.argv[1])
fakes = importlib.util.module_from_spec(spec)
sys.modules["fakes"] = fakes
spec.loader.exec_module(fakes)
from sartor.serving.server import serve
serve([fakes.served(fakes.FakeEngine(), id="it's")], port=0, key=sys.argv[2] or None, key_env="MY_KEY")
"""


def test_refusals_come_before_anything_is_opened(make_model: Any, engine: Any) -> None:
    with pytest.raises(UsageError, match="key is needed"):
        serve([make_model(engine)], host="0.0.0.0")
    with pytest.raises(UsageError, match="nothing to serve"):
        build_app([])
    with pytest.raises(UsageError, match="same id"):
        build_app([make_model(engine), make_model(engine)])


def test_ports_and_addresses_that_cannot_be_had() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match="cannot listen") as caught:
            listen("127.0.0.1", taken.getsockname()[1])
        assert "--port" in (caught.value.hint or "")
    with pytest.raises(UsageError):
        listen("127.0.0.1", 70_000)
    with pytest.raises(UsageError):
        listen("no such host", 0)


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "[::1]"),
        ("0.0.0.0", "127.0.0.1"),
        ("models.example", "models.example"),
    ],
)
def test_the_address_shown_can_be_used(make_model: Any, engine: Any, host: str, shown: str) -> None:
    assert f"http://{shown}:8000/v1 " in welcome([make_model(engine)], host, 8000, key_env=None)


@pytest.mark.parametrize("key", ["", "correct-horse"])
def test_the_examples_shown_work_and_an_interrupt_ends_the_server(key: str) -> None:
    root = Path(__file__).resolve().parents[2]
    server = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(Path(__file__).with_name("conftest.py")), key],
        stderr=subprocess.PIPE,
        text=True,
        cwd=root,
        # a background shell starts its children with SIGINT ignored, and so would the server be
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert server.stderr is not None
        lines: list[str] = []
        while not lines or not lines[-1].startswith("print("):
            line = server.stderr.readline()
            assert line, "".join(lines)
            lines.append(line)
        assert not key or key not in "".join(lines)
        environment = os.environ | {"MY_KEY": key}
        curl = next(line for line in lines if line.startswith("curl "))
        shown = subprocess.run(
            ["bash", "-c", curl.replace("curl ", "curl -s ", 1)],
            capture_output=True,
            text=True,
            env=environment,
            timeout=60,
        )
        assert '"content":"Hello!"' in shown.stdout, shown
        code = "".join(lines[next(n for n, line in enumerate(lines) if line.startswith("import ")) :])
        shown = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60
        )
        assert shown.stdout == "Hello!\n", shown
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=30) == -signal.SIGINT
    finally:
        server.kill()
        server.communicate()
