"""Latency and memory of engines.

Engines are timed in turn inside one loop (A B, B A, ...), so that a drift of the
machine's speed meets them all; memory is read in a process of its own per engine.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.core import plugins
from edgekit.core.errors import CheckFailed, InputError
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


def measure_memory(
    backend: str, engine: Path, config: Mapping[str, Any], feeds: Arrays, queries: int = 20
) -> dict[str, float]:
    """Memory in MiB of a fresh process that opens one engine and runs ``queries`` queries.

    Returns ``peak_rss`` (of the whole process), ``imports`` (resident before the
    engine was opened) and ``engine`` (the difference).

    Raises:
        CheckFailed: the child process died.
    """
    with tempfile.TemporaryDirectory() as folder:
        arrays = Path(folder) / "feeds.npz"
        np.savez(arrays, allow_pickle=False, **dict(feeds))
        order = {
            "backend": backend,
            "engine": str(engine),
            "config": dict(config),
            "feeds": str(arrays),
            "queries": queries,
        }
        child = subprocess.run(
            [sys.executable, "-c", "from edgekit.profiling import _child; _child()"],
            input=json.dumps(order),
            capture_output=True,
            text=True,
            check=False,
        )
    if child.returncode != 0:
        last = (child.stderr.strip().splitlines() or ["no message"])[-1]
        raise CheckFailed(f"the process that measures memory of {engine.name} ended with {child.returncode}: {last}")
    result: dict[str, float] = json.loads(child.stdout)
    return result


def _child() -> None:
    order = json.load(sys.stdin)
    module = plugins.load("engine", order["backend"])
    config = module.Config.model_validate(order["config"])
    with np.load(order["feeds"]) as stored:
        feeds = dict(stored)
    module.fingerprint(config)  # imports the runtime, so that its code is not counted as the engine's
    before = _resident_mib("VmRSS")
    with module.open(Path(order["engine"]), config) as engine:
        for _ in range(order["queries"]):
            engine.infer(feeds)
    # VmHWM, not ru_maxrss: the latter starts at the parent's size when a process is forked.
    peak = _resident_mib("VmHWM")
    json.dump({"peak_rss": peak, "imports": before, "engine": peak - before}, sys.stdout)


def _resident_mib(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise InputError(f"/proc/self/status has no {field}; memory is measured on Linux only")


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    facts: dict[str, Any] = {
        "system": platform.system(),
        "machine": platform.machine(),
        "python": platform.python_version(),
    }
    facts["cpu"] = _cpu_model()
    facts["cpus"] = len(os.sched_getaffinity(0))
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    facts["governor"] = governor.read_text().strip() if governor.exists() else "unknown"
    facts["load_average_1min"] = round(os.getloadavg()[0], 2)
    return facts


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith(("model name", "Model"))]
    return models[0] if models else platform.processor() or "unknown"
