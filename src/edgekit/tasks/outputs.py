"""Outputs of unknown meaning: how far they are from those of the control on the same frames.

For a network that no other task fits.  Frames need no labels, because the control's outputs stand in their place.  Of
each frame and output the relative L2 distance, the cosine and the largest absolute difference are kept; the metrics
are their means and quantiles over the frames.  An engine that is its own control has the distance 0.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from edgekit.core import suggest
from edgekit.core.errors import DataError, SpecError, TensorError
from edgekit.core.predictions import Geometry, Tensors
from edgekit.core.reports import Metric
from edgekit.core.tensors import Array, Arrays, TensorSpec
from edgekit.tasks import Accumulator, Task, TaskConfig
from edgekit.tasks._captions import Line, captioned, tagged
from edgekit.tasks._weights import Records, checked, checked_rows, mean_of, quantile, single

_MEASURES = {"rel_l2": False, "cosine": True, "max_abs": False}
"""What is kept of a frame and output, and whether more is better."""
_QUANTILES = {False: {"p50": 0.5, "p90": 0.9, "p99": 0.99}, True: {"p50": 0.5, "p10": 0.1, "p01": 0.01}}
"""Towards the frames that are worst."""
_SHOWN = 6
"""Outputs that are written on a picture."""


def _different(names: tuple[str, ...]) -> tuple[str, ...]:
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise ValueError(f"{twice!r} is there twice; name each output once")
    return names


class Config(TaskConfig):
    """``output`` names the model outputs that are compared, one or several."""

    kind: Literal["outputs"] = "outputs"
    output: str | Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_different)]

    def create(self) -> Outputs:
        return Outputs((self.output,) if isinstance(self.output, str) else self.output)


def _parts(names: Sequence[str]) -> tuple[str, ...]:
    """What the names of metrics of one output end in; of a single output they would say the same again."""
    return tuple(f"/{name}" for name in names) if len(names) > 1 else ()


class Outputs(Task):
    """Outputs as they are, :class:`~edgekit.core.predictions.Tensors`, held against the control's."""

    def __init__(self, output: Sequence[str]) -> None:
        self.output = tuple(output)

    labelled = False
    against_control = True

    def truth(self, given: Any, control: Any) -> Any:
        """What the control gives on the frame; labels say nothing of this task."""
        return control

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """``rel_l2``, ``cosine``, ``max_abs`` with quantiles: of the furthest output, then of each of several."""
        return tuple(
            Metric(f"{name}{part}", higher, share=False)
            for part in ("", *_parts(self.output))
            for measure, higher in _MEASURES.items()
            for name in (measure, *(f"{measure}_{tail}" for tail in _QUANTILES[higher]))
        )

    def check_outputs(self, outputs: Sequence[TensorSpec]) -> None:
        """Raise :class:`SpecError` unless the model has every output."""
        known = tuple(spec.name for spec in outputs)
        for name in self.output:
            if name not in known:
                raise SpecError(f"task.output: the model has no output {name!r}; {suggest.allowed(name, known)}")
        wrong = next((s for s in outputs if s.name in self.output and np.dtype(s.dtype).kind not in "fiub"), None)
        if wrong is not None:
            raise SpecError(f"task.output: the model gives {wrong}; expected numbers")
        flat = next((s for s in outputs if s.name in self.output and 0 in s.shape), None)
        if flat is not None:
            raise SpecError(f"task.output: the model gives {flat}, which holds nothing to compare")

    def decode(self, outputs: Arrays, geometry: Geometry) -> Tensors:
        """The outputs, copied; the frame's geometry plays no part.

        Raises:
            TensorError: an output is missing, or holds NaN or infinity.
        """
        found = {}
        for name in self.output:
            if name not in outputs:
                raise TensorError(f"no output {name!r}; {suggest.allowed(name, tuple(outputs))}")
            if not np.isfinite(outputs[name]).all():
                raise TensorError(f"output {name!r} holds NaN or infinity; check the model with: edgekit verify")
            found[name] = np.array(outputs[name])
        return Tensors(found)

    def accumulator(self) -> Distances:
        return Distances(self.output)

    def paint(self, image: Array, shown: Any) -> Array:
        """Shape and range of the outputs on the upper left corner; labels, which this task does not know, leave it.

        Raises:
            DataError: the image is not uint8 ``(H, W, 3)``.
        """
        return tagged(image, self._lines(shown) if isinstance(shown, Tensors) else [])

    def draw(self, image: Array, prediction: Tensors, truth: Any = None) -> Array:
        """The image over shape and range of each output, and how far it is from the control's where that is given.

        Raises:
            DataError: the image is not uint8 ``(H, W, 3)``.
        """
        lines = self._lines(prediction)
        if isinstance(truth, Tensors):
            for name in self.output[:_SHOWN]:
                far = distance(prediction.values[name], truth.values[name])
                lines.append(Line(f"{name}: relative L2 {far[0]:.3g} from the control", min(float(far[0]), 1.0)))
        return captioned(image, lines)

    def _lines(self, shown: Tensors) -> list[Line]:
        lines = []
        for name in self.output[:_SHOWN]:
            value = shown.values[name]
            low, middle, high = value.min(), value.mean(), value.max()
            lines.append(Line(f"{name} {list(value.shape)}: {low:.4g} .. {middle:.4g} .. {high:.4g}"))
        return lines


