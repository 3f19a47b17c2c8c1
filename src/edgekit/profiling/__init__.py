"""Latency and memory of engines, and the machine they were measured on."""

from __future__ import annotations

from edgekit.profiling._coload import co_load
from edgekit.profiling.hardware import machine
from edgekit.profiling.latency import (
    MIN_QUERIES,
    STAGES,
    Driven,
    Load,
    Timed,
    drive,
    measure_latency,
    time_inference,
)
from edgekit.profiling.leak import assess_growth, leak_test
from edgekit.profiling.memory import measure_memory
from edgekit.profiling.scenarios import ConstantStream, Offline, Scenario, SingleStream, Timeline
from edgekit.stats.openings import p50_ratio
from edgekit.stats.percentiles import (
    CONFIDENCE,
    early_stopping,
    interval,
    minimum_queries,
    summarise,
    too_few,
)

__all__ = [
    "CONFIDENCE",
    "MIN_QUERIES",
    "STAGES",
    "ConstantStream",
    "Driven",
    "Load",
    "Offline",
    "Scenario",
    "SingleStream",
    "Timed",
    "Timeline",
    "assess_growth",
    "co_load",
    "drive",
    "early_stopping",
    "interval",
    "leak_test",
    "machine",
    "measure_latency",
    "measure_memory",
    "minimum_queries",
    "p50_ratio",
    "summarise",
    "time_inference",
    "too_few",
]
