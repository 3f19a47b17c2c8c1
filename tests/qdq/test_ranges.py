from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from edgekit.core.errors import ModelError
from edgekit.qdq.ranges import (
    BINS,
    BUDGET,
    LEAST,
    Clipping,
    Entropy,
    Histogram,
    MeanSquare,
    MinMax,
    Percentile,
    RangeFinder,
    Steps,
)

LIMITS = json.loads((Path(__file__).parents[1] / "golden" / "ranges.json").read_text())
FLOATS = npst.arrays(
    np.float32,
    npst.array_shapes(max_dims=4, max_side=12),
    elements=st.floats(-(2.0**40), 2.0**40, width=32, allow_subnormal=False),
)
GRIDS = st.sampled_from([Steps(), Steps(254, symmetric=True)])
ASYMMETRIC = Steps()
MAKE: dict[str, Callable[[], RangeFinder]] = {
    "minmax": lambda: MinMax("conv1.out"),
    "percentile": lambda: Percentile("conv1.out", LEAST, 99.99),
    "entropy": lambda: Entropy("conv1.out", LEAST),
    "mse": lambda: MeanSquare("conv1.out", LEAST),
}
EVERY = pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
SEARCHES = pytest.mark.parametrize("make", [Entropy, MeanSquare])


def order_statistics(values: np.ndarray, percentile: float) -> tuple[float, float]:
    """The values that cut the tails of ``percentile`` off, zero included: NumPy's definition, by sorting."""
    data = values.astype(np.float64).ravel()
    low = -float(np.percentile(-data, 50 + percentile / 2, method="inverted_cdf"))
    high = float(np.percentile(data, 50 + percentile / 2, method="inverted_cdf"))
    return min(low, 0.0), max(high, 0.0)


def ranged(finder: RangeFinder, *frames: np.ndarray, steps: Steps = ASYMMETRIC) -> tuple[float, float]:
    for frame in frames:
        finder.update(frame)
    return finder.range(steps)


def percentile(share: float, sample: int = LEAST) -> Percentile:
    return Percentile("t", sample, share)


