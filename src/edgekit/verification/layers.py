"""Does every layer of an engine compute what the typed model says, from the typed model's own inputs?

An engine that rounds as it should is half a step of its grid away from the unrounded number, and a float layer differs
in the last digits: both are far below what a wrong scale, weight, axis or activation costs, and nothing adds up: every
layer is fed anew.  When all parts between the inputs and the outputs hold, the engine is the typed model.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from edgekit.core.golden import Golden
from edgekit.core.reports import LayerParity, LayersReport, Verdict
from edgekit.engine import Backend, Part
from edgekit.verification.limits import Limits

WORST = 10
"""Layers that a report names."""


def check_layers(backend: Backend, engine: Path, model: Path, golden: Golden, limits: Limits) -> LayersReport:
    """Each layer of ``engine`` against ``model`` on the golden frames.

    Args:
        backend: that of the target.
        engine: the file that ships.
        model: the typed ONNX file that it was built from.
        golden: gives the inputs.
        limits: in steps.

    Raises:
        ModelError: one of the files is no ONNX model, or the runtime refuses it.
    """
    parts = backend.parts(engine, model, golden.inputs)
    if parts is None:
        return LayersReport("outputs only", "pass", reason="this backend shows no inner tensors")
    return judge_parts(parts, limits)


def judge_parts(parts: Iterable[Part], limits: Limits) -> LayersReport:
    """The report on parts of an engine, in the engine's order on each frame."""
    worst: dict[tuple[str, str], LayerParity] = {}
    for part in parts:
        limit = limits.steps("i" if part.rounded else "f")
        steps = part.steps()
        made = LayerParity(
            part.layer, part.op, part.nodes, part.module, part.tensor, steps, limit, part.frame,
            "pass" if steps <= limit else "fail",
        )  # fmt: skip
        key = (part.layer, part.tensor)
        if key not in worst:
            worst[key] = made
        elif steps > worst[key].steps:
            worst[key] = replace(made)
    departed = tuple(layer for layer in worst.values() if layer.verdict == "fail")
    ranked = sorted(worst.values(), key=lambda layer: -(layer.steps / layer.limit if layer.limit > 0 else layer.steps))
    verdict: Verdict = "fail" if departed else "pass"
    return LayersReport("layers", verdict, len(worst), tuple(ranked[:WORST]), departed[:WORST])
