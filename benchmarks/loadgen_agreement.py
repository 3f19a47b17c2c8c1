"""MLPerf's LoadGen and edgekit's single stream on one open engine: do they see the same percentiles?

    python benchmarks/loadgen_agreement.py examples/camvid/artifacts/camvid-seg-cpu --json

The two run at once and take turns query by query (LoadGen, edgekit, LoadGen, ...), so that a drift of the machine's
speed meets both; each waits outside what it times.  Every run prints p50, p90 and p99 of both with their
distribution-free intervals, whether each value lies in the other's interval, and whether the intervals overlap: two
samples of one distribution miss each other's 95 % interval in about one of six comparisons, by chance.
LoadGen's latencies are read from its trace, its percentiles and early-stopping estimate from its detail log; both must
equal what edgekit computes from the same latencies.  Needs mlcommons-loadgen (a dev dependency).
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import threading
from pathlib import Path
from typing import Any

import mlperf_loadgen
import numpy as np

from edgekit.bundle import open_bundle
from edgekit.core.tensors import Array, Arrays
from edgekit.engine import Engine
from edgekit.profiling import SingleStream, early_stopping, machine, summarise
from edgekit.profiling.scenarios import run
from edgekit.verify import feeds_of

NAMES = ("p50", "p90", "p99")
# LoadGen's detail log prints the percentiles under these names, its early stopping is for the 90th.
DETAIL = {"p50": "50.00", "p90": "90.00", "p99": "99.00"}
TURN_S = 600.0


class Turns:
    """Lets one of two threads run at a time."""

    def __init__(self) -> None:
        self._mine = {side: threading.Semaphore(0) for side in ("loadgen", "edgekit")}

    def give(self, side: str) -> None:
        self._mine[side].release()

    def wait(self, side: str) -> None:
        if not self._mine[side].acquire(timeout=TURN_S):
            raise SystemExit(f"{side} waited {TURN_S:g} s for its turn; the other side has stopped")


def own_side(engine: Engine, feeds: Arrays, queries: int, turns: Turns, found: dict[str, Array]) -> None:
    """edgekit's single stream: its pauses between queries are LoadGen's turns."""

    def pause(seconds: float) -> None:
        turns.give("loadgen")
        turns.wait("edgekit")

    timeline = run(SingleStream(queries, idle_gap_ms=1e-3), lambda query: engine.infer(feeds), sleep=pause)
    turns.give("loadgen")
    found["edgekit"] = timeline.service_ms


def loadgen_side(engine: Engine, feeds: Arrays, queries: int, turns: Turns, folder: Path) -> None:
    """LoadGen's single stream; what its callback does after a query is complete does not count."""

    def issue(samples: list[Any]) -> None:
        engine.infer(feeds)
        mlperf_loadgen.QuerySamplesComplete([mlperf_loadgen.QuerySampleResponse(s.id, 0, 0) for s in samples])
        turns.give("edgekit")
        turns.wait("loadgen")

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
    turns.wait("loadgen")
    mlperf_loadgen.StartTestWithLogSettings(sut, qsl, settings, logs)
    mlperf_loadgen.DestroyQSL(qsl)
    mlperf_loadgen.DestroySUT(sut)


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
    turns, found = Turns(), {}
    own = threading.Thread(target=own_side, args=(engine, feeds, queries, turns, found), daemon=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        own.start()
        loadgen_side(engine, feeds, queries, turns, folder)
        own.join(TURN_S)
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
        value, theirs = getattr(own, name), other.intervals[name]
        row[side] = {"ms": value, "low": own.intervals[name].low, "high": own.intervals[name].high}
        low, high = (theirs.low is None or theirs.low <= value), (theirs.high is None or value <= theirs.high)
        row[f"{side}_in_the_others"] = bool(low and high)
    lows = [row[side]["low"] for side in ("loadgen", "edgekit") if row[side]["low"] is not None]
    highs = [row[side]["high"] for side in ("loadgen", "edgekit") if row[side]["high"] is not None]
    row["overlap"] = not lows or not highs or max(lows) <= min(highs)
    return row


def measure(bundle_path: Path, queries: int, runs: int) -> dict[str, Any]:
    bundle = open_bundle(bundle_path)
    feeds = feeds_of(bundle.golden(), 0)
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
        "machine": machine(),
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
