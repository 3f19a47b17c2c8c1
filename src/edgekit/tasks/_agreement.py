"""How far two predictions of any task are apart, 0 to 1: for tasks that say nothing better."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgekit.core.tensors import Array


def apart(one: Any, other: Any) -> float:
    """The largest relative L2 of any float part, at most 1; of other parts the share that differs."""
    if type(one) is not type(other):
        return 1.0
    if dataclasses.is_dataclass(one):
        return max((apart(getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(one)), default=0.0)
    if isinstance(one, Mapping):
        return 1.0 if one.keys() != other.keys() else max((apart(one[key], other[key]) for key in one), default=0.0)
    if isinstance(one, str | bytes) or one is None:
        return float(one != other)
    if isinstance(one, Sequence):
        return 1.0 if len(one) != len(other) else max((apart(a, b) for a, b in zip(one, other)), default=0.0)  # noqa: B905
    return _arrays(np.asarray(one), np.asarray(other))


def _arrays(one: Array, other: Array) -> float:
    if one.shape != other.shape or one.dtype != other.dtype:
        return 1.0
    if not one.size:
        return 0.0
    if one.dtype.kind != "f":
        return float((one != other).mean())
    first, second = one.astype(np.float64), other.astype(np.float64)
    same = (first == second) | (np.isnan(first) & np.isnan(second))
    difference = float(np.linalg.norm(np.where(same, 0.0, first - np.where(same, first, second))))
    norm = float(np.linalg.norm(np.where(np.isfinite(second), second, 0.0)))
    return min(1.0, difference / norm) if np.isfinite(difference) and norm > 0 else float(not same.all())
