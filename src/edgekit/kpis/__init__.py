"""The gate: KPIs against measured numbers and their intervals, a verdict for each and one for all; see docs/gate.md."""

from __future__ import annotations

from edgekit.kpis.checks import check_names, require_measured
from edgekit.kpis.comparison import Baseline, against, check_same
from edgekit.kpis.junit import require_junit, write_junit
from edgekit.kpis.numbers import PROFILE_METRICS, measured, profile_values
from edgekit.kpis.quantity import Measured, Sampling
from edgekit.kpis.results import judge
from edgekit.kpis.summary import markdown

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
