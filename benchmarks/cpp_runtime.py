"""What the C++ pipeline adds to a bare call of its engine, in turn in one process.

    python benchmarks/cpp_runtime.py BUNDLE [--repetitions 30] [--json]

Builds the preset ``bench`` (Google Benchmark) and runs ``bench_runtime`` on the bundle: a 1280x720 BGR frame through
preprocess, engine and postprocess, and the engine alone on a golden input, repeated in random order.  Medians and their
ratio; the quotient of each repetition's neighbours gives the interval.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "cpp" / "bench"


def built(target: str) -> Path:
    """The program ``target`` of the preset ``bench``."""
    root = os.environ.get("ONNXRUNTIME_ROOT", str(ROOT / "build" / "onnxruntime"))
    for command in (
        ["cmake", "-S", str(ROOT / "cpp"), "--preset", "bench", f"-DONNXRUNTIME_ROOT={root}", "-DEDGEKIT_TESTS=OFF"],
        ["cmake", "--build", str(FOLDER), "--target", target],
    ):
        subprocess.run(command, check=True, stdout=sys.stderr)
    return FOLDER / "bench" / target


def measured(program: Path, bundle: Path, repetitions: int) -> dict[str, Any]:
    """Google Benchmark's document."""
    command = [
        str(program),
        str(bundle),
        f"--benchmark_repetitions={repetitions}",
        "--benchmark_enable_random_interleaving=true",
        "--benchmark_min_time=0.3",
        "--benchmark_format=json",
    ]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def summary(document: dict[str, Any]) -> dict[str, Any]:
    """Medians in ms of processor time, their ratio, and quartiles of the ratios of single repetitions."""
    runs = [one for one in document["benchmarks"] if one["run_type"] == "iteration"]
    times = {
        name: [run["cpu_time"] / 1e6 for run in runs if run["run_name"] == name] for name in ("engine", "pipeline")
    }
    ratios = sorted(p / e for p, e in zip(times["pipeline"], times["engine"], strict=True))
    parts = {
        key: round(statistics.median(run[key] for run in runs if run["run_name"] == "pipeline") / 1e3, 3)
        for key in ("preprocess_us", "engine_us", "postprocess_us")
    }
    return {
        "repetitions": len(ratios),
        **{f"{name}_ms": round(statistics.median(found), 3) for name, found in times.items()},
        "ratio": round(statistics.median(times["pipeline"]) / statistics.median(times["engine"]), 4),
        "ratio_quartiles": [round(value, 4) for value in statistics.quantiles(ratios, n=4)[::2]],
        **{key.replace("_us", "_ms"): value for key, value in parts.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--repetitions", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = summary(measured(built("bench_runtime"), args.bundle.resolve(), args.repetitions))
    print(json.dumps(found) if args.json else "\n".join(f"{name:20} {value}" for name, value in found.items()))


if __name__ == "__main__":
    main()
