"""`python -m tests.crash`: the crash campaign (`make crash-test`). Prints a table; exit code 1 if anything failed."""

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: children are forked, and a fork must have no threads
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"

from tests.crash.campaign import TESTS, Campaign, Row
from tests.crash.children import preload

COLUMNS = "{:<4} {:<10} {:>6} {:>9} {:>9}  {}"


def main() -> int:
    options = _options()
    preload()
    folder = Path(tempfile.mkdtemp(prefix="sartor-crash-")).resolve()
    campaign = Campaign(folder, options.seed, options.reduced)
    failed = _serve(campaign) if options.serve else _print_table(campaign, options)
    if failed:
        print(f"what failed was kept in {folder}", file=sys.stderr)
    else:
        shutil.rmtree(folder)
    return int(failed)


def _print_table(campaign: Campaign, options: argparse.Namespace) -> bool:
    print(COLUMNS.format("id", "recipe", "tries", "failures", "seconds", ""))
    rows = [_show(row) for id in options.only or TESTS for row in campaign.run(id, options.tries)]
    return any(row.failures for row in rows)


def _show(row: Row) -> Row:
    note = f"skipped: {'; '.join(dict.fromkeys(row.skipped))}" if row.skipped else ""
    print(COLUMNS.format(row.id, row.recipe, row.tries, len(row.failures), f"{row.seconds:.1f}", note), flush=True)
    for failure in row.failures:
        print(f"     {failure}", file=sys.stderr, flush=True)
    return row


def _serve(campaign: Campaign) -> bool:
    """For the tests: an id a line on stdin, its rows as one JSON line on stdout."""
    failed = False
    for line in sys.stdin:
        rows = list(campaign.run(line.strip()))
        failed = failed or any(row.failures for row in rows)
        print(json.dumps([row.as_dict() for row in rows]), flush=True)
    return failed


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=TESTS, metavar="ID", help=f"of {', '.join(TESTS)}")
    parser.add_argument("--tries", type=int, help="instead of the test's own number")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reduced", action="store_true", help="as few tries as the test suite makes")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
