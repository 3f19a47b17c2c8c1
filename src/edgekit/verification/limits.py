"""Limits of the parity check: data by precision (``limits.json``), overridden by the spec's ``parity`` section."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgekit.core.spec import ParityLimits

_TABLES: Mapping[str, dict[str, float]] = json.loads(Path(__file__).with_name("limits.json").read_text("utf-8"))
LIMITS: dict[str, float] = _TABLES["output_rel_l2"]
"""Relative L2 of a dense output by precision, whatever INT8 itself costs there."""


@dataclass(frozen=True)
class Limits:
    """See :class:`edgekit.core.spec.ParityLimits`, whose fields these are."""

    integer_steps: float
    float_steps: float
    output_rel_l2: float
    output_share: float
    output_noise: float
    disagreement: float
    disagreement_noise: float
    frames: int

    def steps(self, kind: str) -> float:
        """Of a layer whose result has NumPy's ``kind``."""
        return self.float_steps if kind == "f" else self.integer_steps


def limits_of(precision: str, chosen: ParityLimits | None = None) -> Limits:
    """Those of a precision; what ``chosen`` names replaces them."""
    chosen = chosen or ParityLimits()
    standard = {name: table[precision] for name, table in _TABLES.items()}
    given = {
        name: float(value) for name, value in chosen.model_dump().items() if value is not None and name in standard
    }
    return Limits(**(standard | given), frames=chosen.frames)
