"""Accuracy, latency and the gate, on the board: what is judged was measured where it will run."""

from __future__ import annotations

from typing import TypeVar

from pydantic import TypeAdapter

from edgekit.core.reports import EvaluateReport, GateReport, ProfileReport
from edgekit_hil.steps.context import Context

T = TypeVar("T")


def step(context: Context) -> str:
    """Measure and judge; with a baseline both bundles are measured in turn."""
    found, options = context.found, context.options
    bundle = found.places["bundle"]
    root = ["--root", found.places["data"]] if "data" in found.places else []
    documents = f"{context.agent.link.home}/documents/{context.lease.run}"
    words = ["gate", bundle, *root, "--history", "off", "--documents", documents]
    if options.queries is not None:
        words += ["--queries", str(options.queries)]
    if "against" in found.places:
        words += ["--against", found.places["against"]]
    found.gate = TypeAdapter(GateReport).validate_python(context.command("gate", words))
    found.evaluation = _fetched(context, documents, "evaluation", EvaluateReport)
    found.profile = _fetched(context, documents, "profile", ProfileReport)
    if options.rate_hz is not None:
        found.traffic = (_traffic(context, bundle, root, options.rate_hz),)
    return found.gate.verdict


def _fetched(context: Context, folder: str, name: str, kind: type[T]) -> T:
    content = context.agent.link.read(f"{folder}/{name}.json")
    context.keep(f"{name}.json", content)
    return TypeAdapter(kind).validate_json(content)


def _traffic(context: Context, bundle: str, root: list[str], rate_hz: float) -> ProfileReport:
    """A constant stream while the other cores are busy."""
    words = ["profile", bundle, *root, "--scenario", "constant-stream", "--rate", f"{rate_hz:g}", "--co-load"]
    if context.options.queries is not None:
        words += ["--queries", str(context.options.queries)]
    return TypeAdapter(ProfileReport).validate_python(context.command("traffic", words))
