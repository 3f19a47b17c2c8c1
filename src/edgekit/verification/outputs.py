"""Outputs compared as what they are: numbers, labels, ranks, or sets of rows in any order and number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path

import numpy as np

from edgekit.core.reports.parity import OutputKind
from edgekit.core.tensors import Array
from edgekit.onnxfile.graph import read_graph

# After these operators the place of a value depends on the order of scores, and the number of values on a threshold.
_ORDERING = frozenset({"TopK", "NonMaxSuppression", "NonZero", "Unique", "Compress"})
_MOST_ROWS = 5000
"""Rows of a set; an output with more is a map of numbers, whatever made it."""
_SAME = 0.05
"""Rows are partners when each column differs by less than this part of its span."""


def ordered_outputs(model: Path) -> frozenset[str]:
    """Outputs of an ONNX file that an operator makes which orders or selects by value, at any depth."""
    graph = read_graph(model)
    behind: set[str] = set()
    for node in graph.nodes:
        if node.op in _ORDERING or behind.intersection(node.inputs):
            behind.update(node.outputs)
    return frozenset(behind)


def kind_of(name: str, pairs: Collection[tuple[Array, Array]], ordered: Collection[str]) -> OutputKind:
    """How an output is compared, from its type, the shapes of engine and reference by frame, and what makes it."""
    shapes = {array.shape for pair in pairs for array in pair}
    first = next(iter(pairs))[1]
    varies = len(shapes) > 1 or name in ordered
    if first.dtype.kind != "f":
        return "ranking" if varies and first.dtype.kind in "iu" else "labels"
    rows = max((a.shape[_axis(*pair)] for pair in pairs for a in pair if a.ndim), default=1)
    return "set" if varies and rows <= _MOST_ROWS else "dense"


def distance(kind: OutputKind, found: Array, reference: Array) -> float:
    """How far ``found`` is from ``reference``: relative L2 of dense outputs, of the others a share from 0 to 1."""
    if kind == "dense":
        return relative_l2(found, reference)
    if kind == "labels":
        return 1.0 if found.shape != reference.shape else float((found != reference).mean()) if found.size else 0.0
    if kind == "ranking":
        return _without_partner(found.reshape(-1).tolist(), reference.reshape(-1).tolist())
    if found.shape == reference.shape and relative_l2(found, reference) == 0:
        return 0.0
    if found.ndim != reference.ndim:
        return 1.0
    axis = _axis(found, reference)
    return _unmatched(_rows(found, axis), _rows(reference, axis))


def relative_l2(result: Array, reference: Array) -> float:
    """``|result - reference| / |reference|``; infinity when shapes differ, or one alone is not finite at a place."""
    if result.shape != reference.shape:
        return float("inf")
    result, reference = result.astype(np.float64), reference.astype(np.float64)
    same = ~np.isfinite(reference) & (result == reference)  # masks of -inf
    difference = float(np.linalg.norm(np.subtract(result, reference, where=~same, out=np.zeros(result.shape))))
    norm = float(np.linalg.norm(np.where(same, 0.0, reference)))
    if not np.isfinite(difference):
        return float("inf")
    return difference / norm if norm > 0 else (0.0 if difference == 0 else float("inf"))


def max_abs(result: Array, reference: Array) -> float:
    """Largest absolute difference; infinity as for :func:`relative_l2`."""
    if result.shape != reference.shape:
        return float("inf")
    result, reference = result.astype(np.float64), reference.astype(np.float64)
    same = ~np.isfinite(reference) & (result == reference)
    difference = np.abs(np.subtract(result, reference, where=~same, out=np.zeros(result.shape)))
    return (float(difference.max()) if difference.size else 0.0) if np.isfinite(difference).all() else float("inf")


def _without_partner(found: list[int], reference: list[int]) -> float:
    """The share of the rows of both sides that have no equal on the other side: ties and neighbours may swap places."""
    total = len(found) + len(reference)
    shared = sum((Counter(found) & Counter(reference)).values())
    return 1 - 2 * shared / total if total else 0.0


def _axis(found: Array, reference: Array) -> int:
    """The axis of the objects: along which the lengths differ, else the first that is longer than one."""
    both = list(zip(found.shape, reference.shape, strict=False))
    differing = [axis for axis, (one, other) in enumerate(both) if one != other]
    longer = [axis for axis, sizes in enumerate(both) if max(sizes) > 1]
    return (differing or longer or [0])[0]


def _rows(array: Array, axis: int) -> Array:
    """One row per object, the rest of it as its columns."""
    if array.ndim == 0:
        return array.reshape(1, 1)
    moved = np.moveaxis(array, axis, 0)
    return moved.reshape(len(moved), -1 if moved.size else int(np.prod(moved.shape[1:])))


def _unmatched(found: Array, reference: Array) -> float:
    """``1 - 2 pairs / (n + m)``, the nearest pairs first, each row once."""
    total = len(found) + len(reference)
    if not len(found) or not len(reference) or found.shape[1] != reference.shape[1]:
        return 0.0 if total == 0 else 1.0
    span = np.maximum(np.ptp(reference, axis=0), np.abs(reference).max(axis=0) * 1e-3) + 1e-12
    far = np.full((len(found), len(reference)), np.inf)
    for at, row in enumerate(found):
        far[at] = np.abs((reference - row) / span).max(axis=1)
    far = np.where(np.isnan(far), np.inf, far)
    rows, columns = np.nonzero(far < _SAME)
    left, right, pairs = set(range(len(found))), set(range(len(reference))), 0
    for at in np.argsort(far[rows, columns], kind="stable"):
        row, column = int(rows[at]), int(columns[at])
        if row in left and column in right:
            left.remove(row)
            right.remove(column)
            pairs += 1
    return 1 - 2 * pairs / total
