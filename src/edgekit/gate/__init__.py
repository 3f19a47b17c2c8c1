"""The gate: KPIs against measured numbers and their intervals, a verdict for each and one for all; see docs/gate.md."""

from __future__ import annotations

from edgekit.gate.baseline import Baseline, against
from edgekit.gate.junit import require_junit, write_junit
from edgekit.gate.kpis import judge
from edgekit.gate.numbers import PROFILE_METRICS, Measured, Sampling, measured, profile_values
from edgekit.gate.summary import markdown

__all__ = [
    "PROFILE_METRICS",
    "Baseline",
    "Measured",
    "Sampling",
    "against",
    "judge",
    "markdown",
    "measured",
    "profile_values",
    "require_junit",
    "write_junit",
]
