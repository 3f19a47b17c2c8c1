"""Input drift: whether a camera's frames lie where those of calibration lay.

The frames of one drive are alike, so a window of them is about one observation of a place, its weather and its light,
however many frames it holds: a test that takes them for independent ones calls every drive a drift.  The question is
therefore not whether the window is spread as the reference is, but whether the drive may be one of those that the
reference's frames were taken from: any spread within the range of the reference, widened by a margin, will do.  The
Kolmogorov-Smirnov distance to the nearest such spread is the share of the window beyond the range, and it says so
without counting frames.  Decision 36 has the reasons and what was tried.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgekit.core.tensors import Array
from edgekit.evaluation.input_statistics import JUDGED, InputStatistics, Measured
from edgekit.ros2_node.health._span import Lasting, Recent
from edgekit.ros2_node.health.limits import Limits
from edgekit.ros2_node.health.statuses import Level, Status, Values, values_of

_FULL = 0.9
"""Share of the window's time that must be filled before it is judged."""


class Drift:
    """Of one camera, against the reference of its bundle; None: it holds none."""

    def __init__(self, reference: InputStatistics | None) -> None:
        self._reference = reference
        self._rows: Recent[Array] = Recent(1024)
        self._drifts = Lasting()
        self._last_verdict: tuple[float, Limits, _Verdict] | None = None

    def begin(self) -> None:
        """No frame yet."""
        self._last_verdict = None
        self._rows.clear()
        self._drifts.clear()

    def see(self, measured: Measured, now_s: float) -> None:
        """A frame."""
        if self._reference is not None:
            self._rows.add(now_s, self._reference.row(measured))

    def status(self, name: str, now_s: float, limits: Limits) -> Status:
        """Of the window that ends now."""
        reference = self._reference
        if reference is None:
            return Status(name, Level.OK, "no reference: the bundle has no input_statistics.json; build it again")
        recent = self._rows.within(now_s, limits.drift_window_s)
        if not recent or recent[-1][0] - recent[0][0] < _FULL * limits.drift_window_s - limits.drift_period_s:
            self._drifts.see(False, now_s, 0.0, limits.hold_s)
            return Status(name, Level.OK, "Waiting for frames.", values_of([("Frames in window", len(recent))]))
        verdict = self._verdict(reference, recent, limits)
        drifts = self._drifts.see(verdict.beyond >= limits.drift_share, now_s, 0.0, limits.hold_s)
        if drifts:
            return Status(name, Level.WARN, f"The input is not as at calibration: {verdict.told}.", verdict.values)
        return Status(name, Level.OK, "The input is as at calibration.", verdict.values)

    def _verdict(self, reference: InputStatistics, recent: list[tuple[float, Array]], limits: Limits) -> _Verdict:
        """Made once a frame: statuses are asked for more often."""
        newest_s = recent[-1][0]
        if self._last_verdict is None or self._last_verdict[:2] != (newest_s, limits):
            rows = np.array([row for _, row in recent])
            self._last_verdict = (newest_s, limits, _judge(rows, reference, limits))
        return self._last_verdict[2]


@dataclass(frozen=True)
class _Verdict:
    """On one window: the largest share beyond an edge, what lies there in words, and the values to show."""

    beyond: float
    told: str
    values: Values


def _judge(rows: Array, reference: InputStatistics, limits: Limits) -> _Verdict:
    shares = beyond(rows, reference, limits.drift_margin)
    worst = max(shares, key=lambda feature: shares[feature])
    medians = dict(zip(JUDGED, np.median(rows, axis=0), strict=True))
    told = []
    for feature in (name for name, share in shares.items() if share >= limits.drift_share):
        low, high = reference.quantile(feature, 0.01), reference.quantile(feature, 0.99)
        told.append(f"{feature} {medians[feature]:.3g} (reference {low:.3g} to {high:.3g})")
    column = rows[:, list(JUDGED).index(worst)]
    pairs: list[tuple[str, object]] = [
        ("Frames in window", len(rows)),
        ("Furthest feature", worst),
        ("Share beyond the reference", shares[worst]),
        ("KS distance", ks_distance(column, reference, worst)),
        ("PSI", population_stability(column, reference, worst)),
    ]
    pairs += [(feature, float(median)) for feature, median in medians.items()]
    return _Verdict(shares[worst], ", ".join(told) or "until a moment ago", values_of(pairs))


def beyond(rows: Array, reference: InputStatistics, factor: float) -> dict[str, float]:
    """The share of a window beyond either edge of the widened reference, by feature.

    Args:
        rows: float64 ``(N, len(JUDGED))``, N at least 1.
        reference: of the calibration frames.
        factor: of every feature's margin.
    """
    found = {}
    for k, name in enumerate(JUDGED):
        low, high = reference.edges(name, factor)
        found[name] = float(max((rows[:, k] < low).mean(), (rows[:, k] > high).mean()))
    return found


def ks_distance(values: Array, reference: InputStatistics, name: str) -> float:
    """The largest difference of the distribution functions of a window ``(N,)`` and of the reference, 0 to 1."""
    ordered = np.sort(values)
    levels = np.interp(ordered, *_ascending(reference, name), left=0.0, right=1.0)
    steps = np.arange(len(ordered) + 1) / len(ordered)
    return float(max(np.abs(steps[1:] - levels).max(), np.abs(steps[:-1] - levels).max()))


def population_stability(values: Array, reference: InputStatistics, name: str) -> float:
    """The population stability index of a window ``(N,)`` over the reference's tenths.

    The sum over bins of (p - q) ln(p / q); half a frame is added to every bin, so that an empty one is finite.
    """
    tenths = [reference.quantile(name, level) for level in np.arange(0.1, 0.95, 0.1)]
    counts = np.bincount(np.searchsorted(tenths, values), minlength=10) + 0.5
    shares = counts / counts.sum()
    return float(((shares - 0.1) * np.log(shares / 0.1)).sum())


def _ascending(reference: InputStatistics, name: str) -> tuple[Array, Array]:
    """Quantiles that rise, and their levels; of equal ones the last."""
    values, levels = np.array(reference.quantiles[name]), np.array(reference.levels)
    last = np.append(values[1:] > values[:-1], True)
    return values[last], levels[last]