def distance(value: Array, reference: Array) -> NDArray[np.float64]:
    """Relative L2 distance, cosine and largest absolute difference of two arrays of one shape, float64 ``(3,)``.

    From a reference of zeros everything else has the distance 1; zeros have the cosine 0 with all but zeros.
    """
    a, b = value.astype(np.float64).ravel(), reference.astype(np.float64).ravel()
    length, norm, gap = np.linalg.norm(a), np.linalg.norm(b), a - b
    if not gap.any():
        return np.array([0.0, 1.0, 0.0])  # exactly: the quotients below are rounded
    relative, cosine = 1.0, 0.0
    if norm > 0:
        relative = float(np.linalg.norm(gap) / norm)
        cosine = float(np.clip(a @ b / (length * norm), -1, 1)) if length > 0 else 0.0
    return np.array([relative, cosine, np.abs(gap).max()])


class Distances(Accumulator):
    """Three numbers per frame and output."""

    def __init__(self, output: Sequence[str]) -> None:
        self.output = tuple(output)
        self.records = Records(np.float64, (len(self.output), len(_MEASURES)))

    def __len__(self) -> int:
        return len(self.records)

    def update(self, prediction: Tensors, truth: Any, sample_id: str) -> None:
        """Add a frame: ``truth`` is what the control gives on it.

        Raises:
            DataError: truth is missing, or of other outputs; or an output has another shape than the control's.
        """
        if not isinstance(truth, Tensors) or set(truth.values) != set(self.output):
            found = "nothing" if truth is None else type(truth).__name__
            raise DataError(
                f"sample {sample_id!r}: truth is {found}; expected the control's outputs {', '.join(self.output)}"
            )
        rows = []
        for name in self.output:
            value, reference = prediction.values[name], truth.values[name]
            if value.shape != reference.shape:
                raise DataError(
                    f"sample {sample_id!r}: output {name!r} is {list(value.shape)}, the control's "
                    f"{list(reference.shape)}: lists of varying length have no distance; leave it out of task.output, "
                    "or use the task that it belongs to, such as detection"
                )
            rows.append(distance(value, reference))
        self.records.add(np.stack(rows))

    def compute(self, weights: Array | None = None) -> dict[str, float]:
        """The metrics over all frames so far.

        Raises:
            DataError: no frame was added; or as :meth:`Accumulator.compute`.
        """
        found = self.compute_many(checked(weights, len(self))[None])
        return single(found, "rel_l2", "no frame to score; evaluate a dataset that is not empty")

    def compute_many(self, weights: Array, names: Collection[str] | None = None) -> dict[str, Array]:
        """As :meth:`Accumulator.compute_many`."""
        rows, kept = checked_rows(weights, len(self)), self.records.all()
        found: dict[str, Array] = {}
        for place, (measure, higher) in enumerate(_MEASURES.items()):
            distances = kept[:, :, place]
            furthest = distances.min(axis=1) if higher else distances.max(axis=1)
            for part, values in (("", furthest), *zip(_parts(self.output), distances.T, strict=False)):
                found[f"{measure}{part}"] = mean_of(values, rows)
                for tail, share in _QUANTILES[higher].items():
                    if names is None or f"{measure}_{tail}{part}" in names:
                        found[f"{measure}_{tail}{part}"] = quantile(values, rows, share)
        return found
