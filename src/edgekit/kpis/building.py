"""Counts of an engine's layers that a KPI can name: what its build made of the precision that was asked for."""

from __future__ import annotations

from edgekit.core.reports import Metric, ProfileReport

BUILD_METRICS = (
    Metric("missed_layers", False),
    Metric("unfused_qdq", False),
    Metric("reformat_layers", False),
    Metric("dla_subgraphs", False),
    Metric("dla_fallbacks", False),
    Metric("sparse_layers", True),
)
_BUILD = (
    "edgekit build edgekit.yaml --target NAME, where the engine runs or with --host user@board, of a target whose "
    "backend lists its layers (engine: trt with detailed_profiling: true)"
)
HOW = {metric.name: _BUILD for metric in BUILD_METRICS}
"""The command that counts them."""


def building(profile: ProfileReport) -> dict[str, float]:
    """What the profiled engine's build found, under the names of its KPIs."""
    return {metric.name: profile.built[metric.name] for metric in BUILD_METRICS if metric.name in profile.built}
