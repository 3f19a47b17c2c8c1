"""MLPerf's LoadGen and edgekit's single stream on one open engine: do they see the same percentiles?

    python benchmarks/loadgen_agreement.py examples/camvid/artifacts/camvid-seg-cpu --json

After every query of LoadGen, in its own thread, comes one of edgekit (LoadGen, edgekit, LoadGen, ...), so that a drift
of the machine's speed meets both, and so does what the thread has in its caches and memory.  Every run prints p50, p90
and p99 of both with their distribution-free intervals, whether each value lies in the other's interval, and whether the
intervals overlap: two samples of one distribution miss each other's 95 % interval in about one of six comparisons, by
chance.
LoadGen's latencies are read from its trace, its percentiles and early-stopping estimate from its detail log; both must
equal what edgekit computes from the same latencies.  Needs mlcommons-loadgen (a dev dependency).
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mlperf_loadgen
import numpy as np

from edgekit.bundle import open_bundle
from edgekit.core.tensors import Array, Arrays
from edgekit.engine import Engine
from edgekit.profiling import SingleStream, early_stopping, machine, summarise
from edgekit.profiling.scenarios import run

NAMES = ("p50", "p90", "p99")
# LoadGen's detail log prints the percentiles under these names, its early stopping is for the 90th.
DETAIL = {"p50": "50.00", "p90": "90.00", "p99": "99.00"}


def measure_both(engine: Engine, feeds: Arrays, queries: int, folder: Path) -> Array:
    """LoadGen's single stream, and after each of its queries one of edgekit's in the same thread; edgekit's times.

    What LoadGen's callback does after a query is complete does not count for LoadGen.
    """
    times: list[Array] = []

    def issue(samples: list[Any]) -> None:
        engine.infer(feeds)
        mlperf_loadgen.QuerySamplesComplete([mlperf_loadgen.QuerySampleResponse(s.id, 0, 0) for s in samples])
        times.append(run(SingleStream(1, warmup=1, max_warmup=1), lambda query: engine.infer(feeds)).service_ms)

    settings = mlperf_loadgen.TestSettings()
    settings.scenario = mlperf_loadgen.TestScenario.SingleStream
    settings.mode = mlperf_loadgen.TestMode.PerformanceOnly
    settings.min_query_count = settings.max_query_count = queries
    settings.min_duration_ms = 0
    logs = mlperf_loadgen.LogSettings()
    logs.enable_trace = True
    output = mlperf_loadgen.LogOutputSettings()
    output.outdir, output.copy_summary_to_stdout = str(folder), False
    logs.log_output = output
    sut = mlperf_loadgen.ConstructSUT(issue, lambda: None)
    qsl = mlperf_loadgen.ConstructQSL(1, 1, lambda samples: None, lambda samples: None)
    mlperf_loadgen.StartTestWithLogSettings(sut, qsl, settings, logs)
    mlperf_loadgen.DestroyQSL(qsl)
    mlperf_loadgen.DestroySUT(sut)
    return np.concatenate(times)[:queries]


def traced_ms(folder: Path) -> Array:
    """Latency of every query in LoadGen's trace, in the order they ran."""
    lines = (folder / "mlperf_log_trace.json").read_text().splitlines()
    samples = [line for line in lines if '"name":"Sample"' in line and '"ph":"b"' in line]
    found = [re.search(r'"query_seq":(\d+).*"complete_ns":(\d+)', line) for line in samples]
    by_query = sorted((int(m[1]), int(m[2])) for m in found if m)
    return np.array([nanoseconds for _, nanoseconds in by_query]) / 1e6


def logged_ms(folder: Path) -> dict[str, float]:
    """What LoadGen itself says: ``p50``, ``p90``, ``p99`` and ``p90_early_stopping``."""
    entries = {}
    for line in (folder / "mlperf_log_detail.txt").read_text().splitlines():
        entry = json.loads(line.removeprefix(":::MLLOG "))
        entries[entry["key"]] = entry["value"]
    said = {name: entries[f"result_{key}_percentile_latency_ns"] / 1e6 for name, key in DETAIL.items()}
    estimate = re.search(r"90\.0th percentile estimate: (\d+)", entries["early_stopping_result"])
    return said | ({"p90_early_stopping": int(estimate[1]) / 1e6} if estimate else {})


