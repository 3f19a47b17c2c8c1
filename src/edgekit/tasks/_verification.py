"""Comparisons of embeddings: which pairs, their scores, and a ROC with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.core.errors import DataError
from edgekit.core.tensors import Array
from edgekit.tasks import _roc

MOST_PAIRS = 30_000_000
"""About 1.1 GiB while they are compared."""
_BLOCK = 256
"""Probes that are compared at once."""
_STEPS = 2.0**24
"""Of cosines from 0 to 1: the most that float32 tells apart in equal steps."""


@dataclass(frozen=True)
class Comparisons:
    """Cosine scores of genuine and impostor pairs, and who was compared.

    ``genuine`` float32 ``(G,)`` and its ``genuine_pairs`` int32 ``(2, G)``: the probe, and the frame or template
    that it was compared with; ``impostor`` float32 ``(I,)``, ``impostor_pairs`` int32 ``(2, I)``.
    """

    genuine: Array
    genuine_pairs: Array
    impostor: Array
    impostor_pairs: Array


def compared(vectors: Array, subjects: Array, templates: Array | None = None) -> Comparisons:
    """Every pair of frames once, or every frame with the template of each subject.

    Cosines are rounded to multiples of 2 ** -24, so that pairs at the same angle tie whatever the order of
    the sums that made them.

    Args:
        vectors: float ``(P, D)``, one probe a row, none zero.
        subjects: integers ``(P,)`` from 0 to S - 1.
        templates: float ``(S, D)``, in the order of the subjects; without them every frame is
            compared with every other.
    """
    owners = subjects if templates is None else np.arange(len(templates))
    parts: list[tuple[Array, ...]] = []
    for rows, scores in _cosines(vectors, templates):
        same = subjects[rows, None] == owners
        once = np.arange(len(owners)) > rows[:, None] if templates is None else np.ones_like(same)
        found: tuple[Array, ...] = ()
        for chosen in (same & once, ~same & once):
            probe, other = np.nonzero(chosen)
            found += scores[chosen], np.stack([rows[probe], other]).astype(np.int32)
        parts.append(found)
    return Comparisons(*(np.concatenate(column, axis=-1) for column in zip(*parts, strict=True)))


def ranked(vectors: Array, subjects: Array, templates: Array | None = None) -> NDArray[np.int64]:
    """How each probe ranks its own subject, ``(P,)`` from 1; 0 for the only frame of a subject.

    A rank is the number of subjects that score at least as high with the probe as its own does, itself included.  It
    takes the best score with each subject, never that of a frame with itself; a tie counts against the model.
    Arguments as :func:`compared`; subjects may have gaps when there are no templates.
    """
    owners = subjects if templates is None else np.arange(len(templates))
    order = np.argsort(owners, kind="stable")
    present, starts = np.unique(owners[order], return_index=True)
    ranks = np.zeros(len(vectors), np.int64)
    for rows, scores in _cosines(vectors, templates):
        if templates is None:
            scores[np.arange(len(rows)), rows] = -np.inf
        best = np.maximum.reduceat(scores[:, order], starts, axis=1)
        subject_best = best[np.arange(len(rows)), np.searchsorted(present, subjects[rows])]
        ranks[rows] = np.where(np.isfinite(subject_best), (best >= subject_best[:, None]).sum(axis=1), 0)
    return ranks


def _cosines(vectors: Array, templates: Array | None) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float32]]]:
    """Probes in blocks: their places, and their scores with every frame or template."""
    probes = unit(vectors)
    gallery = probes if templates is None else unit(templates)
    for first in range(0, len(probes), _BLOCK):
        rows = np.arange(first, min(first + _BLOCK, len(probes)))
        yield rows, (np.rint(probes[rows] @ gallery.T * _STEPS) / _STEPS).astype(np.float32)


def unit(vectors: Array) -> NDArray[np.float64]:
    """The rows with length one."""
    rows = vectors.astype(np.float64)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def numbered(subjects: Sequence[str], least: int, fix: str) -> NDArray[np.int64]:
    """An id from 0 for each subject, in the order of their names.

    Raises:
        DataError: there are fewer than two subjects, or one has fewer than ``least`` frames.
    """
    names, ids, counts = np.unique(np.array(subjects, dtype=object), return_inverse=True, return_counts=True)
    if len(names) == 0:
        raise DataError("no embedding to score; evaluate at least two subjects")
    if len(names) == 1:
        raise DataError(f"all {len(subjects)} frames show the subject {names[0]!r}; add frames of another subject")
    few = int(counts.argmin())
    if counts[few] < least:
        others = int((counts < least).sum()) - 1
        more = f" (and {others} more subjects)" if others else ""
        raise DataError(f"subject {names[few]!r}{more}: has {counts[few]} of the {least} frames that are needed; {fix}")
    return np.asarray(ids.reshape(-1))


def check_pairs(count: int) -> None:
    """Raise :class:`DataError` when that many pairs do not fit in memory."""
    if count > MOST_PAIRS:
        raise DataError(
            f"{count} pairs to compare; at most {MOST_PAIRS}: take fewer frames with limit in the dataset, "
            "or set task.templates to mean"
        )


def pairs_needed(far: float) -> int:
    """The least number of impostor pairs of which one is at most a share ``far``."""
    return int(np.ceil(1 / far - 1e-6))


def check_resolution(fars: Sequence[float], pairs: int) -> None:
    """Raise :class:`DataError` unless one false accept among ``pairs`` impostor pairs is at most each FAR."""
    for far in fars:
        if pairs < pairs_needed(far):
            raise DataError(
                f"a FAR of {far:g} needs at least {pairs_needed(far)} impostor pairs, and these frames give {pairs}: "
                "add frames or subjects, or take the value out of task.far"
            )


@dataclass(frozen=True)
class Roc:
    """TAR at each FAR, with an interval; all float64 ``(K,)``, shares from 0 to 1.

    A pair is accepted when its cosine is at least ``threshold`` (infinity: none is).  ``low`` and
    ``high`` enclose ``tar`` with ``confidence``.
    """

    far: NDArray[np.float64]
    tar: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    threshold: NDArray[np.float64]
    confidence: float


def with_intervals(
    found: Comparisons, subjects: Array, fars: Array, confidence: float, replicates: int, seed: int
) -> Roc:
    """The ROC at ``fars``, and percentile intervals of a bootstrap over subjects.

    Pairs that share a subject are not independent, so that binomial intervals (Wilson's too) are too
    narrow.  A replicate draws as many subjects as there are, with replacement; a genuine pair counts as
    often as its subject was drawn, an impostor pair as often as the product of its two.  Threshold and
    TAR are found anew in each (Bolle, Ratha and Pankanti, "Error analysis of pattern recognition systems:
    the subsets bootstrap", Computer Vision and Image Understanding 93, 2004).
    """
    ranking = _roc.Ranking(found.genuine, found.impostor)
    count = int(subjects.max()) + 1
    genuine, impostor = subjects[found.genuine_pairs[0]], subjects[found.impostor_pairs]
    rng = np.random.default_rng(seed)
    drawn = np.empty((replicates, len(fars)))
    for row in drawn:
        times = np.zeros(count)
        while np.count_nonzero(times) < 2:  # impostors take two
            times = np.bincount(rng.integers(0, count, count), minlength=count).astype(np.float64)
        curve = ranking.curve(times[genuine], times[impostor[0]] * times[impostor[1]])
        row[:] = [_roc.tar_at(curve, far) for far in fars]
    whole = ranking.curve()
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    tar = np.array([_roc.tar_at(whole, far) for far in fars])
    threshold = np.array([ranking.threshold(whole, far) for far in fars])
    return Roc(np.asarray(fars, np.float64), tar, np.minimum(low, tar), np.maximum(high, tar), threshold, confidence)
