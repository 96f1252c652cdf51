"""`make bench`: every benchmark, one after the other."""

import runpy

for name in ("finetune_vs_trl", "banking_vs_trl", "plan_vs_reality"):
    runpy.run_module(f"benchmarks.{name}", run_name="__main__")
