"""Seconds of ``edgekit demo`` in two checkouts, run in turn: what a change costs the whole pipeline.

python benchmarks/demo_time.py BEFORE AFTER [--runs 3] [--json]

BEFORE and AFTER are folders of checkouts; both run with this interpreter and its packages, each demo in a new folder.
Wall-clock seconds and processor seconds of the command and all its children.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def spent(checkout: Path) -> tuple[float, float]:
    """Wall-clock and processor seconds of one demo."""
    environment = {**os.environ, "PYTHONPATH": str(checkout.resolve() / "src")}
    with tempfile.TemporaryDirectory() as folder:
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        demo = [sys.executable, "-m", "edgekit", "demo"]
        done = subprocess.run(demo, cwd=folder, env=environment, check=False, stdout=sys.stderr)
        if done.returncode not in (0, 1):  # 1: a KPI is missed on this machine, all the work was done
            raise SystemExit(f"{checkout}: the demo ended with {done.returncode}")
        wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = {"before": [], "after": []}
    for _ in range(args.runs):
        for name in found:
            found[name].append(spent(getattr(args, name)))
    result: dict[str, object] = {}
    for index, kind in enumerate(("wall", "processor")):
        median = {name: statistics.median(run[index] for run in runs) for name, runs in found.items()}
        result |= {f"{name}_{kind}_s": [round(run[index], 1) for run in runs] for name, runs in found.items()}
        result[f"{kind}_ratio"] = round(median["after"] / median["before"], 3)
    print(json.dumps(result) if args.json else "\n".join(f"{name:20} {value}" for name, value in result.items()))


if __name__ == "__main__":
    main()
