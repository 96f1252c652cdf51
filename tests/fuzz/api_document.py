"""S1: schemathesis reads the server's own OpenAPI document and sends what it allows and what it forbids."""

import os
import subprocess
import sys

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "missing_required_header",
    "ignored_auth",
)
LONGEST_ANSWER_SECONDS = 20  # a hang is a failure


def fuzz_document(url: str, key: str, examples: int, seed: int, timeout_seconds: float) -> tuple[bool, str]:
    """Run `examples` cases an operation: whether all is well, and what schemathesis says."""
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json", "--url", url]
    command += ["--header", f"Authorization: Bearer {key}", "--max-examples", str(examples), "--seed", str(seed)]
    command += ["--checks", ",".join(CHECKS), "--mode", "all", "--phases", "examples,coverage,fuzzing", "--no-shrink"]
    command += ["--request-timeout", str(LONGEST_ANSWER_SECONDS), "--suppress-health-check", "all"]
    command += ["--continue-on-failure", "--warnings", "off", "--no-color"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        env=os.environ | {"NO_COLOR": "1", "SCHEMATHESIS_HOOKS": ""},
    )
    return done.returncode == 0, done.stdout + done.stderr
