"""Dense class scores of many classes as a few maps: a network whose last layer is narrower than its classes makes each
class of them, and so can who reads soft labels.

The best approximation of a rank is that of the singular values (Eckart and Young, "The approximation of one matrix by
another of lower rank", 1936).  A constant of each place says nothing of a distribution and is left out, as is the mean
of each class; the maps are rounded with one step for all, since the vectors that they belong to have length one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]


def factored(scores: Doubles, rank: int, levels: int) -> bytes:
    """Scores ``(C, ...)`` as ``rank`` maps of ``levels`` steps, with what leads from them to the classes."""
    rows = scores.reshape(len(scores), -1)
    rows = rows - rows.mean(0)
    offset = rows.mean(1, keepdims=True)
    rows = rows - offset
    _, vectors = np.linalg.eigh(rows @ rows.T)
    vectors = vectors[:, ::-1][:, :rank].astype(np.float16)
    maps = np.linalg.pinv(vectors.astype(np.float64)) @ rows
    low = maps.min(1, keepdims=True).astype(np.float32)
    step = np.float32(max(float((maps - low).max()), 1e-30) / levels)
    steps = np.clip(np.rint((maps - low) / step), 0, levels).astype(np.uint8)
    return b"".join(part.tobytes() for part in (vectors, offset.astype(np.float32), low, step, steps))


def unfactored(raw: bytes, shape: tuple[int, ...], rank: int) -> Doubles:
    """The scores again, ``shape``, but for a constant of each place.

    Raises:
        ValueError: these are no such bytes.
    """
    classes = shape[0]
    at, parts = 0, []
    for count, kind in ((classes * rank, np.float16), (classes + rank + 1, np.float32)):
        parts.append(np.frombuffer(raw, kind, count, at).astype(np.float64))
        at += count * np.dtype(kind).itemsize
    offset, low, step = np.split(parts[1], [classes, classes + rank])
    steps = np.frombuffer(raw, np.uint8, offset=at).reshape(rank, -1)
    maps = steps * step + low[:, None]
    return np.asarray((parts[0].reshape(classes, rank) @ maps + offset[:, None]).reshape(shape))
