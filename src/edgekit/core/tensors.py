"""Descriptions of tensors, and the one place where arrays are checked against them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.core.errors import TensorError

Array = NDArray[Any]
Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class TensorSpec:
    """Name, shape and dtype of one input or output; ``None`` is a dynamic dimension."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str = "float32"

    def __post_init__(self) -> None:
        np.dtype(self.dtype)
        if any(d is not None and d < 0 for d in self.shape):
            raise TensorError(f"tensor {self.name!r}: shape {self.shape} has a negative size")

    def __str__(self) -> str:
        sizes = ", ".join("?" if d is None else str(d) for d in self.shape)
        return f"{self.name}: {self.dtype}[{sizes}]"

    def check(self, array: object) -> None:
        """Raise :class:`TensorError` unless ``array`` is a NumPy array of this dtype and shape."""
        if not isinstance(array, np.ndarray):
            raise TensorError(f"input {self.name!r} is {type(array).__name__}; expected a numpy array {self}")
        if array.dtype != np.dtype(self.dtype):
            raise TensorError(
                f"input {self.name!r} has dtype {array.dtype}; expected {self.dtype}: "
                f"make an array of {self.dtype}, or set model.inputs.{self.name}.dtype"
            )
        fits = len(array.shape) == len(self.shape) and all(
            want is None or have == want for have, want in zip(array.shape, self.shape, strict=True)
        )
        if not fits:
            raise TensorError(f"input {self.name!r} has shape {list(array.shape)}; expected {self}")


def check_feeds(feeds: Arrays, specs: Sequence[TensorSpec]) -> None:
    """Check that ``feeds`` holds exactly the arrays that ``specs`` describe."""
    wanted = [spec.name for spec in specs]
    missing = [name for name in wanted if name not in feeds]
    extra = [name for name in feeds if name not in wanted]
    if missing or extra:
        parts = [f"missing input {n!r}" for n in missing] + [f"unknown input {n!r}" for n in extra]
        raise TensorError(f"{', '.join(parts)}; expected {', '.join(str(spec) for spec in specs)}")
    for spec in specs:
        spec.check(feeds[spec.name])
