"""Latency of engines, timed in turn inside one loop (A B, B A, ...): a drift of the machine's speed meets them all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgekit.core.errors import InputError
from edgekit.core.reports import Latency
from edgekit.core.tensors import Array, Arrays
from edgekit.data import Sample
from edgekit.engine import Engine
from edgekit.preprocess import Preprocess
from edgekit.tasks import Task

STAGES = ("pre", "infer", "post", "total")
# Below this many queries the 99th percentile is the maximum by another name.
MIN_QUERIES = 100


@dataclass(frozen=True)
class Load:
    """How often to run: queries that count, and queries before them that do not."""

    queries: int = 200
    warmup: int = 20

    def __post_init__(self) -> None:
        if self.queries < MIN_QUERIES:
            raise InputError(f"{self.queries} queries cannot show a 99th percentile; use at least {MIN_QUERIES}")
        if self.warmup < 1:
            raise InputError(f"warmup is {self.warmup}; at least 1 query must run before timing")


def measure_latency(
    engines: Mapping[str, Engine],
    samples: Sequence[Sample],
    preprocess: Preprocess,
    task: Task,
    load: Load,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, dict[str, Latency]]:
    """Latency by engine and stage.

    Args:
        engines: open engines by name.
        samples: frames to take in turn; read before timing starts.
        preprocess: timed as ``pre``.
        task: its decode is timed as ``post``.
        load: number of queries.
        advance: called after every round.
    """
    times: dict[str, list[tuple[float, ...]]] = {name: [] for name in engines}
    order = list(engines)
    for query in range(load.warmup + load.queries):
        images = samples[query % len(samples)].images
        for name in order:
            row = _query(engines[name], images, preprocess, task)
            if query >= load.warmup:
                times[name].append(row)
        order.reverse()
        advance()
    return {name: _by_stage(np.array(rows) * 1e3) for name, rows in times.items()}


def time_inference(engines: Mapping[str, Engine], feeds: Arrays, queries: int, warmup: int = 10) -> dict[str, Latency]:
    """Latency of the inference alone by engine, one set of inputs, the engines taking turns."""
    times: dict[str, list[float]] = {name: [] for name in engines}
    order = list(engines)
    for query in range(warmup + queries):
        for name in order:
            start = time.perf_counter()
            engines[name].infer(feeds)
            if query >= warmup:
                times[name].append(time.perf_counter() - start)
        order.reverse()
    return {name: summarise(np.array(seconds) * 1e3) for name, seconds in times.items()}


def _query(engine: Engine, images: Mapping[str, Array], preprocess: Preprocess, task: Task) -> tuple[float, ...]:
    start = time.perf_counter()
    prepared = preprocess(images)
    ready = time.perf_counter()
    outputs = engine.infer(prepared.feeds)
    inferred = time.perf_counter()
    task.decode(outputs, prepared.geometry)
    end = time.perf_counter()
    return ready - start, inferred - ready, end - inferred, end - start


def _by_stage(times_ms: Array) -> dict[str, Latency]:
    return {stage: summarise(times_ms[:, column]) for column, stage in enumerate(STAGES)}


def summarise(times_ms: Array) -> Latency:
    """Percentiles (linear interpolation, as numpy.percentile) of times in milliseconds, shape ``(N,)``."""
    p50, p90, p99 = (float(v) for v in np.percentile(times_ms, (50, 90, 99)))
    return Latency(p50, p90, p99, float(times_ms.mean()), len(times_ms))
