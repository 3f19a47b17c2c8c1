"""Latency and memory of engines, and the machine they were measured on."""

from __future__ import annotations

from edgekit.profiling.latency import MIN_QUERIES, STAGES, Load, measure_latency, summarise, time_inference
from edgekit.profiling.machine import machine
from edgekit.profiling.memory import measure_memory

__all__ = [
    "MIN_QUERIES",
    "STAGES",
    "Load",
    "machine",
    "measure_latency",
    "measure_memory",
    "summarise",
    "time_inference",
]
