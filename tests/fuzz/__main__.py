"""`python -m tests.fuzz`: S1 and S2 in full (`make fuzz`). Prints a table; exit code 1 if anything failed."""

import argparse
import logging
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"

from tests.fuzz.api_document import fuzz_document
from tests.fuzz.parameters import fuzz_parameters
from tests.serving.tiny_server import tiny_server

KEY = "correct-horse-0123456789"
LONGEST_RUN_SECONDS = 3_600


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--examples", type=int, default=1_000, help="cases an operation (S1)")
    parser.add_argument("--trials", type=int, default=10_000, help="requests (S2)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="sartor-fuzz-") as folder, tiny_server(Path(folder), KEY) as server:
        started = time.monotonic()
        found = fuzz_parameters(server.url, KEY, options.trials, options.seed)
        print(
            f"S2  {options.trials} requests, {len(found.problems)} problems, {time.monotonic() - started:.0f} s", end=""
        )
        print(f", slowest answer {found.slowest_seconds:.2f} s, status codes {dict(found.answers)}")
        started = time.monotonic()
        passed, report = fuzz_document(server.url, KEY, options.examples, options.seed, LONGEST_RUN_SECONDS)
        verdict = "fine" if passed else "FAILED"
        print(f"S1  {options.examples} cases an operation, {verdict}, {time.monotonic() - started:.0f} s")
    for problem in found.problems:
        print(problem, file=sys.stderr)
    if not passed:
        print(report, file=sys.stderr)
    return int(bool(found.problems) or not passed)


if __name__ == "__main__":
    sys.exit(main())
