from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from edgekit.core.errors import ModelError
from edgekit.quantize._ranges import BINS, SAMPLE, MinMax, Percentile, RangeFinder

FLOATS = npst.arrays(
    np.float32,
    npst.array_shapes(max_dims=4, max_side=12),
    elements=st.floats(-(2.0**40), 2.0**40, width=32, allow_subnormal=False),
)


def order_statistics(values: np.ndarray, percentile: float) -> tuple[float, float]:
    """The values that cut the tails of ``percentile`` off, zero included: NumPy's definition, by sorting."""
    data = values.astype(np.float64).ravel()
    low = -float(np.percentile(-data, 50 + percentile / 2, method="inverted_cdf"))
    high = float(np.percentile(data, 50 + percentile / 2, method="inverted_cdf"))
    return min(low, 0.0), max(high, 0.0)


def ranged(finder: RangeFinder, *frames: np.ndarray) -> tuple[float, float]:
    for frame in frames:
        finder.update(frame)
    return finder.range()


class TestMinMax:
    @given(st.lists(FLOATS, min_size=1, max_size=5))
    def test_exact_and_holds_zero(self, frames: list[np.ndarray]) -> None:
        every = np.concatenate([f.ravel() for f in frames])
        assert ranged(MinMax("t"), *frames) == (min(0.0, float(every.min())), max(0.0, float(every.max())))

    def test_empty(self) -> None:
        assert MinMax("t").range() == (0, 0)


