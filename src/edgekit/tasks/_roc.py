"""Two sets of scores against each other: how many of each a threshold accepts.

"Genuine" scores should be accepted (pairs of one subject, bona fide presentations), "impostor" scores
should not; a score is accepted when it is at least the threshold.  FAR is the share of impostor scores
that are accepted, TAR that of genuine ones, FRR is ``1 - TAR`` (ISO/IEC 19795-1 calls them FMR and FNMR
when single comparisons are counted).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.core.tensors import Array

_ROUNDING = 1e-12


@dataclass(frozen=True)
class Curve:
    """The corners of a ROC, float64 ``(2 K + 2,)`` each, from (0, 0) to (1, 1), for K distinct genuine scores.

    Thresholds without a genuine score lie on the horizontal lines between the corners.
    """

    far: NDArray[np.float64]
    tar: NDArray[np.float64]


class Ranking:
    """Genuine and impostor scores put in order once, so that curves of any weights need no sorting.

    ``genuine`` and ``impostor`` are floats ``(G,)`` and ``(I,)``, neither empty nor with NaN.
    """

    def __init__(self, genuine: Array, impostor: Array) -> None:
        self.levels: Array = np.unique(genuine)
        self._genuine, self._impostor = self._places(genuine), self._places(impostor)

    def _places(self, scores: Array) -> NDArray[np.int64]:
        """2 i + 1 for scores equal to level i, 2 i for those below it and above the level before."""
        below = np.searchsorted(self.levels, scores)
        return np.asarray(2 * below + (self.levels[np.minimum(below, len(self.levels) - 1)] == scores))

    def curve(self, genuine: Array | None = None, impostor: Array | None = None) -> Curve:
        """The ROC, each score counted as often as its weight says, or once."""
        return Curve(self._shares(self._impostor, impostor), self._shares(self._genuine, genuine))

    def _shares(self, places: NDArray[np.int64], weights: Array | None) -> NDArray[np.float64]:
        counts = np.bincount(places, weights, 2 * len(self.levels) + 1)[::-1]
        sums = np.concatenate([[0], np.cumsum(counts)])
        return np.asarray(sums / sums[-1])

    def threshold(self, curve: Curve, far: float) -> float:
        """The lowest genuine score that is accepted at that FAR; infinity when none is."""
        return self.level(corner(curve, far))

    def level(self, at: int) -> float:
        """The lowest genuine score that corner ``at`` of a curve accepts."""
        return float("inf") if at < 2 else float(self.levels[len(self.levels) - at // 2])


def corner(curve: Curve, far: float) -> int:
    """The last corner whose FAR is at most ``far``."""
    return int(np.searchsorted(curve.far, far + _ROUNDING, "right")) - 1


def tar_at(curve: Curve, far: float) -> float:
    """The highest TAR of any threshold whose FAR is at most ``far``: nothing is interpolated."""
    return float(curve.tar[corner(curve, far)])


def equal_error_rate(curve: Curve) -> float:
    """Where FAR equals FRR on the straight lines between the points of the ROC.

    The points are those of all thresholds, (0, 1) and (1, 0) included, in the plane of FAR and FRR.  The
    difference FAR - FRR rises from -1 to 1 along them; between the last point where it is below zero and
    the next one, both rates are interpolated linearly.
    """
    gap = curve.far - (1 - curve.tar)
    after = int(np.argmax(gap >= 0))
    before = after - 1
    part = gap[before] / (gap[before] - gap[after])
    return float(curve.far[before] + part * (curve.far[after] - curve.far[before]))


def area(curve: Curve) -> float:
    """Area under the ROC: the probability that a genuine score is above an impostor's, a tie counting half."""
    return float((np.diff(curve.far) * (curve.tar[1:] + curve.tar[:-1])).sum() / 2)
