"""What the compress steps tried and chose."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from edgekit.core.reports.timing import Latency
from edgekit.core.reports.values import SCHEMA_VERSION, Document


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
class GroupCost:
    """What narrowing one group of coupled layers alone costs, and saves on the target.

    ``cost`` is the increase of the loss (of the task, or the distance of the outputs), ``saved_ms`` what the latency
    table predicts.
    """

    layers: tuple[str, ...]
    channels: int
    narrowed: int
    cost: float
    saved_ms: float


@dataclass(frozen=True)
class SensitivityReport(Document):
    """Layers by what quantizing each alone costs, the worst first.

    ``groups`` is what pruning each group of channels alone costs, the one that saves most for its cost first; empty
    where that was not asked for.
    """

    target: str
    profile: str
    metric: str | None
    layers: tuple[LayerNoise, ...]
    groups: tuple[GroupCost, ...] = ()
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True)
class Rung:
    """One attempt of the ladder on the target; ``drop`` and ``speedup_p50`` against FP32, timed in turn with it.

    ``settings`` are those of the technique, as its own ``Config`` spells them.
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
    settings: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class CompressReport(Document):
    """Why a model was compressed the way it was: every rung that was tried, and the layers to blame.

    ``waterfall`` names the rungs that lead to the chosen one step by step, the float control first.
    """

    target: str
    metric: str
    max_drop: float
    chosen: str
    rungs: tuple[Rung, ...]
    layers: tuple[LayerNoise, ...] = ()
    excluded: tuple[str, ...] = ()
    waterfall: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION
