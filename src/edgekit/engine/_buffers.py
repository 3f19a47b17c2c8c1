"""Output arrays that are written again only when the caller has dropped them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edgekit.core.tensors import Array, TensorSpec

_KEPT = 4


class Buffers:
    """Sets of output arrays: results stay valid, and a steady loop allocates nothing.

    Args:
        specs: of the outputs; every size is fixed.
        bound: what the runtime is given for an array; made once an array, and kept with it.
    """

    def __init__(self, specs: Sequence[TensorSpec], bound: Callable[[Array], Any] = lambda array: None) -> None:
        self._specs = tuple(specs)
        self._bound = bound
        self._held: list[tuple[dict[str, Array], dict[str, Any], dict[str, int]]] = []

    def free(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays that nobody else holds, and what is bound to each, by output."""
        for index, (arrays, bound, counts) in enumerate(self._held):
            if all(sys.getrefcount(arrays[name]) == counts[name] for name in arrays):
                self._held.append(self._held.pop(index))
                return dict(arrays), bound
        made: dict[str, Array] = {s.name: np.empty([size or 0 for size in s.shape], s.dtype) for s in self._specs}
        bound = {name: self._bound(array) for name, array in made.items()}
        # What holds an array that the caller has dropped: the dictionary, this call, and perhaps what is bound.
        self._held.append((made, bound, {name: sys.getrefcount(made[name]) for name in made}))
        del self._held[:-_KEPT]
        return dict(made), bound