def one_run(engine: Engine, feeds: Arrays, queries: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = {"edgekit": measure_both(engine, feeds, queries, folder)}
        found["loadgen"], logged = traced_ms(folder), logged_ms(folder)
    sides = {side: summarise(times) for side, times in found.items()}
    ordered = np.sort(found["loadgen"])
    computed = {q: float(ordered[int(queries * share)]) for q, share in zip(NAMES, (0.5, 0.9, 0.99), strict=True)}
    bound = early_stopping(found["loadgen"], 0.9)
    computed |= {} if bound is None else {"p90_early_stopping": bound}
    return {
        "percentiles": {q: compare(q, sides["loadgen"], sides["edgekit"]) for q in NAMES},
        "loadgen_log": logged,
        "arithmetic_equal": computed.keys() == logged.keys()
        and all(abs(computed[k] - logged[k]) < 1e-6 for k in logged),
    }


def compare(name: str, loadgen: Any, edgekit: Any) -> dict[str, Any]:
    """Values and intervals in milliseconds, and whether each value lies in the other's interval."""
    row: dict[str, Any] = {}
    for side, own, other in (("loadgen", loadgen, edgekit), ("edgekit", edgekit, loadgen)):
        value, other_interval = getattr(own, name), other.intervals[name]
        row[side] = {"ms": value, "low": own.intervals[name].low, "high": own.intervals[name].high}
        low, high = (
            (other_interval.low is None or other_interval.low <= value),
            (other_interval.high is None or value <= other_interval.high),
        )
        row[f"{side}_in_the_others"] = bool(low and high)
    lows = [row[side]["low"] for side in ("loadgen", "edgekit") if row[side]["low"] is not None]
    highs = [row[side]["high"] for side in ("loadgen", "edgekit") if row[side]["high"] is not None]
    row["overlap"] = not lows or not highs or max(lows) <= min(highs)
    return row


def measure(bundle_path: Path, queries: int, runs: int) -> dict[str, Any]:
    bundle = open_bundle(bundle_path)
    feeds = bundle.golden().feeds(0)
    with bundle.engine() as engine:
        results = [one_run(engine, feeds, queries) for _ in range(runs)]
    rows = [row for result in results for row in result["percentiles"].values()]
    inside = sum(row["loadgen_in_the_others"] + row["edgekit_in_the_others"] for row in rows)
    return {
        "bundle": bundle.name,
        "queries": queries,
        "runs": results,
        "inside": inside,
        "comparisons": 2 * len(rows),
        "overlap": sum(row["overlap"] for row in rows),
        "arithmetic_equal": all(result["arithmetic_equal"] for result in results),
        "machine": asdict(machine()),
    }


def _shown(side: dict[str, float | None]) -> str:
    low, high = ("?" if side[end] is None else f"{side[end]:.3f}" for end in ("low", "high"))
    return f"{side['ms']:.3f} ms ({low} to {high})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--queries", type=int, default=1000, help="of each side in each run; at least 100")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.queries < 100:
        parser.error(f"--queries: {args.queries} cannot show a 99th percentile; use at least 100")
    result = measure(args.bundle, args.queries, args.runs)
    if args.json:
        print(json.dumps(result, indent=2))
        return
    for number, found in enumerate(result["runs"], 1):
        for name, row in found["percentiles"].items():
            print(f"run {number} {name}:", "; ".join(f"{side} {_shown(row[side])}" for side in ("loadgen", "edgekit")))
    print("{inside} of {comparisons} values lie in the other's interval".format(**result))
    print(f"LoadGen's own percentiles and estimate equal edgekit's: {result['arithmetic_equal']}")


if __name__ == "__main__":
    main()