class TestPercentile:
    @settings(deadline=None)
    @given(st.lists(FLOATS, min_size=1, max_size=4), st.sampled_from([60.0, 90.0, 99.0, 99.99, 100.0]))
    def test_within_a_bin_of_the_sorted_values(self, frames: list[np.ndarray], percentile: float) -> None:
        finder = Percentile("t", percentile)
        found = ranged(finder, *frames)
        every = np.concatenate([f.ravel() for f in frames])
        width = 2 * finder.reach / BINS
        # The rank of a percentile may fall exactly between two values: then either is right.
        bounds = [order_statistics(every, min(100, percentile + d)) for d in (-1e-7, 1e-7)]
        assert min(b[0] for b in bounds) - width <= found[0] <= max(b[0] for b in bounds) + width
        assert min(b[1] for b in bounds) - width <= found[1] <= max(b[1] for b in bounds) + width
        assert found[0] >= min(0.0, float(every.min()))
        assert found[1] <= max(0.0, float(every.max()))

    def test_normal_values_against_numpy(self) -> None:
        values = np.random.default_rng(0).standard_normal(SAMPLE).astype(np.float32)
        finder = Percentile("t", 99.0)
        low, high = ranged(finder, values)
        assert low == pytest.approx(np.percentile(values, 0.5), abs=2 * finder.reach / BINS)
        assert high == pytest.approx(np.percentile(values, 99.5), abs=2 * finder.reach / BINS)

    def test_sampling_a_large_tensor(self) -> None:
        values = np.random.default_rng(1).standard_normal((8, 256, 256)).astype(np.float32)
        assert values.size > 4 * SAMPLE
        low, high = ranged(Percentile("t", 99.0), values)
        assert low == pytest.approx(np.percentile(values, 0.5), rel=0.03)
        assert high == pytest.approx(np.percentile(values, 99.5), rel=0.03)

    def test_sampling_sees_every_column(self) -> None:
        """A column of outliers as wide as the stride must not hide between sampled columns."""
        values = np.zeros((1024, 512), np.float32)
        values[:, 8] = 5.0  # 1 in 512 values
        low, high = ranged(Percentile("t", 99.9), *[values] * 9)
        assert low == 0
        assert high == pytest.approx(5.0, abs=0.01)

    @settings(deadline=None)
    @given(st.randoms(use_true_random=False))
    def test_order_of_frames_does_not_matter(self, random: Any) -> None:
        """The reach grows at other times, so values move by a bin's width at most."""
        frames = [
            (np.random.default_rng(k + 2).standard_normal(500) * 10.0**k).astype(np.float32) for k in range(-2, 3)
        ] + [np.zeros(500, np.float32)] * 3
        finder = Percentile("t", 99.0)
        expected = ranged(finder, *frames)
        random.shuffle(frames)
        assert ranged(Percentile("t", 99.0), *frames) == pytest.approx(expected, abs=2 * finder.reach / BINS)

    def test_chunks_do_not_matter(self) -> None:
        values = np.random.default_rng(2).standard_normal(4096).astype(np.float32)
        whole = ranged(Percentile("t", 98.0), values)
        assert ranged(Percentile("t", 98.0), *np.split(values, 64)) == pytest.approx(whole, abs=2 * 4 / BINS)

    def test_leading_zeros_count(self) -> None:
        """Frames before the first activation are as real as those after it."""
        zeros, values = np.zeros(990, np.float32), np.full(10, 3, np.float32)
        assert ranged(Percentile("t", 97.0), zeros, values) == ranged(Percentile("t", 97.0), values, zeros)
        assert ranged(Percentile("t", 97.0), zeros, values)[1] < 0.01

    def test_doubling_preserves_counts(self) -> None:
        finder = Percentile("t", 99.0)
        total = 0
        for power in range(-10, 11):
            values = np.linspace(-1, 1, 101, dtype=np.float32) * 2.0**power
            finder.update(values)
            total += values.size
            assert int(finder.counts.sum()) == total
            assert finder.reach > 2.0**power
        assert finder.counts.shape == (BINS,)
        # Symmetric values stay around the middle, within the width of a bin.
        left, right = int(finder.counts[: BINS // 2].sum()), int(finder.counts[BINS // 2 :].sum())
        assert abs(left - right) <= 2 * 21

    def test_memory_does_not_grow(self) -> None:
        finder = Percentile("t", 99.0)
        for k in range(20):
            finder.update(np.full((64, 64), k, np.float32))
        held = [v for v in vars(finder).values() if isinstance(v, np.ndarray)]
        assert [h.nbytes for h in held] == [BINS * 8]


BOTH = pytest.mark.parametrize("make", [lambda: MinMax("conv1.out"), lambda: Percentile("conv1.out", 99.99)])


@BOTH
class TestEdges:
    @pytest.mark.parametrize("value", [2.0, -2.0, 0.1, 1e-30, -1e-30, 1e30, -1e30, 3.4e38, 1.2e-38, 1e-44])
    @pytest.mark.filterwarnings("error")
    def test_constant(self, make: Any, value: float) -> None:
        stored = float(np.float32(value))
        low, high = ranged(make(), np.full((3, 5), value, np.float32))
        assert (low, high) == pytest.approx((min(stored, 0), max(stored, 0)), rel=2 / BINS * 4)

    def test_zero(self, make: Any) -> None:
        assert ranged(make(), np.zeros((2, 2), np.float32), np.full(3, -0.0, np.float32)) == (0, 0)

    def test_all_negative(self, make: Any) -> None:
        low, high = ranged(make(), np.linspace(-7, -3, 1000, dtype=np.float32))
        assert high == 0
        assert low == pytest.approx(-7, abs=0.01)

    @pytest.mark.filterwarnings("error")
    def test_scales_far_apart(self, make: Any) -> None:
        finder = make()
        for value in (1e-30, 1.0, 1e30):
            finder.update(np.full(10, value, np.float32))
        assert finder.range()[1] == pytest.approx(1e30, rel=1e-3)

    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    def test_not_finite(self, make: Any, bad: float) -> None:
        values = np.ones((4, 4), np.float32)
        values[2, 1] = bad
        with pytest.raises(ModelError, match=r"tensor 'conv1\.out' holds NaN or infinity during calibration; check"):
            make().update(values)
