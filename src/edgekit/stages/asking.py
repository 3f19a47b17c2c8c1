"""Asked before a technique chooses: would the build refuse the engine of this model?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.core.errors import CheckFailed
from edgekit.core.golden import FP32, GOLDEN_FRAMES, Golden
from edgekit.core.spec import Spec
from edgekit.core.tensors import Arrays
from edgekit.data import Dataset
from edgekit.engine import Backend
from edgekit.preprocess import Preprocess
from edgekit.stages.prove import Spread, comparison_of
from edgekit.verification.limits import limits_of
from edgekit.verification.parity import Proven, check, require


@dataclass(frozen=True)
class Asking:
    """The build's own questions, on the same frames.

    Args:
        spec: names task, preprocessing and limits.
        source: the FP32 ONNX file.
        frames: calibration frames.
    """

    spec: Spec
    source: Path
    frames: Dataset

    def departs(self, backend: Backend, engine: Path, model: Path, precision: str) -> str:
        """Why ``engine`` is not ``model``, in the words of the build; empty: it is.

        Args:
            backend: that of the target.
            engine: built from ``model``.
            model: a typed ONNX file.
            precision: of both.
        """
        limits = limits_of(precision, self.spec.parity)
        comparison = comparison_of(
            self.spec.task.create(), Preprocess(self.spec.preprocess), self.frames, self.source, self.spec.parity
        )
        with backend.engine(engine) as opened:
            agreement = comparison.ask(opened, model, limits)
        count = min(GOLDEN_FRAMES, len(self.frames))
        spread = Spread(Preprocess(self.spec.preprocess), self.frames, count)
        golden = typed_golden(self.source, model, precision, [spread[frame].feeds for frame in range(count)])
        report = check(backend, Proven(engine, model, precision, golden), limits, agreement)
        try:
            require(report)
        except CheckFailed as problem:
            return str(problem)
        return ""


def typed_golden(source: Path, model: Path, precision: str, feeds: Sequence[Arrays]) -> Golden:
    """Golden outputs of a typed model as the build has them; the FP32 outputs are those of the ONNX file ``source``."""
    from edgekit.engine import ort

    golden = Golden(tuple(feeds))
    for reference, file in ((precision, model), (FP32, source)):
        with ort.reference(file) as engine:
            outputs = [{name: array.copy() for name, array in engine.infer(given).items()} for given in feeds]
        golden = golden.with_reference(reference, outputs)
    return golden
