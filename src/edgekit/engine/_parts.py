"""The layers of an engine one by one: what each makes of the typed model's own inputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgekit.core.tensors import Array


@dataclass(frozen=True)
class Part:
    """One layer of an engine on one frame: its inputs were those of the typed model, so its error is its own.

    Args:
        layer: the engine's name for it.
        op: the runtime's operator.
        inside: all nodes of the engine that it is made of, ``layer`` among them.
        nodes: of the typed model, the one that computes most first; empty: the runtime added it.
        module: of PyTorch; empty: not known.
        tensor: the typed model's name of the result.
        expected: the result of the typed model.
        found: that of the layer, laid out as in the typed model.
        exact: where ``expected`` is rounded to a grid, what was rounded, in steps of the grid, float64.
        grid: of floats that are rounded to a grid, its scale and zero point, one or one per channel, in a shape that
            fits ``expected``; None: they are not.
        magnitude: the largest absolute float that goes in: rounding errors of floats are in proportion to it.
        frame: number of the frame.
    """

    layer: str
    op: str
    inside: tuple[str, ...]
    nodes: tuple[str, ...]
    module: str
    tensor: str
    expected: Array
    found: Array
    exact: Array | None
    magnitude: float
    frame: int
    grid: tuple[Array, Array] | None = None

    def steps(self) -> float:
        """The largest error in steps: of the grid for integers, of an INT8 grid over its span for floats.

        Half a step is what rounding to the grid costs.  Infinity when shape or kind differ, or a value is not finite.
        """
        kinds = {self.found.dtype.kind, self.expected.dtype.kind}
        if self.found.shape != self.expected.shape or not (len(kinds) == 1 or kinds <= {"i", "u"}):
            return float("inf")
        if not self.found.size:
            return 0.0
        if not self.rounded:
            return self._float_steps()
        wanted = self.expected.astype(np.float64) if self.exact is None else self.exact
        scale, zero = self.grid or (1.0, 0.0)
        error = float(np.abs(self.found.astype(np.float64) / scale + zero - wanted).max())
        return error if np.isfinite(error) else float("inf")

    @property
    def rounded(self) -> bool:
        """Whether the result lies on a grid: integers, and floats that a Q/DQ pair rounds."""
        return self.expected.dtype.kind != "f" or self.grid is not None

    def _float_steps(self) -> float:
        found, expected = self.found.astype(np.float64), self.expected.astype(np.float64)
        same = (found == expected) | (np.isnan(found) & np.isnan(expected))
        error = float(np.abs(np.subtract(found, expected, where=~same, out=np.zeros(found.shape))).max())
        if error == 0:
            return 0.0
        finite = expected[np.isfinite(expected)]
        span = float(finite.max() - finite.min()) if finite.size else 0.0
        # A result that cancels to almost nothing keeps the rounding errors of what went in.
        step = max(span / 255, self.magnitude * _CANCELLED)
        return error / step if step > 0 and np.isfinite(error) else float("inf")


_CANCELLED = 2e-4
"""Steps of a float result are no smaller than this part of what goes in: some hundred roundings of float32."""
