from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.core.errors import DataError
from edgekit.core.tensors import Array
from edgekit.tasks import _roc
from edgekit.tasks.embedding import metric_name, roc
from tests.support.roc_reference import cosines, pairs, people, verification_reference

FARS = (0.5, 0.1, 0.05)


class TestCurve:
    scores = st.lists(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]) | st.floats(0, 1), min_size=1, max_size=12)

    @settings(deadline=None, max_examples=200)
    @given(scores, scores)
    def test_equals_scikit_learn(self, genuine: list[float], impostor: list[float]) -> None:
        labels = np.array([1] * len(genuine) + [0] * len(impostor))
        values = np.array(genuine + impostor)
        curve = _roc.Ranking(np.array(genuine), np.array(impostor)).curve()
        made = {metric_name(x): _roc.tar_at(curve, x) for x in FARS}
        made |= {"eer": _roc.equal_error_rate(curve), "auc": _roc.area(curve)}
        assert made == pytest.approx(verification_reference(labels, values, FARS), abs=1e-6)

    @settings(deadline=None)
    @given(scores, scores, st.integers(0, 2**32))
    def test_weights_count_scores_several_times(self, genuine: list[float], impostor: list[float], seed: int) -> None:
        rng = np.random.default_rng(seed)
        one, other = (rng.integers(0, 4, len(values)) for values in (genuine, impostor))
        one[0] = other[0] = 1
        weighted = _roc.Ranking(np.array(genuine), np.array(impostor)).curve(one, other)
        repeated = _roc.Ranking(np.repeat(genuine, one), np.repeat(impostor, other)).curve()
        assert _roc.equal_error_rate(weighted) == pytest.approx(_roc.equal_error_rate(repeated), abs=1e-12)
        for far in (0, 0.1, 0.5, 1):
            assert _roc.tar_at(weighted, far) == pytest.approx(_roc.tar_at(repeated, far), abs=1e-12)

    @settings(deadline=None)
    @given(scores, scores, st.floats(0, 1))
    def test_the_threshold_gives_the_rates(self, genuine: list[float], impostor: list[float], far: float) -> None:
        ranking = _roc.Ranking(np.array(genuine), np.array(impostor))
        curve = ranking.curve()
        threshold = ranking.threshold(curve, far)
        assert (np.array(genuine) >= threshold).mean() == pytest.approx(_roc.tar_at(curve, far))
        assert (np.array(impostor) >= threshold).mean() <= far + 1e-9


class TestRoc:
    def test_rises_inside_its_intervals(self) -> None:
        vectors, subjects = people(12, 5, noise=0.8)
        found = roc(vectors.astype(np.float32), subjects, replicates=50)
        assert found.far.shape == (50,)
        assert found.far[-1] == pytest.approx(1)
        for values in (found.tar, found.low, found.high):
            assert values.shape == (50,)
            assert ((values >= 0) & (values <= 1)).all()
            assert (np.diff(values) >= 0).all()
        assert (found.low <= found.tar).all()
        assert (found.tar <= found.high).all()
        assert (np.diff(found.threshold) <= 0).all()
        assert found.confidence == 0.95
        same, scores = pairs(vectors, subjects)
        for far, tar, threshold in zip(found.far, found.tar, found.threshold, strict=True):
            assert (scores[same] >= threshold).mean() == pytest.approx(tar)
            assert (scores[~same] >= threshold).mean() <= far + 1e-9

    def test_the_seed_decides(self) -> None:
        vectors, subjects = people(6, 4, noise=0.8)
        one, again, other = (roc(vectors, subjects, [0.1], replicates=40, seed=seed) for seed in (1, 1, 2))
        assert (one.low, one.high) == (again.low, again.high)
        assert (one.low, one.high) != (other.low, other.high)
        assert one.tar == other.tar

    def test_more_confidence_and_fewer_subjects_are_wider(self) -> None:
        def width(count: int, confidence: float) -> float:
            found = roc(*people(count, 6, noise=0.9), [0.05], confidence, replicates=100)
            return float(found.high[0] - found.low[0])

        assert width(10, 0.5) < width(10, 0.95)
        assert width(40, 0.95) < width(10, 0.95)

    def test_pairs_of_one_subject_are_not_independent(self) -> None:
        """Half of the subjects is easy, half is hard: more frames of them say little about the next subject."""
        rng = np.random.default_rng(3)
        ids = np.repeat(np.arange(16), 12)
        vectors = np.eye(16)[ids] + rng.normal(0, 1, (len(ids), 16)) * np.where(ids % 2, 0.05, 0.6)[:, None]
        found = roc(vectors, [f"s{i}" for i in ids], [0.01], replicates=100)
        tar, genuine = found.tar[0], 16 * 66
        binomial = 2 * 1.96 * np.sqrt(tar * (1 - tar) / genuine)
        assert found.high[0] - found.low[0] > 3 * binomial

    @pytest.mark.parametrize("seed", range(5))
    def test_a_replicate_counts_pairs_as_often_as_their_subjects_were_drawn(self, seed: int) -> None:
        vectors, subjects = people(6, 4, noise=1.5, seed=seed)
        found = roc(vectors, subjects, [0.1, 0.3], replicates=1, seed=seed)
        times = np.bincount(np.random.default_rng(seed).integers(0, 6, 6), minlength=6)[np.repeat(np.arange(6), 4)]
        rows, columns = np.triu_indices(24, 1)
        scores = cosines(vectors, vectors, single=False)[rows, columns]
        same = np.repeat(np.arange(6), 4)[rows] == np.repeat(np.arange(6), 4)[columns]
        often = np.where(same, times[rows], times[rows] * times[columns])
        drawn = verification_reference(np.repeat(same, often), np.repeat(scores, often), (0.1, 0.3))
        for i, far in enumerate((0.1, 0.3)):
            expected = sorted([drawn[metric_name(far)], found.tar[i]])
            assert [found.low[i], found.high[i]] == pytest.approx(expected)

    def test_two_subjects_always_give_impostors(self) -> None:
        with np.errstate(all="raise"):
            found = roc(*people(2, 3), far=[0.5], replicates=50)
        assert found.low == found.tar == found.high == 1

    @pytest.mark.parametrize(
        ("vectors", "options", "message"),
        [
            (np.ones((3, 4)), {}, r"4 subjects for vectors \[3, 4\]; expected one a row"),
            (np.ones(4), {}, r"vectors \[4\]"),
            (np.zeros((4, 2)), {}, "a vector is zero, NaN or infinite"),
            (np.full((4, 2), np.nan), {}, "a vector is zero, NaN or infinite"),
            (np.ones((4, 2)), {"confidence": 1.5}, "confidence 1.5"),
            (np.ones((4, 2)), {"replicates": 0}, "replicates 0"),
        ],
    )
    def test_bad_input(self, vectors: Array, options: dict[str, Any], message: str) -> None:
        with pytest.raises(DataError, match=message):
            roc(vectors, ["a", "a", "b", "b"], **options)
