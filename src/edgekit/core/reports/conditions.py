"""How a profile was taken, and on what: settings, machine, traffic."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgekit.core.reports.values import Document

Fact = str | int | float | bool | None | tuple[int | str, ...]
"""One thing that a backend says of itself."""


@dataclass(frozen=True)
class MachineReport(Document):
    """What the numbers were measured on; what an old document does not say is empty or None.

    ``cpus`` are those that the process may use, ``governor`` is the frequency governor of the first CPU, or
    ``unknown``, ``load_average_1min`` the processes that ran or waited on average over the minute before.
    """

    system: str = ""
    machine: str = ""
    python: str = ""
    cpu: str = ""
    cpus: int | None = None
    governor: str = "unknown"
    load_average_1min: float | None = None


@dataclass(frozen=True)
class PeaksReport(Document):
    """Measured limits of the machine.

    ``gflops`` is by dtype (``float32`` in GFLOP/s, ``int8`` in GOP/s), ``bandwidth_gb_s`` in GB/s by the working set in
    MiB that is read and written; both with ``threads`` threads.
    """

    gflops: dict[str, float]
    bandwidth_gb_s: dict[str, float]
    threads: int = 1


@dataclass(frozen=True)
class Settings(Document):
    """What was run, and how the engine was set; what a backend does not say, or an old document, is None.

    ``queries`` counted, over ``frames`` frames, in ``loads`` openings of the engines; ``co_load``: the other cores were
    kept busy.  ``peaks`` were measured for the layers.  From ``engine`` on the backend describes itself: ``engine`` is
    its name, ``pin`` are CPUs, ``memory`` is how buffers are shared, ``layers`` counts those of the engine;
    ``more`` is what it says beyond the names here.
    """

    queries: int = 0
    loads: int = 1
    frames: int = 0
    co_load: bool = False
    peaks: PeaksReport | None = None
    engine: str = ""
    version: str | None = None
    provider: str | None = None
    threads: int | None = None
    pin: tuple[int, ...] = ()
    denormals: str | None = None
    precision: str | None = None
    memory: str | None = None
    flavour: str | None = None
    compute_capability: str | None = None
    device: str | None = None
    cuda_graph: bool | None = None
    layers: int | None = None
    more: dict[str, Fact] = field(default_factory=dict)

    @classmethod
    def of(cls, described: Mapping[str, Any], queries: int, frames: int, loads: int = 1) -> Settings:
        """With what an engine says of itself: :meth:`edgekit.engine.Engine.describe`."""
        known = {name: value for name, value in described.items() if name in _OF_ENGINE}
        if "pin" in known:
            known["pin"] = tuple(known["pin"])
        more = {name: value for name, value in described.items() if name not in _OF_ENGINE}
        return cls(queries=queries, loads=loads, frames=frames, more=more, **known)


_OF_RUN = ("queries", "loads", "frames", "co_load", "peaks", "more")
_OF_ENGINE = frozenset(one.name for one in dataclasses.fields(Settings)) - frozenset(_OF_RUN)


@dataclass(frozen=True)
class Traffic(Document):
    """The queries of one engine that ran alone; None where something does not apply to the scenario.

    Times are in milliseconds, rates in queries a second.  ``rate_hz`` was asked for, ``rate_kept_hz`` was kept.
    ``late`` queries were due while the one before still ran: ``late_share`` of all, 0 to 1, and ``late_correlation`` of
    neighbours (None too when all or none were late).  ``queueing`` is from when a query was due to its begin.
    ``warmup`` queries ran before; ``stable``: their times had settled.
    """

    queries: int
    rate_hz: float | None = None
    rate_kept_hz: float | None = None
    late: int | None = None
    late_share: float | None = None
    late_correlation: float | None = None
    queueing_p50_ms: float | None = None
    queueing_p99_ms: float | None = None
    throughput_hz: float | None = None
    idle_gap_ms: float | None = None
    warmup: int = 0
    stable: bool = True


@dataclass(frozen=True)
class Growth(Document):
    """How the memory of a process grows: KiB per 1000 queries, with the interval ``low`` to ``high`` at ``confidence``.

    ``verdict``: ``leak`` when the whole interval is above the limit, and the growth in all above what allocators settle
    by; ``no leak`` when none of it is above; ``reason`` says it with the numbers.
    """

    slope_kib_per_1000: float
    low: float
    high: float
    confidence: float
    limit_kib_per_1000: float
    verdict: str
    reason: str


@dataclass(frozen=True)
class LeakReport(Growth):
    """A leak test of ``queries`` queries.

    ``memory_kib`` holds pairs of queries run, and resident and swapped KiB of the process.
    """

    queries: int = 0
    memory_kib: tuple[tuple[int, int], ...] = ()
