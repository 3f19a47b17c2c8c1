"""The precision that an engine really got, layer by layer, beside what its typed model asked for."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgekit.core.reports.values import Document, KpiVerdict

BYTES = {"int8": 1, "fp8": 1, "bf16": 2, "fp16": 2, "fp32": 4}
"""Of one value of each type that a layer computes in."""


@dataclass(frozen=True)
class LayerPrecision(Document):
    """One engine layer: its kind in the runtime's words, the type it computes in, and the widest type that the
    model's compute nodes in it were written in; empty: the model asked for none, or the engine does not say."""

    name: str
    kind: str
    achieved: str
    wanted: str
    nodes: tuple[str, ...] = ()
    dla: bool = False

    @property
    def missed(self) -> bool:
        """It computes in a wider type than was asked for."""
        return bool(self.wanted and self.achieved) and BYTES[self.achieved] > BYTES[self.wanted]


@dataclass(frozen=True)
class Achieved(Document):
    """What became of the request.

    ``missed`` are the layers that run wider than asked, ``unfused`` the Q/DQ that stayed layers of their own,
    ``fallbacks`` the layers that a DLA engine leaves to the GPU.  ``unknown`` counts what the list does not say:
    types of layers, and compute nodes that no layer names; with some of these, and nothing missed, the verdict is
    ``undecided``.  ``numbers`` are the counts that KPIs can limit, by the KPIs' names.
    """

    precision: str
    layers: tuple[LayerPrecision, ...]
    missed: tuple[str, ...]
    unfused: tuple[str, ...]
    reformats: int
    dla_subgraphs: int
    fallbacks: tuple[str, ...]
    unknown: int
    verdict: KpiVerdict
    numbers: dict[str, float] = field(default_factory=dict)

    def rows(self) -> list[tuple[str, str, str, str]]:
        """(layer, kind, wanted, achieved) of the layers that compute or were missed, for a table."""
        shown = [layer for layer in self.layers if layer.wanted or layer.name in self.unfused]
        return [(layer.name, layer.kind, layer.wanted or "-", layer.achieved or "?") for layer in shown]
