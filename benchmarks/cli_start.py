"""CPU seconds of `edgekit --help` (best and median of runs), and the heavy modules `import edgekit` loads.

python benchmarks/cli_start.py --json
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys

HEAVY = ("torch", "onnx", "onnxruntime", "cv2", "pandas")


def cpu_seconds(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=11)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    times = [cpu_seconds([sys.executable, "-m", "edgekit", "--help"]) for _ in range(args.runs)]
    listing = f"import sys, edgekit; print([m for m in {HEAVY} if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", listing], check=True, capture_output=True, text=True).stdout.strip()
    result = {
        "help_cpu_s_min": min(times),
        "help_cpu_s_median": statistics.median(times),
        "heavy_modules_loaded": loaded,
    }
    if args.json:
        print(json.dumps(result, indent=2))
    else:
        print(
            f"edgekit --help: {statistics.median(times):.3f} s CPU (median of {args.runs}); "
            f"import edgekit loads {loaded}"
        )


if __name__ == "__main__":
    main()
