"""`make bench`: every benchmark, one after the other."""

import runpy
import sys

BENCHMARKS = (
    ["finetune_vs_trl"],
    ["banking_vs_trl"],
    ["plan_vs_reality"],
    ["decode_vs_transformers"],
    ["dpo_vs_trl"],
    ["rl_vs_trl"],
    ["ppo_memory"],
    *(["alignment_learning", what] for what in ("reward", "dpo", "ppo", "grpo")),
)

for name, *arguments in BENCHMARKS:
    sys.argv = [name, *arguments]
    runpy.run_module(f"benchmarks.{name}", run_name="__main__")
