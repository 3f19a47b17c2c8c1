"""Embedding: a vector that identifies who or what a frame shows, for verification and identification.

The model gives a vector float32 ``(1, D)`` a frame; two are compared by the cosine of their angle.  All
metrics come from every pair of frames, or of a frame and a subject's template: the share of genuine pairs
accepted (TAR) where a share of impostor pairs is accepted (FAR), and the share of frames whose own subject
ranks first among all (closed-set identification; Phillips et al., "The FERET evaluation methodology for
face-recognition algorithms", IEEE TPAMI 2000).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from edgekit.core.errors import DataError, TensorError
from edgekit.core.predictions import Embedding, Geometry
from edgekit.core.reports import Metric
from edgekit.core.tensors import Array, Arrays, TensorSpec
from edgekit.tasks import Accumulator, Task, TaskConfig, _roc
from edgekit.tasks._captions import Line, captioned, check_image, tagged
from edgekit.tasks._vectors import check_vector, read_vector, text_truth
from edgekit.tasks._verification import (
    Comparisons,
    Roc,
    check_pairs,
    check_resolution,
    compared,
    numbered,
    pairs_needed,
    ranked,
    unit,
    with_intervals,
)
from edgekit.tasks._weights import checked

RANKS = (1, 5)
_SUBJECT = "a text that names the subject"
_ADD = "add frames, leave the subject out, or lower task.enrol if it is set"

__all__ = ["Config", "EmbeddingScores", "EmbeddingTask", "Roc", "roc"]


class Config(TaskConfig):
    """``output`` names the model output with the vector; the first of ``far`` is the headline.

    ``normalise`` gives every vector length one; without it, longer vectors weigh more in a template.
    ``templates``: ``mean`` averages the vectors of the first ``enrol`` frames of a subject (in the order
    of the frames' ids) and compares the others with it, as a device with enrolled users does; ``none``
    compares every frame with every other.
    """

    kind: Literal["embedding"] = "embedding"
    output: str
    normalise: bool = True
    far: tuple[Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)], ...] = Field((1e-3, 1e-2, 1e-1), min_length=1)
    templates: Literal["none", "mean"] = "none"
    enrol: int | None = Field(default=None, ge=1)

    @field_validator("far")
    @classmethod
    def _distinct(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if len({metric_name(far) for far in value}) != len(value):
            raise ValueError("has a rate twice; give each once")
        return value

    @model_validator(mode="after")
    def _enrolment(self) -> Self:
        if self.templates == "mean" and self.enrol is None:
            raise ValueError("templates: mean needs enrol, the number of frames of a subject's template")
        if self.templates == "none" and self.enrol is not None:
            raise ValueError("enrol belongs to templates: mean; take it out, or set templates to mean")
        return self

    def create(self) -> EmbeddingTask:
        return EmbeddingTask(self.output, self.normalise, self.far, self.enrol)


def metric_name(far: float) -> str:
    """``tar@far=1e-3`` for 0.001."""
    digits, exponent = f"{far:.6e}".split("e")
    return f"tar@far={digits.rstrip('0').rstrip('.')}e{int(exponent)}"


class EmbeddingTask(Task):
    """Vectors to :class:`~edgekit.core.predictions.Embedding`."""

    def __init__(self, output: str, normalise: bool, far: Sequence[float], enrol: int | None) -> None:
        self.output = output
        self.normalise = normalise
        self.far = tuple(far)
        self.enrol = enrol

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """``tar@far=`` for each FAR, ``eer``, ``auc``, ``rank1`` and ``rank5``."""
        accepted = (Metric(metric_name(far), higher=True) for far in self.far)
        ranks = (Metric(f"rank{k}", higher=True) for k in RANKS)
        return (*accepted, Metric("eer", higher=False), Metric("auc", higher=True), *ranks)

    def check_outputs(self, outputs: Sequence[TensorSpec]) -> None:
        """Raise :class:`SpecError` unless ``output`` is there as float32 ``(1, D)``."""
        check_vector(outputs, self.output, None, "one vector a frame", "a direction takes at least 2")

    def decode(self, outputs: Arrays, geometry: Geometry) -> Embedding:
        """The frame's vector, of length one if ``normalise`` is set; the frame's geometry plays no part.

        Raises:
            TensorError: the output is missing, has another shape or dtype, holds NaN or infinity, or is
                all zeros, which has no direction.
        """
        vector = read_vector(outputs, self.output, None)
        if not vector.any():
            raise TensorError(f"output {self.output!r} is all zeros, which has no direction; run: edgekit verify")
        return Embedding((unit(vector[None])[0] if self.normalise else vector).astype(np.float32))

    def check_truth(self, truth: Any, sample_id: str) -> None:
        text_truth(truth, sample_id, _SUBJECT)

    def accumulator(self) -> EmbeddingScores:
        return EmbeddingScores(self.far, self.enrol)

    def paint(self, image: Array, shown: Any) -> Array:
        """The vector as a row of cells along the lower edge, or the name of the true subject above.

        Raises:
            DataError: the image is not uint8 ``(H, W, 3)``, or truth is no text.
        """
        if not isinstance(shown, Embedding):
            return tagged(image, [Line(text_truth(shown, "shown", _SUBJECT))])
        check_image(image)
        picture = image.copy()
        edge = max(len(image) // 8, 1)
        picture[-edge:] = _cells(shown.vector, edge, image.shape[1])
        return picture

    def draw(self, image: Array, prediction: Embedding, truth: Any = None) -> Array:
        """The image over the vector as a row of cells, blue below zero and orange above; truth is named below.

        Raises:
            DataError: the image is not uint8 ``(H, W, 3)``, or truth is no text.
        """
        lines = [Line(f"vector of {len(prediction.vector)}, length {np.linalg.norm(prediction.vector):.2f}")]
        if truth is not None:
            lines.append(Line(f"truth: {text_truth(truth, 'shown', _SUBJECT)}"))
        check_image(image)
        edge = max(len(image) // 8, 8)
        return captioned(np.concatenate([image, _cells(prediction.vector, edge, image.shape[1])]), lines)


def _cells(vector: Array, height: int, width: int) -> NDArray[np.uint8]:
    """One cell per value, from blue (lowest) over white (zero) to orange, uint8 ``(height, width, 3)``."""
    import cv2

    value = (vector / max(float(np.abs(vector).max()), 1e-30)).astype(np.float64)[:, None]
    white, blue, orange = np.array([[245, 245, 245], [22, 72, 211], [226, 121, 11]], np.float64)
    cells = white + np.where(value < 0, (blue - white) * -value, (orange - white) * value)
    row = cells.round().astype(np.uint8)[None]
    way = cv2.INTER_NEAREST if len(vector) <= width else cv2.INTER_AREA
    return np.asarray(cv2.resize(row, (width, height), interpolation=way), np.uint8)


class EmbeddingScores(Accumulator):
    """The vectors of all frames, D floats each; they are compared when the metrics are computed.

    With weights, a pair of two frames counts as often as the product of theirs; a frame that counts twice is never
    compared with itself, which would be a genuine pair without an error.  A subject with one frame left makes impostor
    pairs only.  The subjects' templates are part of the device, not of what is measured on it: they are always those of
    all frames, and a probe counts as often as its own weight says.
    """

    def __init__(self, far: Sequence[float], enrol: int | None = None) -> None:
        self.far = tuple(far)
        self.enrol = enrol
        self.frames: list[tuple[str, str, Array]] = []
        self._made: _Prepared | None = None

    def __len__(self) -> int:
        return len(self.frames)

    def update(self, prediction: Embedding, truth: Any, sample_id: str) -> None:
        """Add a frame: ``truth`` is a text that names the subject.

        Raises:
            DataError: truth is missing or no text.
            TensorError: the vector is all zeros, holds NaN, or is of another length than those before.
        """
        subject, vector = text_truth(truth, sample_id, _SUBJECT), prediction.vector
        if self.frames and len(vector) != len(self.frames[0][2]):
            wanted = len(self.frames[0][2])
            raise TensorError(f"sample {sample_id!r}: a vector of {len(vector)} values after vectors of {wanted}")
        if not np.isfinite(vector).all() or not vector.any():
            raise TensorError(f"sample {sample_id!r}: the vector has no direction: it is zero, NaN or infinite")
        self.frames.append((sample_id, subject, vector))
        self._made = None

    def compute(self, weights: Array | None = None) -> dict[str, float]:
        """Every metric over all frames so far; ``rank<k>`` only for more than k subjects.

        ``tar@far=x`` is the highest TAR of any threshold whose FAR is at most x.  ``eer`` is where FAR
        equals FRR, both interpolated linearly between neighbouring thresholds.  A tie counts against
        the model in the ranks, and half in ``auc``.  With weights, a FAR that the pairs are too few for has
        no entry.

        Raises:
            DataError: there are fewer than two subjects, one has too few frames, or the pairs are too
                few for a FAR or too many for the memory; or as :meth:`Accumulator.compute`.
        """
        often = checked(weights, len(self))
        if weights is None:
            numbered([subject for _, subject, _ in self.frames], self.enrol + 1 if self.enrol else 2, _ADD)
        made = self._made = self._made or self._prepared()
        often, found = often[made.places], made.found
        pairs = [found.genuine_pairs, found.impostor_pairs]
        counts = [often[pair[0]] * (often[pair[1]] if made.templates is None else 1) for pair in pairs]
        if weights is None:
            check_resolution(self.far, len(found.impostor))
        if not all(count.any() for count in counts):
            raise DataError("the counted frames give no genuine pair or no impostor pair; take more of them")
        curve, impostors = made.ranking.curve(*counts), float(counts[1].sum()) + 1e-6
        return {
            **{metric_name(far): _roc.tar_at(curve, far) for far in self.far if impostors >= pairs_needed(far)},
            "eer": _roc.equal_error_rate(curve),
            "auc": _roc.area(curve),
            **_ranks(made, often),
        }

    def _prepared(self) -> _Prepared:
        order = sorted(range(len(self)), key=lambda i: self.frames[i][0])
        subjects = [self.frames[i][1] for i in order]
        ids = numbered(subjects, 1 if self.enrol is None else self.enrol + 1, _ADD)
        vectors, places = np.stack([self.frames[i][2] for i in order]), np.array(order)
        templates = None
        if self.enrol is not None:
            enrolled = np.zeros(len(ids), bool)
            for i in range(int(ids.max()) + 1):
                enrolled[np.flatnonzero(ids == i)[: self.enrol]] = True
            templates = _means(vectors[enrolled], ids[enrolled], sorted(set(subjects)))
            vectors, ids, places = vectors[~enrolled], ids[~enrolled], places[~enrolled]
        check_pairs(len(ids) * (len(ids) - 1) // 2 if templates is None else len(ids) * len(templates))
        found = compared(vectors, ids, templates)
        if not len(found.genuine):
            raise DataError("no subject has two frames, so there is no genuine pair to score; add frames")
        return _Prepared(vectors, ids, places, templates, found, _roc.Ranking(found.genuine, found.impostor))


@dataclass(frozen=True)
class _Prepared:
    """The probes, their places among the frames, and what does not change with the weights."""

    vectors: Array
    ids: Array
    places: Array
    templates: Array | None
    found: Comparisons
    ranking: _roc.Ranking


def _ranks(made: _Prepared, often: Array) -> dict[str, float]:
    """``rank<k>``: the share of probes whose own subject is among the first k."""
    used = often > 0
    count = len(np.unique(made.ids[used])) if made.templates is None else len(made.templates)
    ranks = ranked(made.vectors[used], made.ids[used], made.templates)
    probes = often[used] * (ranks > 0)
    return {f"rank{k}": float(probes[ranks <= k].sum() / probes.sum()) for k in RANKS if k < count}


def _means(vectors: Array, ids: Array, names: Sequence[str]) -> NDArray[np.float64]:
    """The mean vector of each subject, ``(S, D)``."""
    sums = np.zeros((len(names), vectors.shape[1]))
    np.add.at(sums, ids, vectors.astype(np.float64))
    counts = np.bincount(ids, minlength=len(names))
    opposed = np.flatnonzero(np.linalg.norm(sums, axis=1) <= 1e-6 * counts * np.abs(vectors).max())
    if len(opposed):
        raise DataError(
            f"subject {names[opposed[0]]!r}: the vectors of its template cancel out; enrol other frames, or more"
        )
    return np.asarray(sums / counts[:, None])


def roc(
    vectors: Array,
    subjects: Sequence[str],
    far: Sequence[float] | None = None,
    confidence: float = 0.95,
    replicates: int = 200,
    seed: int = 0,
) -> Roc:
    """TAR over FAR of all pairs of frames, with intervals by a bootstrap over the subjects.

    Subjects, not pairs, are drawn, because pairs that share a subject are not independent; see
    :func:`~edgekit.tasks._verification.with_intervals` for the method and its source.  With few
    subjects the intervals are themselves uncertain.

    Args:
        vectors: float ``(N, D)``, one embedding a row.
        subjects: the N names of who they show.
        far: rates to give TAR at; 50 from one impostor pair up to all, evenly in the logarithm, unless given.
        confidence: of the interval at each rate alone.
        replicates: of the bootstrap; each costs a pass over all pairs.
        seed: of the draws; the same seed gives the same intervals.

    Raises:
        DataError: vectors and subjects do not fit each other, or as :meth:`EmbeddingScores.compute`.
    """
    if vectors.ndim != 2 or len(vectors) != len(subjects):
        raise DataError(f"{len(subjects)} subjects for vectors {list(vectors.shape)}; expected one a row of [N, D]")
    if not np.isfinite(vectors).all() or not vectors.any(axis=1).all():
        raise DataError("a vector is zero, NaN or infinite and has no direction; leave its frame out")
    if not 0 < confidence < 1 or replicates < 1:
        raise DataError(f"confidence {confidence} and replicates {replicates}; expected 0..1 and at least 1")
    ids = numbered(subjects, 2, "add frames or leave the subject out")
    check_pairs(len(ids) * (len(ids) - 1) // 2)
    found = compared(vectors, ids)
    rates = np.geomspace(1 / len(found.impostor), 1, 50) if far is None else np.asarray(far, np.float64)
    check_resolution(rates.tolist(), len(found.impostor))
    return with_intervals(found, ids, rates, confidence, replicates, seed)
