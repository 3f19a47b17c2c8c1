"""The engine for minutes: memory that grows, times that drift."""

from __future__ import annotations

from pydantic import TypeAdapter

from edgekit.core.errors import CheckFailed
from edgekit.core.reports import ProfileReport
from edgekit_hil.steps.context import Context


def step(context: Context) -> str:
    """Profile a stream for the minutes that were asked for, and watch the memory.

    Raises:
        CheckFailed: the memory grows.
    """
    found, profile = context.found, context.found.profile
    assert profile is not None, "the gate comes before"
    seconds = context.options.soak_minutes * 60
    period_s = profile.latency_ms.p50 / 1000
    queries = max(100, int(seconds / period_s / 2))  # the engine and its leak test
    root = ["--root", found.places["data"]] if "data" in found.places else []
    words = ["profile", found.places["bundle"], *root, "--scenario", "single-stream", "--queries", str(queries)]
    document = context.command("soak", [*words, "--leak"], 20 + 3 * seconds / 60)
    report = TypeAdapter(ProfileReport).validate_python(document)
    if report.leak is not None and report.leak.verdict == "leak":
        raise CheckFailed(f"the memory grows: {report.leak.reason}")
    return f"{queries:,} queries, p50 {report.latency_ms.p50:.3g} ms, no growth"
