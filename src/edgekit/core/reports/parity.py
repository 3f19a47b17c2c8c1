"""What a parity check found: layers, outputs, and what the task makes of both; see docs/parity.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgekit.core.reports.values import SCHEMA_VERSION, Document, KpiVerdict, Verdict

OutputKind = Literal["dense", "labels", "ranking", "set"]


@dataclass(frozen=True)
class OutputParity:
    """How far one output of an engine is from its reference, on the golden frame where it is farthest.

    ``kind`` says how it was compared: ``dense`` floats by relative L2, ``labels`` (integers, booleans) by the share of
    places that differ, a ``ranking`` of indices by the share that only one side has, a ``set`` of rows by the share
    that has no partner on the other side.  ``distance`` is that number; ``noise`` is the same number between the typed
    model and FP32, or, of an FP32 engine that needed it, of the model under rounding errors of its input; the limit on
    ``distance`` is ``limit``.  ``max_abs`` and ``rel_l2`` compare the engine with the typed ONNX run without any graph
    optimisation, ``rel_l2_fp32`` with the PyTorch model; None where lengths differ, or nothing is to be subtracted.
    """

    output: str
    max_abs: float | None
    rel_l2: float | None
    rel_l2_fp32: float | None
    limit_rel_l2: float
    verdict: Verdict
    kind: OutputKind = "dense"
    distance: float = 0.0
    noise: float = 0.0
    limit: float = 0.0


@dataclass(frozen=True)
class LayerParity:
    """One layer of an engine, fed with the typed model's own tensors: its error is its own.

    ``steps``: the largest error on any golden frame, in steps of the INT8 grid of its result (of a float result: of the
    grid that its span would have).  Rounding costs 0.5.  ``nodes`` are those of the typed model.
    """

    layer: str
    op: str
    nodes: tuple[str, ...]
    module: str
    tensor: str
    steps: float
    limit: float
    frame: int
    verdict: Verdict

    def __str__(self) -> str:
        name = self.nodes[0] if self.nodes else self.layer
        place = f" of {self.module}" if self.module else ""
        return f"{self.op} {name!r}{place}: {self.steps:.3g} steps, allowed {self.limit:g}"


@dataclass(frozen=True)
class LayersReport:
    """Every layer of an engine on its own.

    ``mode`` is ``outputs only`` where the backend cannot show inner tensors: ``reason`` says why.  ``compared`` counts
    layers; ``worst`` holds the worst, ``departed`` those over their limit in the order of the engine: the first is to
    blame, whatever follows from it.
    """

    mode: Literal["layers", "outputs only"]
    verdict: Verdict
    compared: int = 0
    worst: tuple[LayerParity, ...] = ()
    departed: tuple[LayerParity, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Agreement:
    """What the task makes of the engine and of its typed model, on ``frames`` calibration frames; no labels.

    ``disagreement`` is the mean over the frames, 0 to 1, of ``measure`` (pixels of another class, boxes without
    partner, other classes); ``noise`` is that between the typed model and FP32: what INT8 itself changes.  It passes up
    to ``limit``; it fails where the frames are enough to say so, ``low`` (the disagreement is surely as large) above
    ``limit_high`` (the limit is surely no larger), and is undecided in between.  On ``empty`` of the frames neither the
    typed model nor FP32 found anything that the engine could miss; where that is all of them, it is undecided too.
    """

    measure: str
    frames: int
    disagreement: float
    worst: float
    noise: float
    limit: float
    verdict: KpiVerdict
    low: float = 0.0
    limit_high: float = 0.0
    empty: int = 0


@dataclass(frozen=True)
class Departure:
    """The first layer of an engine whose output is too far from the typed model's: ``rel_l2`` over ``limit_rel_l2``.

    ``before`` is the error at the last tensor that was looked at before it; ``builds`` how many engines it took.
    """

    node: str
    op: str
    module: str
    tensor: str
    rel_l2: float
    before: float
    limit_rel_l2: float
    builds: int

    def __str__(self) -> str:
        place = f" of {self.module}" if self.module else ""
        return f"{self.op} {self.node!r}{place}: {self.rel_l2:.2g}, after {self.before:.2g} before it"


@dataclass(frozen=True)
class Reduction:
    """The smallest part of a typed model whose engine departs: ``file``, ``nodes`` of the model's ``of``."""

    file: str
    nodes: int
    of: int
    rel_l2: float
    limit_rel_l2: float

    def __str__(self) -> str:
        return f"{self.file}: {self.nodes} of {self.of} nodes, {self.rel_l2:.2g} over {self.limit_rel_l2:g}"


@dataclass(frozen=True)
class StepProof:
    """Pre- or postprocessing on the golden frames.

    ``distance`` is the largest of ``frames``, and ``where`` it was; ``measure`` says of what.  ``reason`` says why it
    was not checked, or what is wrong.
    """

    verdict: Literal["pass", "fail", "not checked"]
    frames: int = 0
    distance: float = 0.0
    limit: float = 0.0
    measure: str = ""
    where: str = ""
    reason: str = ""

    def __str__(self) -> str:
        if self.verdict == "not checked":
            return f"not checked: {self.reason}"
        at = f" at {self.where}" if self.where else ""
        because = f"; {self.reason}" if self.reason else ""
        measured = f"{self.distance:.3g} {self.measure}{at}, limit {self.limit:.3g}, {self.frames} frames"
        return f"{self.verdict} ({measured}{because})"


@dataclass(frozen=True)
class FramesProof:
    """Golden frames as they were read, through this machine's preprocessing, and golden outputs through its task.

    ``preprocessing``: raw frames to the golden inputs.  ``postprocessing``: golden outputs to the golden predictions.
    """

    preprocessing: StepProof
    postprocessing: StepProof

    @property
    def verdict(self) -> Verdict:
        """Of both."""
        return "fail" if "fail" in (self.preprocessing.verdict, self.postprocessing.verdict) else "pass"


@dataclass(frozen=True)
class VerifyReport(Document):
    """Parity of one engine with its typed model.

    It holds when every layer holds, and every output does or, as second check, the task sees no difference
    (``agreement``; a bundle has that of its build).  ``departure`` where the first layer that departs was looked for by
    building engines, ``reduction`` where the smallest such part was.  ``golden_frames`` is the proof of what comes
    before and after the engine; None: it was not asked for, as in a build.
    """

    bundle: str
    engine: str
    frames: int
    outputs: tuple[OutputParity, ...]
    verdict: Verdict
    departure: Departure | None = None
    reduction: Reduction | None = None
    layers: LayersReport | None = None
    agreement: Agreement | None = None
    golden_frames: FramesProof | None = None
    schema_version: int = SCHEMA_VERSION
