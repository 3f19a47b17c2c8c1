"""Results of the stages, as data; their JSON Schemas are printed by ``edgekit schema``.

Every document carries ``schema_version``; a field is never renamed within a version.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from edgekit.core.reports_parity import Agreement as Agreement
from edgekit.core.reports_parity import Departure as Departure
from edgekit.core.reports_parity import LayerParity as LayerParity
from edgekit.core.reports_parity import LayersReport as LayersReport
from edgekit.core.reports_parity import OutputParity as OutputParity
from edgekit.core.reports_parity import Reduction as Reduction
from edgekit.core.reports_parity import VerifyReport as VerifyReport
from edgekit.core.reports_values import SCHEMA_VERSION as SCHEMA_VERSION
from edgekit.core.reports_values import Document as Document
from edgekit.core.reports_values import Judgement as Judgement
from edgekit.core.reports_values import Verdict as Verdict


def control_name(engine: str) -> str:
    """``FP16 control`` of ``engines/fp16.engine``; ``control`` of a file that is not named after its precision."""
    precision = engine.rpartition("/")[2].partition(".")[0]
    return f"{precision.upper()} control" if re.fullmatch(r"(fp|bf|int)\d+", precision) else "control"


@dataclass(frozen=True)
class Race(Document):
    """Median latency of a new INT8 engine and of its control, in milliseconds; ``by`` is ``edgekit`` or ``trtexec``.

    ``speedup_p50`` is control over INT8; ``interval``, ``queries`` and ``openings`` are None of medians alone.
    """

    control: str
    p50_ms: float
    control_p50_ms: float
    speedup_p50: float
    interval: Interval | None
    queries: int | None
    openings: int | None
    by: str
    verdict: Literal["faster", "rejected", "undecided"]


@dataclass(frozen=True)
class Metric:
    """The direction and unit of a number; ``higher`` says whether more is better, ``share`` that 0..1 bounds it."""

    name: str
    higher: bool
    unit: str = ""
    share: bool = True


@dataclass(frozen=True)
class Interval:
    """A confidence interval; an end is None where the data are too few to say."""

    low: float | None
    high: float | None


@dataclass(frozen=True)
class Difference:
    """Candidate minus control of one metric on the same frames, tested paired.

    ``p_value`` is two-sided; ``p_adjusted`` is corrected for all differences of the report that were
    tested with it.
    """

    value: float
    low: float | None
    high: float | None
    p_value: float | None = None
    p_adjusted: float | None = None


@dataclass(frozen=True)
class Bootstrap:
    """How intervals were made: ``unit`` is what was drawn (``frame`` or a metadata column such as ``sequence``)."""

    unit: str
    units: int
    resamples: int
    confidence: float
    seed: int
    method: str = "percentile"


@dataclass(frozen=True)
class Slice:
    """The frames whose metadata ``column`` is ``value``, and the metrics on them alone."""

    column: str
    value: str
    frames: int
    metrics: dict[str, float]
    control: dict[str, float] | None
    intervals: dict[str, Interval] = field(default_factory=dict)
    differences: dict[str, Difference] = field(default_factory=dict)


@dataclass(frozen=True)
class WorstFrame:
    """A frame by its own score of the headline metric; ``loss`` is against the control's, ``by`` why it is named."""

    id: str
    score: float
    control: float | None
    loss: float | None
    by: Literal["score", "loss"] = "score"


@dataclass(frozen=True)
class EvaluateReport(Document):
    """Task metrics of the candidate engine, and of its control on the same frames.

    ``control_engine`` is the control's file, empty in documents from before it was kept.  ``intervals`` and
    ``differences`` are by metric; ``dataset_hash`` and ``preprocess_hash`` are what two reports must share to be
    compared.  ``warnings`` say why the numbers are not what the bundle was built to show, ``notes`` how the labels were
    taken: class names that one side lacks, classes whose predictions were ignored.
    """

    bundle: str
    engine: str
    dataset: str
    frames: int
    metrics: dict[str, float]
    control: dict[str, float] | None
    intervals: dict[str, Interval] = field(default_factory=dict)
    differences: dict[str, Difference] = field(default_factory=dict)
    slices: tuple[Slice, ...] = ()
    worst: tuple[WorstFrame, ...] = ()
    bootstrap: Bootstrap | None = None
    dataset_hash: str = ""
    preprocess_hash: str = ""
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    control_engine: str = ""
    schema_version: int = SCHEMA_VERSION


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
class ProfileReport(Document):
    """Latency of one query by stage, and memory of the process that ran it.

    ``latency_ms`` is the engine's inference alone; ``stages_ms`` holds ``pre``,
    ``infer``, ``post`` and ``total``.  ``control`` is the control engine, timed in
    turn with the candidate in the same loop; ``speedup_p50`` is control over
    candidate.  ``memory_mib`` comes from a process of its own that loads this
    engine only: ``peak_rss``, and ``engine``, its growth over the imports.

    ``times_ms`` holds the inference time of every query by engine file, in the order they ran; ``speedup_interval``
    comes from them in pairs. ``noise`` is the ratio of the candidate to itself (A/A) in the same run.
    ``scenario``, ``traffic`` (rate, late queries, queueing), ``layers``, ``leak`` and ``power`` say more when they
    were asked for.  ``built`` holds counts of the engine's layers that were made when it was built.
    """

    bundle: str
    engine: str
    latency_ms: Latency
    stages_ms: dict[str, Latency]
    memory_mib: dict[str, float]
    size_mib: float
    control: dict[str, Any] | None
    speedup_p50: float | None
    speedup_interval: Interval | None = None
    noise: Interval | None = None
    times_ms: dict[str, tuple[float, ...]] = field(default_factory=dict)
    scenario: str = "single-stream"
    traffic: dict[str, Any] | None = None
    layers: tuple[LayerTime, ...] = ()
    leak: dict[str, Any] | None = None
    power: dict[str, Any] | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    built: dict[str, float] = field(default_factory=dict)
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
    """One attempt of the ladder on the target; ``drop`` and ``speedup_p50`` against FP32, timed in turn with it."""

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
    """One limit on one measured value; ``limit`` is e.g. ``{"kind": "max", "value": 33.3}``.

    ``interval`` is what the verdict was reached by; None: the value is exact. ``needed`` is the number of
    frames, queries or other ``units`` that would decide it; ``where`` names a slice; ``allowed``: it may be undecided.
    """

    name: str
    value: float
    limit: dict[str, Any]
    margin: float
    unit: str
    verdict: Judgement
    interval: Interval | None = None
    needed: int | None = None
    units: str = ""
    where: str = ""
    reason: str = ""
    allowed: bool = False


@dataclass(frozen=True)
class GateReport(Document):
    """The verdict over all KPIs of the target; ``undecided`` when nothing failed but not all passed.

    ``warnings`` are of the evaluation and the baseline; ``run`` is the one that was recorded; ``race`` the build's
    :class:`Race`; ``unmeasured`` says of KPIs that no time was left for why they are undecided.
    """

    bundle: str
    target: str
    verdict: Judgement
    kpis: tuple[KpiResult, ...]
    not_applicable: tuple[str, ...] = ()
    baseline: str | None = None
    warnings: tuple[str, ...] = ()
    run: str | None = None
    race: dict[str, Any] | None = None
    unmeasured: dict[str, str] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION


DOCUMENTS: dict[str, type] = {
    "compress": CompressReport,
    "sensitivity": SensitivityReport,
    "evaluate": EvaluateReport,
    "profile": ProfileReport,
    "verify": VerifyReport,
    "gate": GateReport,
}
