"""What `sartor plan` foretells against what `sartor finetune` then takes: peak memory and time, five configurations.

    python -m benchmarks.plan_vs_reality [--only NAME ...] [--base starter]

Rows are GSM8K's train split (`SARTOR_DATA/raw/gsm8k`), short ones or long ones. The plan and the run are commands in
processes of their own; the run's time is that of its process from start to end, its memory the process's peak resident
set. The plan is right when memory is within 15 % and time within 25 %.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.finetune_vs_trl import gsm8k_rows
from benchmarks.timed_command import timed

MEMORY_TOLERANCE, TIME_TOLERANCE = 0.15, 0.25


@dataclass(frozen=True)
class Case:
    """Rows and options of one run; `long` rows are the longest of the file, else the shortest are taken."""

    name: str
    rows: int
    long: bool
    options: tuple[str, ...]


CASES = (
    Case("lora-short", 100, False, ("--micro-batch-tokens", "1024")),
    Case("lora-long", 40, True, ("--batch-rows", "4", "--lora-rank", "32")),
    Case("full", 40, False, ("--adapter", "none", "--evaluations", "1", "--micro-batch-tokens", "512")),
    Case("checkpointing", 50, True, ("--activation-checkpointing", "--micro-batch-tokens", "4096")),
    Case("qlora", 60, False, ("--adapter", "qlora")),
)
COMMON = ("--batch-rows", "8", "--epochs", "1", "--evaluations", "2")


def write_rows(file: Path, dev_file: Path, case: Case) -> None:
    """The case's rows, and a fifth as many to hold out."""
    rows = gsm8k_rows()
    rows.sort(key=lambda row: len(row["question"]) + len(row["answer"]), reverse=case.long)
    held_out = case.rows // 5
    for path, chosen in ((dev_file, rows[:held_out]), (file, rows[held_out : held_out + case.rows])):
        path.write_text("".join(json.dumps(row) + "\n" for row in chosen))


def plan_and_run(case: Case, base: str) -> dict[str, Any]:
    """Predicted and real peak memory (bytes) and time (seconds)."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder / "train.jsonl", folder / "dev.jsonl", case)
        given = [str(folder / "train.jsonl"), "--dev", str(folder / "dev.jsonl"), "--base", base]
        command = [sys.executable, "-m", "sartor"]
        options = [*given, *COMMON, *case.options]
        planned = subprocess.run([*command, "plan", *options, "--json"], stdout=subprocess.PIPE, text=True, check=True)
        plan = json.loads(planned.stdout)
        seconds, peak = timed([*command, "finetune", *options, "--out", str(folder / "run")])
    return {
        "name": case.name,
        "steps": plan["estimate"]["steps"],
        "planned_bytes": plan["measured"]["memory"]["peak"],
        "peak_bytes": peak,
        "planned_seconds": plan["estimate"]["seconds"],
        "seconds": seconds,
    }


def line(found: dict[str, Any]) -> str:
    memory = found["planned_bytes"] / found["peak_bytes"] - 1
    duration = found["planned_seconds"] / found["seconds"] - 1
    right = abs(memory) <= MEMORY_TOLERANCE and abs(duration) <= TIME_TOLERANCE
    planned, real = found["planned_bytes"] / 1e9, found["peak_bytes"] / 1e9
    return (
        f"{found['name']:<14} {found['steps']:>5} {planned:>9.2f} {real:>7.2f} "
        f"{memory:>+7.1%} {found['planned_seconds']:>9.1f} {found['seconds']:>7.1f} {duration:>+7.1%}  "
        f"{'right' if right else 'WRONG'}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default="starter")
    parser.add_argument("--only", nargs="+", choices=[case.name for case in CASES], help="these configurations only")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    found = [plan_and_run(case, options.base) for case in CASES if not options.only or case.name in options.only]
    if options.json:
        print(json.dumps(found, indent=2))
        return
    print(f"{'':<14} steps   GB plan    real    off       s plan    real    off")
    for each in found:
        print(line(each))


if __name__ == "__main__":
    main()
