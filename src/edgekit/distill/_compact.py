"""Which way of keeping dense class scores of many classes takes the fewest bytes at no more error.

All classes rounded is what the others have to beat: the best classes alone, and low rank.  Either is taken only where,
on the frames that it is tried on, it is smaller, the divergence is no larger and no more places change their class.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgekit.core.tensors import Array
from edgekit.distill._codec import DEPTH, Coding, log_softmax

FEWEST = 16
"""Classes from which on it is tried: of fewer, the rounded logarithms take about as many bytes as their areas do."""
_LEVELS = (31, 63, 127, 255)


@dataclass(frozen=True)
class Tried:
    """A way of keeping an output, its bytes over those of float32, and its error as :func:`error` has it."""

    coding: Coding
    share: float
    error: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """For the record."""
        return {"kept_as": self.coding.words, "share_of_float32": self.share, **self.error}


def eligible(coding: Coding) -> bool:
    """Whether there is a choice: dense scores of many classes, of which nobody said how many are kept."""
    return coding.scores and coding.top is None and len(coding.shape) == 3 and coding.shape[0] >= FEWEST


def chosen(coding: Coding, outputs: Sequence[Array]) -> tuple[Coding, list[Tried]]:
    """The way that takes the fewest bytes for ``outputs``, and all that were measured, the first as ``coding`` says."""
    plain = Tried(coding, _share(coding, outputs), _error(coding, outputs))
    found = [plain]
    counts = [2**power for power in range(10) if 2 ** (power + 1) <= coding.shape[0]]
    if (few := _first(plain, (replace(coding, top=count) for count in counts), outputs)) is not None:
        found.append(few)
    for rank in counts:
        ways = (replace(coding, rank=rank, levels=levels) for levels in _LEVELS)
        if (maps := _first(plain, ways, outputs)) is not None:
            found.append(maps)
            if maps.share > min(one.share for one in found):
                break  # more maps take more bytes from here on
    return min(found, key=lambda one: one.share).coding, found


def _first(plain: Tried, ways: Iterable[Coding], outputs: Sequence[Array]) -> Tried | None:
    """The first of ways from coarse to fine whose error is no larger."""
    for way in ways:
        error_of = _error(way, outputs)
        if all(error_of[key] <= plain.error[key] for key in plain.error):
            return Tried(way, _share(way, outputs), error_of)
    return None


def _share(coding: Coding, outputs: Sequence[Array]) -> float:
    return sum(len(coding.packed(output)) for output in outputs) / sum(output.size * 4 for output in outputs)


def _error(coding: Coding, outputs: Sequence[Array]) -> dict[str, float]:
    each = [error(coding.decoded(coding.encoded(output)), coding.target(output)) for output in outputs]
    return {key: float(np.mean([one[key] for one in each])) for key in each[0]}


def error(given: Array, wanted: Array) -> dict[str, float]:
    """Of class scores ``(C, ...)``: the divergence (nats a place) and the share of places of another class."""
    ours, theirs = (log_softmax(np.maximum(x.astype(np.float64), x.max(0) - 2 * DEPTH)) for x in (given, wanted))
    return {
        "divergence": float((np.exp(theirs) * (theirs - ours)).sum(0).mean()),
        "other_class": float((ours.argmax(0) != theirs.argmax(0)).mean()),
    }