def standard(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


class TestMinMax:
    @given(st.lists(FLOATS, min_size=1, max_size=5))
    def test_exact_and_holds_zero(self, frames: list[np.ndarray]) -> None:
        every = np.concatenate([f.ravel() for f in frames])
        assert ranged(MinMax("t"), *frames) == (min(0.0, float(every.min())), max(0.0, float(every.max())))

    def test_empty(self) -> None:
        assert MinMax("t").range() == (0, 0)
        assert ranged(MinMax("t"), np.zeros((0, 3), np.float32)) == (0, 0)


class TestPercentile:
    @settings(deadline=None)
    @given(st.lists(FLOATS, min_size=1, max_size=4), st.sampled_from([60.0, 90.0, 99.0, 99.99, 100.0]))
    def test_within_a_bin_of_the_sorted_values(self, frames: list[np.ndarray], share: float) -> None:
        finder = percentile(share, 1 << 20)  # every value counts: what a sample misses is another test's
        found = ranged(finder, *frames)
        every = np.concatenate([f.ravel() for f in frames])
        width = 2 * finder.reach / BINS
        # The rank of a percentile may fall exactly between two values: then either is right.
        bounds = [order_statistics(every, min(100, share + d)) for d in (-1e-7, 1e-7)]
        assert min(b[0] for b in bounds) - width <= found[0] <= max(b[0] for b in bounds) + width
        assert min(b[1] for b in bounds) - width <= found[1] <= max(b[1] for b in bounds) + width
        assert found[0] >= min(0.0, float(every.min()))
        assert found[1] <= max(0.0, float(every.max()))

    def test_a_large_frame_counts_as_much_as_its_values(self) -> None:
        """A third of a large frame is looked at: beside a small one it still counts whole."""
        ones, zeros = np.ones(2070, np.float32), np.zeros(8316, np.float32)
        assert ranged(percentile(60.0, 1 << 20), ones, zeros)[1] < 1e-3  # 19.9 % are ones, 20 % are cut off

    def test_normal_values_against_numpy(self) -> None:
        values = standard(0, 1 << 20)
        finder = percentile(99.0, 1 << 20)
        low, high = ranged(finder, values)
        assert low == pytest.approx(np.percentile(values, 0.5), abs=2 * finder.reach / BINS)
        assert high == pytest.approx(np.percentile(values, 99.5), abs=2 * finder.reach / BINS)

    def test_sampling_a_large_tensor(self) -> None:
        values = standard(1, 8, 256, 256)
        assert values.size > 4 * LEAST
        low, high = ranged(percentile(99.0), values)
        assert low == pytest.approx(np.percentile(values, 0.5), rel=LIMITS["sampled_percentile_relative"])
        assert high == pytest.approx(np.percentile(values, 99.5), rel=LIMITS["sampled_percentile_relative"])

    def test_budget_places_a_far_percentile(self) -> None:
        """What the module promises of a 99.99th percentile over many frames."""
        frames = [standard(seed, 64, 4096) for seed in range(16)]
        finder = percentile(99.98, BUDGET // len(frames))
        high = ranged(finder, *frames)[1]
        rank = float(np.mean([np.mean(frame <= high) for frame in frames]))
        assert (1 - rank) / 1e-4 == pytest.approx(1, abs=LIMITS["rank_of_the_99_99th_percentile_relative"])

    def test_sampling_sees_every_column(self) -> None:
        """A column of outliers as wide as the stride must not hide between sampled columns."""
        values = np.zeros((1024, 512), np.float32)
        values[:, 8] = 5.0  # 1 in 512 values
        low, high = ranged(percentile(99.9), *[values] * 9)
        assert low == 0
        assert high == pytest.approx(5.0, abs=0.01)

    @pytest.mark.parametrize("outlier", [1e2, 1e4, 1e6, 1e12, 1e30, -1e6, -1e30])
    def test_an_outlier_does_not_coarsen_the_range(self, outlier: float) -> None:
        """By NumPy's percentiles of the values; a histogram that reaches to the outlier has no bin between them."""
        values = standard(3, 1 << 16)
        frames = np.split(values, 4)
        frames[1] = np.append(frames[1], np.float32(outlier))
        low, high = ranged(percentile(99.9, 1 << 20), *frames)
        assert (low, high) == pytest.approx(order_statistics(values, 99.9), rel=LIMITS["beside_an_outlier_relative"])

    def test_values_that_are_almost_always_zero_keep_a_range(self) -> None:
        values = np.zeros(1 << 16, np.float32)
        values[7] = 3.0
        assert 0 < ranged(percentile(99.9, 1 << 20), values)[1] < 0.01

    def test_leading_zeros_count(self) -> None:
        """Frames before the first activation are as real as those after it."""
        zeros, values = np.zeros(990, np.float32), np.full(10, 3, np.float32)
        assert ranged(percentile(97.0), zeros, values) == ranged(percentile(97.0), values, zeros)
        assert ranged(percentile(97.0), zeros, values)[1] < 0.01

    def test_chunks_do_not_matter(self) -> None:
        values = standard(2, 4096)
        whole = ranged(percentile(98.0), values)
        assert ranged(percentile(98.0), *np.split(values, 64)) == pytest.approx(whole, abs=2 * 4 / BINS)


class TestHistogram:
    @settings(deadline=None)
    @given(st.lists(FLOATS, min_size=1, max_size=6), st.randoms(use_true_random=False))
    def test_order_of_frames_does_not_matter(self, frames: list[np.ndarray], random: Any) -> None:
        """The reach grows at other times, so a value moves by a bin at most."""
        whole = 1 << 20  # of a larger frame a part is looked at, in each frame another
        first, second = MeanSquare("t", whole), MeanSquare("t", whole)
        for frame in frames:
            first.update(frame)
        random.shuffle(frames)
        for frame in frames:
            second.update(frame)
        assert (first.low, first.high, first.reach) == (second.low, second.high, second.reach)
        below, other = np.cumsum(first.counts), np.cumsum(second.counts)
        assert np.all(other[:-1] <= below[1:])
        assert np.all(below[:-1] <= other[1:])

    @EVERY
    def test_order_of_frames_barely_moves_the_range(self, make: Callable[[], RangeFinder]) -> None:
        frames = [standard(k + 2, 500) * np.float32(10.0**k) for k in range(-2, 3)] + [np.zeros(500, np.float32)] * 3
        expected = ranged(make(), *frames)
        for seed in range(5):
            np.random.default_rng(seed).shuffle(frames)
            width = max(abs(end) for end in expected)
            assert ranged(make(), *frames) == pytest.approx(
                expected, abs=width * LIMITS["order_of_frames_relative_to_range"]
            )

    @settings(deadline=None)
    @given(st.lists(FLOATS, min_size=1, max_size=6))
    def test_doubling_loses_no_count(self, frames: list[np.ndarray]) -> None:
        finder = MeanSquare("t", BUDGET)  # of a larger tensor than that a part is counted
        for frame in frames:
            finder.update(frame)
        assert int(finder.counts.sum()) == sum(frame.size for frame in frames)
        assert finder.reach > max(-finder.low, finder.high) or finder.low == finder.high == finder.reach == 0

    def test_doubling_keeps_values_in_place(self) -> None:
        finder = percentile(99.0)
        for power in range(-10, 11):
            finder.update(np.linspace(-1, 1, 101, dtype=np.float32) * 2.0**power)
            assert finder.reach > 2.0**power
        # Symmetric values stay around the middle, within the width of a bin.
        left, right = int(finder.counts[: BINS // 2].sum()), int(finder.counts[BINS // 2 :].sum())
        assert abs(left - right) <= 2 * 21

    @pytest.mark.parametrize("make", [MAKE[name] for name in ("percentile", "entropy", "mse")])
    def test_memory_does_not_grow(self, make: Callable[[], Histogram]) -> None:
        def held() -> int:
            return sum(value.nbytes for value in vars(finder).values() if isinstance(value, np.ndarray))

        finder = make()
        before = held()
        for k in range(20):
            finder.update(np.full((64, 64), k, np.float32))
        assert held() == before <= LIMITS["histogram_kib"] * 1024


class TestEveryFinder:
    @settings(deadline=None, max_examples=40)
    @given(st.sampled_from(list(MAKE)), st.lists(FLOATS, min_size=1, max_size=3), GRIDS)
    def test_holds_zero_and_nothing_unseen(self, name: str, frames: list[np.ndarray], steps: Steps) -> None:
        every = np.concatenate([f.ravel() for f in frames])
        low, high = ranged(MAKE[name](), *frames, steps=steps)
        assert min(0.0, float(every.min())) <= low <= 0 <= high <= max(0.0, float(every.max()))
        assert (high > low) == bool(every.any()) or name == "percentile"


class TestSearches:
    @SEARCHES
    @settings(deadline=None, max_examples=30)
    @given(st.lists(FLOATS, min_size=1, max_size=3), GRIDS)
    def test_cost_is_not_above_that_of_the_whole_range(
        self, make: type[Clipping], frames: list[np.ndarray], steps: Steps
    ) -> None:
        finder = make("t", LEAST)
        low, high = ranged(finder, *frames, steps=steps)
        if high > low:
            if steps.symmetric:
                whole, low, high = max(-finder.low, finder.high), min(low, -high), max(high, -low)
                assert finder._cost(low, high, steps) <= finder._cost(-whole, whole, steps) * (1 + 1e-9)
            else:
                assert finder._cost(low, high, steps) <= finder._cost(finder.low, finder.high, steps) * (1 + 1e-9)

    @pytest.mark.parametrize("steps", [Steps(), Steps(15), Steps(254, symmetric=True)])
    def test_mse_against_a_search_on_the_values(self, steps: Steps) -> None:
        """Rounding the values themselves, not a histogram of them, at every clipping point."""
        values = np.random.default_rng(3).laplace(size=20000).astype(np.float32).clip(None, 6)
        low, high = ranged(MeanSquare("t", 1 << 20), values, steps=steps)

        def error(low: float, high: float) -> float:
            scale = (high - low) / steps.count
            return float(np.mean((values - np.round(np.clip(values, low, high) / scale) * scale) ** 2))

        if steps.symmetric:
            peak = float(np.abs(values).max())
            best = min(error(-share * peak, share * peak) for share in np.linspace(0.02, 1, 99))
            found = error(-max(-low, high), max(-low, high))
        else:
            shares = np.linspace(0.02, 1, 50)
            best = min(error(a * values.min(), b * values.max()) for a in shares for b in shares)
            found = error(low, high)
        assert found <= best * LIMITS["mse_over_exhaustive_search"]

    @SEARCHES
    @pytest.mark.parametrize("steps", [Steps(15), Steps(14, symmetric=True)])
    def test_clips_rare_outliers_when_steps_are_few(self, make: type[Clipping], steps: Steps) -> None:
        values = standard(4, 100_000)
        values[:3] = 40
        low, high = ranged(make("t", 1 << 20), values, steps=steps)
        assert 1 < high < 20
        assert low < -1

    @SEARCHES
    @pytest.mark.parametrize("steps", [Steps(), Steps(254, symmetric=True)])
    @pytest.mark.parametrize(
        "values",
        [
            np.full(100, 0.7, np.float32),
            np.repeat(np.float32([0, 1]), [900, 100]),
            np.repeat(np.float32([0, -3, 1.1]), [9000, 1, 100]),
            np.concatenate([np.zeros(99_000), np.linspace(1, 10, 1000)]).astype(np.float32),
        ],
        ids=["constant", "mask", "three values", "gap"],
    )
    def test_few_values_are_not_cut_off(self, make: type[Clipping], steps: Steps, values: np.ndarray) -> None:
        """A divergence of distributions sees nothing wrong with one bar that holds everything."""
        low, high = ranged(make("t", 1 << 20), values, steps=steps)
        assert high == pytest.approx(values.max(), rel=LIMITS["few_values_relative"])
        assert low == pytest.approx(min(0, values.min()), rel=LIMITS["few_values_relative"])

    @pytest.mark.parametrize("symmetric", [False, True])
    def test_entropy_keeps_what_a_relu_and_a_sigmoid_give(self, symmetric: bool) -> None:
        """A bar of zeros, and few values that a narrow range does not see at all."""
        steps = Steps(254 if symmetric else 255, symmetric)
        relu = np.maximum(standard(5, 400_000), 0)
        sigmoid = 1 / (1 + np.exp(-0.5 * standard(6, 400_000) - 1))
        for values in (relu, sigmoid.astype(np.float32)):
            high = ranged(Entropy("t", 1 << 20), values, steps=steps)[1]
            assert high > LIMITS["entropy_share_of_range_kept"] * values.max()

    def test_entropy_by_hand(self) -> None:
        """Four bins, two steps, the last bin clipped: Migacz' slides, with the end's own bin."""
        finder = Entropy("t", LEAST)
        centres, counts = np.array([0.5, 1.5, 2.5, 3.5]), np.array([4, 2, 1, 1])
        assert finder.cost(centres, counts, 0.0, 4.0, Steps(3)) == pytest.approx(0)
        p = np.array([4, 2, 1, 1]) / 8
        q = np.array([3, 3, 1, 1]) / 8
        assert finder.cost(centres, counts, 0.0, 4.0, Steps(1)) == pytest.approx(np.sum(p * np.log(p / q)))
        # The bins 0.5, 1.5, 2.5, and the end, 3, where the value outside goes.
        q = np.array([4, 4 / 3, 4 / 3, 4 / 3]) / 8
        assert finder.cost(centres, counts, 0.0, 3.0, Steps(1)) == pytest.approx(np.sum(p * np.log(p / q)))


@EVERY
class TestEdges:
    @pytest.mark.parametrize("value", [2.0, -2.0, 0.1, 1e-30, -1e-30, 1e30, -1e30, 3.4e38, 1.2e-38, 1e-44])
    @pytest.mark.filterwarnings("error")
    def test_constant(self, make: Any, value: float) -> None:
        stored = float(np.float32(value))
        for steps in (Steps(), Steps(254, symmetric=True)):
            low, high = ranged(make(), np.full((3, 5), value, np.float32), steps=steps)
            assert (low, high) == pytest.approx((min(stored, 0), max(stored, 0)), rel=2 / BINS * 4)

    def test_zero(self, make: Any) -> None:
        assert ranged(make(), np.zeros((2, 2), np.float32), np.full(3, -0.0, np.float32)) == (0, 0)

    def test_no_values(self, make: Any) -> None:
        assert ranged(make(), np.zeros((0, 4), np.float32)) == (0, 0)

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
