"""True masks of class ids: what a task can be judged on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.core.errors import DataError
from edgekit.core.tensors import Array


def mask_of(truth: Any, sample_id: str) -> NDArray[np.uint8]:
    """A truth that is a mask of class ids, uint8 ``(H, W)``; else a :class:`DataError`."""
    if truth is None:
        raise DataError(f"sample {sample_id!r}: has no truth; evaluate on a dataset with masks")
    if not isinstance(truth, np.ndarray) or truth.dtype != np.uint8 or truth.ndim != 2:
        found = f"{truth.dtype}{list(truth.shape)}" if isinstance(truth, np.ndarray) else type(truth).__name__
        raise DataError(f"sample {sample_id!r}: truth is {found}; expected a mask uint8[H, W]")
    return truth


def check_ids(pixels: Array, count: int, void: int | None, sample_id: str) -> None:
    """Raise :class:`DataError` when true ``pixels`` ``(256,)`` by id have one that is neither class nor void."""
    wrong = np.flatnonzero(pixels[count:]) + count
    wrong = wrong[wrong != void] if void is not None else wrong
    if len(wrong):
        value = int(wrong[0])
        ignored = "ignore_index is not set" if void is None else f"ignore_index {void}"
        raise DataError(
            f"sample {sample_id!r}: truth has the class id {value} in {pixels[value]} pixels; allowed: "
            f"0..{count - 1} ({ignored}); correct the mask, task.classes or task.ignore_index"
        )
