"""The gate: KPIs against measured numbers and their intervals, a verdict for each and one for all; see docs/gate.md."""

from __future__ import annotations

from edgekit.gate.baseline import Baseline, against, check_same
from edgekit.gate.junit import require_junit, write_junit
from edgekit.gate.kpis import judge
from edgekit.gate.naming import check_names, require_measured
from edgekit.gate.numbers import PROFILE_METRICS, measured, profile_values
from edgekit.gate.quantity import Measured, Sampling
from edgekit.gate.summary import markdown

__all__ = [
    "PROFILE_METRICS",
    "Baseline",
    "Measured",
    "Sampling",
    "against",
    "check_names",
    "check_same",
    "judge",
    "markdown",
    "measured",
    "profile_values",
    "require_junit",
    "require_measured",
    "write_junit",
]
