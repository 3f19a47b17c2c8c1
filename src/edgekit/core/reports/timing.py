"""What a profile measured: latency, memory, layers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from edgekit.core.reports.conditions import LeakReport, MachineReport, Settings, Traffic
from edgekit.core.reports.power import PowerReport
from edgekit.core.reports.values import SCHEMA_VERSION, Document, Interval


@dataclass(frozen=True)
class Latency(Document):
    """Percentiles in milliseconds over ``samples`` queries.

    ``intervals`` (``p50``, ``p90``, ``p99``, ``p999``) are distribution-free, ``bounds`` are MLPerf's early-stopping
    estimates: the percentile is below with 99 % confidence; None when the queries are too few for one.
    ``p999`` is None below the 6636 queries that it needs.
    """

    p50: float
    p90: float
    p99: float
    mean: float
    samples: int
    p999: float | None = None
    intervals: dict[str, Interval] = field(default_factory=dict)
    bounds: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class LayerTime:
    """Time of one layer (or what the runtime fused into one) in a query: mean milliseconds, and its share of all.

    ``flops`` and ``bytes`` are what the layer computes and moves (None: not known); ``bound`` says which of
    the two limits it on this machine.  ``fused`` names the other nodes of the model that it holds.
    """

    node: str
    op: str
    module: str
    dtype: str
    ms: float
    share: float
    flops: int | None = None
    bytes: int | None = None
    bound: Literal["compute", "memory", "overhead"] | None = None
    fused: tuple[str, ...] = ()


@dataclass(frozen=True)
class ControlProfile(Document):
    """The control's part of a profile: its file, latency, size and memory, each as :class:`ProfileReport` has its own.

    ``size_mib`` is None in a document that does not say; ``memory_mib`` is empty where there was no time for it.
    """

    engine: str
    latency_ms: Latency
    size_mib: float | None = None
    memory_mib: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ProfileReport(Document):
    """Latency of one query by stage, and memory of the process that ran it.

    ``latency_ms`` is the engine's inference alone; ``stages_ms`` holds ``pre``,
    ``infer``, ``post`` and ``total``.  ``control`` is the control engine, timed in
    turn with the candidate in the same loop; ``speedup_p50`` is control over
    candidate.  ``memory_mib`` comes from a process of its own that loads this
    engine only: ``peak_rss``, and ``engine``, its growth over the imports.

    ``times_ms`` holds the inference time of every query by engine file, in the order they ran; ``speedup_interval``
    comes from them in pairs. ``noise`` is the ratio of the candidate to itself (A/A) in the same run.
    ``traffic`` is None where engines took turns; ``layers``, ``leak`` and ``power`` say more when they were asked
    for.  ``built`` holds counts of the engine's layers that were made when it was built.
    """

    bundle: str
    engine: str
    latency_ms: Latency
    stages_ms: dict[str, Latency]
    memory_mib: dict[str, float]
    size_mib: float
    control: ControlProfile | None
    speedup_p50: float | None
    speedup_interval: Interval | None = None
    noise: Interval | None = None
    times_ms: dict[str, tuple[float, ...]] = field(default_factory=dict)
    scenario: str = "single-stream"
    traffic: Traffic | None = None
    layers: tuple[LayerTime, ...] = ()
    leak: LeakReport | None = None
    power: PowerReport | None = None
    settings: Settings = field(default_factory=Settings)
    machine: MachineReport = field(default_factory=MachineReport)
    built: dict[str, float] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION
