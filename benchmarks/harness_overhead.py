"""What the load generator adds to a query, and how well it keeps a camera's rate.

    python benchmarks/harness_overhead.py --json

Overhead: queries of the load generator against a bare loop over the same function, in turn, round by round; the median
of the rounds' differences per query, with its distribution-free 95 % interval.  Rounds are short, so that most are not
interrupted.  An interval that reaches below zero says that the machine is too busy to show the overhead.
The functions are an empty one, a few microseconds of arithmetic, and a whole query (pre, infer, post) whose steps do
nothing: with a real engine its own noise would hide microseconds.
Rate: a constant stream of empty queries at 30 Hz.  Meant for a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from edgekit.core.tensors import Array, Arrays, TensorSpec
from edgekit.data import Sample
from edgekit.engine import Chain, Engine
from edgekit.profiling import ConstantStream, SingleStream, drive, interval, machine
from edgekit.profiling.scenarios import run

LIMIT_US = 10.0
LIMIT_RATE = 1e-3


def nothing(query: int) -> None:
    """An empty query."""


def short(query: int) -> None:
    """A few microseconds of arithmetic."""
    total = 0
    for step in range(100):
        total += step * query


class Instant(Engine):
    """Gives its inputs back."""

    def activate(self) -> None:
        self.inputs = self.outputs = (TensorSpec("x", (1,)),)

    def infer_impl(self, feeds: Arrays) -> dict[str, Array]:
        return dict(feeds)

    def deactivate(self) -> None:
        pass

    def describe(self) -> dict[str, Any]:
        return {}


class Steps:
    """Pre- and post-processing that do nothing."""

    feeds = {"x": np.zeros(1, np.float32)}  # noqa: RUF012
    geometry = None

    def __call__(self, images: object) -> Steps:
        return self

    def decode(self, outputs: Arrays, geometry: object) -> Arrays:
        return outputs


def bare(issue: Callable[[int], None], queries: int) -> float:
    """Microseconds a query of a loop that does nothing else."""
    start = time.perf_counter_ns()
    for query in range(queries):
        issue(query)
    return (time.perf_counter_ns() - start) / queries / 1e3


def generated(issue: Callable[[int], None], queries: int) -> float:
    """Microseconds a query of the load generator, from the first begin to the last end."""
    timeline = run(SingleStream(queries, warmup=1), issue)
    return int(timeline.end_ns[-1] - timeline.start_ns[0]) / queries / 1e3


def overhead(plain: Callable[[], float], harness: Callable[[], float], rounds: int) -> dict[str, Any]:
    """Microseconds a query: medians over rounds, and the interval of the median difference."""
    pairs = np.zeros((rounds, 2))
    plain(), harness()
    for number in range(rounds):
        for side in (0, 1) if number % 2 else (1, 0):
            pairs[number, side] = (plain, harness)[side]()
    added = pairs[:, 1] - pairs[:, 0]
    least = added.min()  # times are not negative, differences may be
    found = interval(added - least, 0.5)
    return {
        "bare_us": float(np.median(pairs[:, 0])),
        "harness_us": float(np.median(pairs[:, 1])),
        "overhead_us": float(np.median(added)),
        "overhead_us_low": None if found.low is None else float(found.low + least),
        "overhead_us_high": None if found.high is None else float(found.high + least),
    }


def whole_query(queries: int, rounds: int) -> dict[str, Any]:
    """``drive`` against a bare loop over the same engine, preprocess and decode."""
    steps, samples = Steps(), [Sample("frame", {})]
    with Instant() as engine:
        chain = Chain(steps, engine, steps)  # type: ignore[arg-type]

        def query(number: int) -> None:
            prepared = steps(samples[0].images)
            steps.decode(engine.infer(prepared.feeds), prepared.geometry)

        def harness() -> float:
            driven = drive(SingleStream(queries, warmup=1), chain, samples)
            assert driven.traffic.throughput_hz is not None
            return 1e6 / driven.traffic.throughput_hz

        return overhead(lambda: bare(query, queries), harness, rounds)


def rate(hertz: float, seconds: float) -> dict[str, float | int | None]:
    """How a constant stream of empty queries keeps its schedule."""
    timeline = run(ConstantStream(hertz, queries=max(2, round(hertz * seconds)), warmup=1), nothing)
    kept, waits = timeline.rate_hz, timeline.queueing_ms
    assert kept is not None
    return {
        "rate_hz": hertz,
        "rate_kept_hz": kept,
        "rate_error": abs(kept / hertz - 1),
        "queries": len(waits),
        "late": int(timeline.late.sum()),
        "start_after_schedule_p50_ms": float(np.median(waits)),
        "start_after_schedule_p99_ms": float(np.percentile(waits, 99)),
        "start_after_schedule_max_ms": float(waits.max()),
    }


def measure(queries: int, rounds: int, hertz: float, seconds: float) -> dict[str, Any]:
    found: dict[str, Any] = {
        issue.__name__: overhead(lambda i=issue: bare(i, queries), lambda i=issue: generated(i, queries), rounds)
        for issue in (nothing, short)
    }
    found["whole_query"] = whole_query(queries, rounds)
    kept = rate(hertz, seconds)
    low_enough = all(_at_most(numbers["overhead_us_high"], LIMIT_US) for numbers in found.values())
    return {
        "overhead": found,
        "rate": kept,
        "limits": {"overhead_us": LIMIT_US, "rate_error": LIMIT_RATE},
        "overhead_shown": all(_at_most(0.0, numbers["overhead_us_low"]) for numbers in found.values()),
        "holds": low_enough and kept["rate_error"] <= LIMIT_RATE,
        "queries": queries,
        "rounds": rounds,
        "machine": asdict(machine()),
    }


def _at_most(value: float | None, limit: float | None) -> bool:
    return value is not None and limit is not None and value <= limit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--queries", type=int, default=100, help="in a round")
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=30.0, help="hertz")
    parser.add_argument("--seconds", type=float, default=60.0, help="of the constant stream")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    result = measure(args.queries, args.rounds, args.rate, args.seconds)
    if args.json:
        print(json.dumps(result, indent=2))
        return
    for name, numbers in result["overhead"].items():
        print("{0}: {bare_us:.2f} us bare, {overhead_us:.2f} us more in the harness".format(name, **numbers))
    if not result["overhead_shown"]:
        print("an interval reaches below zero: this machine is too busy to show the overhead")
    print("{rate_hz:g} Hz asked, {rate_kept_hz:.5f} Hz kept ({rate_error:.1e} off)".format(**result["rate"]))


if __name__ == "__main__":
    main()
