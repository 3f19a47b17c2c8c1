"""Soft labels as few bytes: what a teacher gave on one frame, rounded.

Class scores are kept as logarithms of probabilities, which is all that a softened distribution needs: the square
root of each in 23 steps down to e^-16, so that steps are small where a class is likely; the best classes only where
that is asked for (the others share the rest evenly: Shen and Xing, "A fast knowledge distillation framework for visual
recognition", ECCV 2022), and of dense ones the mean over a few neighbouring places where that is; dense ones of many
classes as a few maps where that takes fewer bytes (:mod:`edgekit.distill._compact`).  Other outputs are
rounded to 255 steps between the least and the greatest value of each channel.  LZMA packs what is left: neighbours are
alike.
"""

from __future__ import annotations

import lzma
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.core.errors import DataError
from edgekit.core.tensors import Array
from edgekit.distill._factors import factored, unfactored

DEPTH = 16.0
"""Logarithms of probabilities end here: e^-16 of a class is none."""
SCORE_STEPS, _STEPS = 23, 255
_SMALL = 1 << 18
"""Bytes up to which LZMA looks for the best: of more it takes a second, and gains little."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Coding:
    """How one output of a frame is kept.

    Args:
        shape: of the output, without the batch.
        scores: whether it holds class scores on its first axis.
        stride: places along each side that become one, of dense scores.
        top: classes that are kept; None: all of them.
        rank: maps that the classes of dense scores are made of; None: each has its own.
        levels: steps of such a map.
    """

    shape: tuple[int, ...]
    scores: bool
    stride: int = 1
    top: int | None = None
    rank: int | None = None
    levels: int = 255

    @property
    def words(self) -> str:
        """For people."""
        if self.rank is not None:
            return f"{self.rank} maps of {self.levels} steps"
        return f"the best {self.kept} classes" if self.kept < self.shape[0] else "all classes"

    @property
    def places(self) -> tuple[int, ...]:
        """Shape of what is kept of a channel."""
        step = self.stride if self.scores and len(self.shape) == 3 else 1
        return tuple(-(-side // step) for side in self.shape[1:])

    @property
    def kept(self) -> int:
        """Classes that are kept."""
        return min(self.top or self.shape[0], self.shape[0])

    def packed(self, output: Floats) -> bytes:
        """The bytes of an output of :attr:`shape`."""
        raw = self.encoded(output)
        return lzma.compress(raw, lzma.FORMAT_ALONE, preset=6 if len(raw) <= _SMALL else 1)

    def unpacked(self, content: bytes) -> Floats:
        """The output again, rounded; dense scores at the resolution of :attr:`places`, as logarithms of probabilities.

        Raises:
            DataError: these are no such bytes.
        """
        try:
            raw = lzma.decompress(content)
            return self.decoded(raw)
        except (lzma.LZMAError, ValueError) as error:
            raise DataError(f"soft labels are damaged ({error}); delete their folder to make them again") from error

    def encoded(self, output: Floats) -> bytes:
        """The bytes before they are packed."""
        return self._scores(output) if self.scores else self._values(output)

    def decoded(self, raw: bytes) -> Floats:
        """The output of :meth:`encoded` bytes."""
        return self._scores_of(raw) if self.scores else self._values_of(raw)

    # --- class scores -------------------------------------------------------------

    def target(self, output: Floats) -> NDArray[np.float64]:
        """What is rounded of class scores: logarithms of probabilities at :attr:`places`."""
        logs = log_softmax(output.astype(np.float64))
        if self.places != self.shape[1:]:
            return np.asarray(np.log(np.maximum(_pooled(np.exp(logs), self.stride), np.exp(-2 * DEPTH))))
        return logs

    def _scores(self, output: Floats) -> bytes:
        logs = self.target(output)
        if self.rank is not None:
            return factored(logs, self.rank, self.levels)
        steps: NDArray[np.uint8] = np.rint(np.sqrt(np.clip(logs / -DEPTH, 0, 1)) * SCORE_STEPS).astype(np.uint8)
        if self.kept == self.shape[0]:
            return steps.tobytes()
        best = np.argsort(-logs, axis=0, kind="stable")[: self.kept]
        return b"".join((np.take_along_axis(steps, best, 0).tobytes(), best.astype(self._ids).tobytes()))

    @property
    def _ids(self) -> type[np.uint8] | type[np.uint16]:
        return np.uint8 if self.shape[0] <= 256 else np.uint16

    def _scores_of(self, raw: bytes) -> Floats:
        if self.rank is not None:
            return log_softmax(unfactored(raw, (self.shape[0], *self.places), self.rank)).astype(np.float32)
        shape = (self.kept, *self.places)
        count = int(np.prod(shape))
        logs = np.square(np.frombuffer(raw[:count], np.uint8).reshape(shape) / np.float32(SCORE_STEPS)) * -DEPTH
        if self.kept == self.shape[0]:
            return logs.astype(np.float32)
        best = np.frombuffer(raw[count:], self._ids).reshape(shape).astype(np.int64)
        rest = np.maximum(1 - np.exp(logs).sum(0), np.exp(-DEPTH)) / (self.shape[0] - self.kept)
        found = np.broadcast_to(np.maximum(np.log(rest), -DEPTH), (self.shape[0], *self.places)).astype(np.float32)
        np.put_along_axis(found, best, logs.astype(np.float32), 0)
        return found

    # --- other outputs ------------------------------------------------------------

    def _rows(self, output: Array) -> Array:
        """Channels first: of a map the first axis, of rows ``(N, K)`` the last, a vector is one."""
        if len(self.shape) <= 1:
            return output.reshape(1, -1)
        return output.T if len(self.shape) == 2 else output.reshape(self.shape[0], -1)

    def _values(self, output: Floats) -> bytes:
        rows = self._rows(output)
        low, high = rows.min(1, keepdims=True), rows.max(1, keepdims=True)
        step = np.maximum(high - low, np.float32(1e-30)) / np.float32(_STEPS)
        steps = np.clip(np.rint((rows - low) / step), 0, _STEPS).astype(np.uint8)
        return b"".join((low.astype(np.float32).tobytes(), step.astype(np.float32).tobytes(), steps.tobytes()))

    def _values_of(self, raw: bytes) -> Floats:
        like = self._rows(np.empty(self.shape, np.float32))
        low, step = (np.frombuffer(raw, np.float32, len(like), 4 * len(like) * i)[:, None] for i in (0, 1))
        rows = np.frombuffer(raw, np.uint8, offset=8 * len(like)).reshape(like.shape) * step + low
        return np.ascontiguousarray((rows.T if len(self.shape) == 2 else rows.reshape(self.shape)), np.float32)


def log_softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over the first axis."""
    shifted = scores - scores.max(0, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(0, keepdims=True)))


def _pooled(values: NDArray[np.float64], stride: int) -> NDArray[np.float64]:
    """Means of ``stride`` by ``stride`` places ``(C, h, w)``; what is missing at the border repeats it."""
    channels, height, width = values.shape
    below, right = -height % stride, -width % stride
    padded = np.pad(values, ((0, 0), (0, below), (0, right)), mode="edge")
    blocks = padded.reshape(channels, (height + below) // stride, stride, (width + right) // stride, stride)
    return np.asarray(blocks.mean((2, 4)))
