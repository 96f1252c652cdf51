"""`make bench`: every benchmark that needs no checkout of another project, one after the other.

Each runs in a process of its own. One that fails does not end the others; which did is said at the end.
"""

import subprocess
import sys
from collections.abc import Sequence

BENCHMARKS = (
    ["finetune_vs_trl"],
    ["banking_vs_trl"],
    ["plan_vs_reality"],
    ["decode_vs_transformers"],
    ["dpo_vs_trl"],
    ["rl_vs_trl"],
    ["ppo_memory"],
    *(["alignment_learning", what] for what in ("reward", "dpo", "ppo", "grpo", "wins")),
    ["prepare_vs_datatrove"],
    ["prepare_memory"],
    ["duplicates"],
    ["tokenize"],
    ["personal_data"],
    ["language_identification"],
    ["blimp", "starter"],
    ["embed_vs_sentence_transformers"],
    ["retrieval_quality"],
    ["knowledge_store"],
    ["abstention"],
    ["follow_ups"],
    ["serving_throughput"],
    ["verdict_calibration"],
)
EXCUSED = {
    "pretrain_vs_nanogpt": "needs a checkout of nanoGPT",
    "choice_tasks": "measures nothing: makes tasks for `sartor choose`",
    "timed_command": "measures for other benchmarks",
}


def run_all(benchmarks: Sequence[Sequence[str]]) -> list[str]:
    """Run them; those that failed."""
    failed = []
    for name, *arguments in benchmarks:
        shown = " ".join([name, *arguments])
        print(f"\n== {shown}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *arguments]).returncode:
            failed.append(shown)
    return failed


def main() -> None:
    failed = run_all(BENCHMARKS)
    if failed:
        sys.exit(f"\n{len(failed)} of {len(BENCHMARKS)} failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
