"""FP32 against INT8 latency of a bundle at one thread, interleaved in one run.

    python benchmarks/int8_speedup.py examples/camvid/artifacts/camvid-seg-cpu --json

Prints the p50 of the engine call alone, FP32 and INT8, and their ratio; the two
take turns (A B, B A, ...) so that a drift of the machine's speed meets both.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from edgekit.bundle import open_bundle
from edgekit.profiling import machine


def measure(bundle_path: Path, queries: int, warmup: int) -> dict[str, object]:
    bundle = open_bundle(bundle_path)
    if bundle.contents.control is None:
        raise SystemExit(f"{bundle_path}: the bundle has no FP32 control; its spec does not quantize")
    feeds = bundle.golden().feeds(0)
    times: dict[str, list[float]] = {"fp32": [], "int8": []}
    with bundle.engine(bundle.contents.control) as control, bundle.engine() as candidate:
        order = [("fp32", control), ("int8", candidate)]
        for query in range(warmup + queries):
            for name, engine in order:
                start = time.perf_counter()
                engine.infer(feeds)
                if query >= warmup:
                    times[name].append((time.perf_counter() - start) * 1e3)
            order.reverse()
    fp32, int8 = (np.array(times[name]) for name in ("fp32", "int8"))
    ratios = fp32 / int8
    return {
        "bundle": bundle.name,
        "threads": bundle.contents.engine.threads,
        "queries": queries,
        "fp32_p50_ms": float(np.median(fp32)),
        "int8_p50_ms": float(np.median(int8)),
        "speedup_p50": float(np.median(fp32) / np.median(int8)),
        "speedup_of_pairs_p5_p95": [float(v) for v in np.percentile(ratios, (5, 95))],
        "machine": asdict(machine()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--warmup", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    result = measure(args.bundle, args.queries, args.warmup)
    if args.json:
        print(json.dumps(result, indent=2))
    else:
        print("FP32 {fp32_p50_ms:.2f} ms, INT8 {int8_p50_ms:.2f} ms, {speedup_p50:.2f}x (p50)".format(**result))


if __name__ == "__main__":
    main()
