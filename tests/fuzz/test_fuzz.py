"""S1 and S2 in short; `make fuzz` runs them in full."""

from collections.abc import Iterator

import pytest

from tests.fuzz.api_document import fuzz_document
from tests.fuzz.parameters import fuzz_parameters
from tests.serving.tiny_server import TinyServer, tiny_server

KEY = "correct-horse-0123456789"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyServer]:
    with tiny_server(tmp_path_factory.mktemp("tiny"), KEY) as made:
        yield made


def test_the_api_document(server: TinyServer) -> None:
    pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    passed, report = fuzz_document(server.url, KEY, examples=50, seed=1, timeout_seconds=240)
    assert passed, report
    assert "Operations:       9 selected" in report, report


def test_parameters(server: TinyServer) -> None:
    findings = fuzz_parameters(server.url, KEY, 500, seed=1)
    assert not findings.problems, "\n".join(findings.problems[:20])
    assert sum(findings.answers.values()) == 500 and findings.answers[200] > 20 and findings.answers[400] > 200
