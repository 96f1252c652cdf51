"""`make bench`: every benchmark, one after the other."""

import runpy

for name in ("finetune_vs_trl",):
    runpy.run_module(f"benchmarks.{name}", run_name="__main__")
