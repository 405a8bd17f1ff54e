"""Run every benchmark: `python -m benchmarks`. Each prints ratios of one run; docs/benchmarks.md explains them."""

import runpy

for name in ("engine", "codec", "gate", "pipeline", "memory", "end_to_end", "backlog", "live", "status"):
    print(f"== {name}")
    runpy.run_module(f"benchmarks.{name}", run_name="__main__")
