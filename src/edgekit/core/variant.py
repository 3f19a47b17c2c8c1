"""A model as a chain of compress steps made it: what it computes, in which numbers, and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

Changes = Literal["numbers", "function"]
"""What a compress step changes: the numbers that the same network computes in, or the network itself."""


@dataclass(frozen=True)
class Edit:
    """One compress step that a model went through.

    ``step`` is the step's key in the spec, ``method`` its technique, ``key`` that of the stage that ran it.
    """

    step: str
    method: str
    changes: Changes
    key: str

    @property
    def label(self) -> str:
        """The word of it in a variant's name."""
        return self.method if self.step == "quantize" else self.step


@dataclass(frozen=True)
class Lineage:
    """Where a model comes from: SHA-256 of the user's FP32 graph, and the steps since, in order."""

    source: str
    edits: tuple[Edit, ...] = ()

    def then(self, edit: Edit) -> Lineage:
        """One step further."""
        return replace(self, edits=(*self.edits, edit))

    @property
    def function(self) -> tuple[Edit, ...]:
        """The steps after which the model computed something else than before."""
        return tuple(edit for edit in self.edits if edit.changes == "function")

    def to_dict(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return {"source": self.source, "edits": [asdict(edit) for edit in self.edits]}


@dataclass(frozen=True)
class Variant:
    """One model of a chain.

    Args:
        name: in file names; ``int8`` of the user's own network, ``int8-<step>`` of one that was changed.
        precision: what it computes in.
        placement: Q/DQ placement of an INT8 model, or None.
        lineage: where it comes from.
        model: the typed ONNX file.
        golden: the golden inputs and outputs that its engines are held against: of the same function.
        reference: the FP32 ONNX file of the same function.
        preprocess: the spec's sections by model input where a step changed them; none: as in the spec.
    """

    name: str
    precision: str
    placement: str | None
    lineage: Lineage
    model: Path
    golden: Path
    reference: Path
    preprocess: Mapping[str, Any] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        """Whether it computes another function than the user's network."""
        return bool(self.lineage.function)


def name_of(precision: str, lineage: Lineage) -> str:
    """The name of a variant: its precision, and the steps that changed its function."""
    return "-".join((precision, *(edit.label for edit in lineage.function)))
