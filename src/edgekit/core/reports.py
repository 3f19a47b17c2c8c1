"""Results of the stages, as data; their JSON Schemas are printed by ``edgekit schema``.

Every document carries ``schema_version``; a field is never renamed within a version.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

SCHEMA_VERSION = 1

Verdict = Literal["pass", "fail"]


class Document:
    """Mix-in: a report as a JSON-ready dictionary."""

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists, strings, numbers, booleans and None."""
        return dataclasses.asdict(self)  # type: ignore[call-overload, no-any-return]


@dataclass(frozen=True)
class OutputParity:
    """How far one output of an engine is from its reference.

    ``max_abs`` and ``rel_l2`` compare the engine with the typed ONNX run without
    any graph optimisation; ``rel_l2_fp32`` compares it with the PyTorch model.
    """

    output: str
    max_abs: float
    rel_l2: float
    rel_l2_fp32: float
    limit_rel_l2: float
    verdict: Verdict


@dataclass(frozen=True)
class VerifyReport(Document):
    """Parity of one engine with its golden outputs."""

    bundle: str
    engine: str
    frames: int
    outputs: tuple[OutputParity, ...]
    verdict: Verdict
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True)
class Metric:
    """The direction and unit of a number; ``higher`` says whether more is better."""

    name: str
    higher: bool
    unit: str = ""


@dataclass(frozen=True)
class EvaluateReport(Document):
    """Task metrics of the candidate engine, and of its FP32 control on the same frames."""

    bundle: str
    engine: str
    dataset: str
    frames: int
    metrics: dict[str, float]
    control: dict[str, float] | None
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True)
class Latency(Document):
    """Percentiles in milliseconds over ``samples`` queries."""

    p50: float
    p90: float
    p99: float
    mean: float
    samples: int


@dataclass(frozen=True)
class ProfileReport(Document):
    """Latency of one query by stage, and memory of the process that ran it.

    ``latency_ms`` is the engine's inference alone; ``stages_ms`` holds ``pre``,
    ``infer``, ``post`` and ``total``.  ``control`` is the FP32 engine, timed in
    turn with the candidate in the same loop; ``speedup_p50`` is control over
    candidate.  ``memory_mib`` comes from a process of its own that loads this
    engine only: ``peak_rss``, and ``engine``, its growth over the imports.
    """

    bundle: str
    engine: str
    latency_ms: Latency
    stages_ms: dict[str, Latency]
    memory_mib: dict[str, float]
    size_mib: float
    control: dict[str, Any] | None
    speedup_p50: float | None
    settings: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True)
class LayerNoise:
    """What quantizing one layer alone does to the model's outputs.

    ``sqnr_db`` is the signal-to-quantization-noise ratio of the outputs in decibels (higher is
    better), ``noise_share`` the layer's part of the noise of all layers, ``drop`` the loss of the
    task metric when it was measured.
    """

    node: str
    op: str
    module: str
    sqnr_db: float
    noise_share: float
    drop: float | None = None


@dataclass(frozen=True)
class SensitivityReport(Document):
    """Layers by what quantizing each alone costs, the worst first."""

    target: str
    profile: str
    metric: str | None
    layers: tuple[LayerNoise, ...]
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True)
class Rung:
    """One attempt of the ladder, measured as an engine of the target.

    ``drop`` and ``speedup_p50`` are against the FP32 control, timed in turn with it.
    """

    name: str
    precision: str
    accuracy: float | None
    drop: float | None
    latency_ms: Latency | None
    speedup_p50: float | None
    size_mib: float | None
    verdict: Literal["control", "meets", "rejected"]
    reason: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CompressReport(Document):
    """Why a model was quantized the way it was: every rung that was tried, and the layers to blame."""

    target: str
    metric: str
    max_drop: float
    chosen: str
    rungs: tuple[Rung, ...]
    layers: tuple[LayerNoise, ...] = ()
    excluded: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True)
class KpiResult:
    """One limit on one measured value; ``limit`` is e.g. ``{"kind": "max", "value": 33.3}``."""

    name: str
    value: float
    limit: dict[str, Any]
    margin: float
    unit: str
    verdict: Verdict


@dataclass(frozen=True)
class GateReport(Document):
    """The verdict over all KPIs that apply to the bundle's target."""

    bundle: str
    target: str
    verdict: Verdict
    kpis: tuple[KpiResult, ...]
    not_applicable: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION


DOCUMENTS: dict[str, type] = {
    "compress": CompressReport,
    "sensitivity": SensitivityReport,
    "evaluate": EvaluateReport,
    "profile": ProfileReport,
    "verify": VerifyReport,
    "gate": GateReport,
}
