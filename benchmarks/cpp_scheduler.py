"""Deadlines of the C++ scheduler beside bare threads, and what it does at twice of what its threads can do.

    python benchmarks/cpp_scheduler.py [--seconds 60] [--runs 5] [--json]

Builds the preset ``bench`` and runs ``bench_scheduler``.  Each paired run has four cameras of 30 Hz on a pool of two
threads with an engine that spins for 5 ms, and in the same process at the same time four bare threads that sleep and
spin the same.  A frame is missed when its result is not there a period after its release: late, expired or replaced.
Each run at overload has the four cameras alone with an engine of twice that load: the share of its frames that each
camera gets, how old frames are when they start, and memory.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
from pathlib import Path
from typing import Any

from cpp_runtime import built


def run(program: Path, seconds: float, **options: float) -> dict[str, Any]:
    """One run's document."""
    command = [str(program), "--seconds", str(seconds)]
    for name, value in options.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def sign_test(better: int, worse: int) -> float:
    """One-sided: how likely so many pairs are worse where neither side is; ties say nothing."""
    pairs = better + worse
    return sum(math.comb(pairs, count) for count in range(worse, pairs + 1)) / 2**pairs


def summary(paired: list[dict[str, Any]], overload: list[dict[str, Any]]) -> dict[str, Any]:
    """What is claimed: misses of both sides, shares, ages and memory."""
    misses = [(one["scheduler"]["missed"], one["bare"]["missed"]) for one in paired]
    worse = sum(ours > bare for ours, bare in misses)
    better = sum(ours < bare for ours, bare in misses)
    shares = [[camera["share"] for camera in one["scheduler"]["by_camera"]] for one in overload]
    return {
        "frames": sum(one["scheduler"]["frames"] for one in paired),
        "missed": sum(ours for ours, _ in misses),
        "missed_bare": sum(bare for _, bare in misses),
        "missed_by_run": misses,
        "runs_worse": worse,
        "p_worse": round(sign_test(better, worse), 4),
        "done_ms_p99": [one["scheduler"]["done_ms_p99"] for one in paired],
        "done_ms_p99_bare": [one["bare"]["done_ms_p99"] for one in paired],
        "overload_shares": shares,
        "overload_share_ratio": [round(max(one) / max(min(one), 1e-9), 4) for one in shares],
        "overload_age_at_start_ms_p99": [one["scheduler"]["age_at_start_ms_p99"] for one in overload],
        "overload_mib_grown": [round(one["anonymous_mib_end"] - one["anonymous_mib_warm"], 3) for one in overload],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--program", type=Path, help="a bench_scheduler that is built already")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    program = args.program or built("bench_scheduler")
    paired, overload = [], []
    for _ in range(args.runs):
        paired.append(run(program, args.seconds))
        overload.append(run(program, args.seconds, overload=2))
    found = {"seconds": args.seconds, "runs": args.runs, **summary(paired, overload)}
    if args.json:
        print(json.dumps({**found, "paired": paired, "overload": overload}))
    else:
        print("\n".join(f"{name:30} {value}" for name, value in found.items()))


if __name__ == "__main__":
    main()
