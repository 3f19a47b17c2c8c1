"""Intervals, differences, slices and worst frames, on accumulators that are filled by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, false_discovery_control, ttest_1samp
from scipy.stats import bootstrap as scipy_bootstrap

from edgekit import evaluation
from edgekit.core.errors import DataError, InputError
from edgekit.core.predictions import ClassScores
from edgekit.core.reports import Difference
from edgekit.data import Sample
from edgekit.evaluation import Measurement, Resampling, bootstrap
from edgekit.evaluation.measurement import Score
from edgekit.evaluation.slicing import joined, read_table, slices
from edgekit.tasks.classification import Config as Classification

TASK = Classification(output="logits", classes=("no", "yes")).create()


def score(right: Sequence[bool], name: str = "candidate", sequences: Sequence[str] | None = None) -> Score:
    """An engine that is right on so many frames of the class yes."""
    made = Score(name, TASK)
    for i, hit in enumerate(right):
        metadata = {} if sequences is None else {"sequence": sequences[i]}
        shown = ClassScores(np.array([0, 1] if hit else [1, 0], np.float32))
        made.update(shown, Sample(f"f{i}", {}, 1, metadata))
    return made


def measurement(
    right: Sequence[bool], control: Sequence[bool] | None = None, **columns: Sequence[str | None]
) -> Measurement:
    scores = {"candidate": score(right)} | ({} if control is None else {"control": score(control, "control")})
    frames = tuple(f"f{i}" for i in range(len(right)))
    return Measurement(scores, frames, {name: tuple(own) for name, own in columns.items()}, TASK.metrics)


def report(made: Measurement, **options: object) -> evaluation.EvaluateReport:
    return evaluation.report(made, "candidate", bundle="b", dataset="d", resampling=Resampling(**options))  # type: ignore[arg-type]


HALF = [i % 3 > 0 for i in range(60)]


class TestIntervals:
    def test_standard_error_equals_scipy(self) -> None:
        made = measurement(HALF)
        own = bootstrap.units(made, None)
        every = np.ones(60, np.bool_)
        (spread,) = bootstrap.spreads(list(made.scores.values()), own, Resampling(resamples=4000), every)
        expected = scipy_bootstrap((np.array(HALF, float),), np.mean, n_resamples=4000, rng=np.random.default_rng(1))
        assert spread.replicates["top1"].std(ddof=1) == pytest.approx(expected.standard_error, rel=0.06)
        assert spread.metrics["top1"] == pytest.approx(2 / 3)

    def test_the_interval_encloses_and_narrows(self) -> None:
        few, many = (report(measurement(HALF * n)).intervals["top1"] for n in (1, 9))
        for found in (few, many):
            assert found.low is not None
            assert found.high is not None
            assert 0 < found.low < 2 / 3 < found.high < 1
        assert many.high - many.low == pytest.approx((few.high - few.low) / 3, rel=0.15)  # type: ignore[operator]

    def test_covers_the_truth(self) -> None:
        """Of 200 samples; chance alone gives 95 % +- 3 %."""
        rng, covered = np.random.default_rng(5), 0
        for seed in range(200):
            own = report(measurement((rng.random(80) < 0.8).tolist()), resamples=300, seed=seed).intervals["top1"]
            assert own.low is not None
            assert own.high is not None
            covered += own.low <= 0.8 <= own.high
        assert 0.90 <= covered / 200 <= 0.985

    def test_no_fault_proves_little(self) -> None:
        found = report(measurement([True] * 60)).intervals
        exact = binomtest(60, 60).proportion_ci(0.95, "exact")
        assert (found["top1"].low, found["top1"].high) == pytest.approx((exact.low, exact.high))
        assert (found["ece"].low, found["ece"].high) == pytest.approx((0, 1 - exact.low))

    def test_ends_of_a_share_stay_inside(self) -> None:
        found = report(measurement([i > 1 for i in range(60)])).intervals["top1"]
        assert found.low is not None
        assert found.high is not None
        assert 0.85 < found.low < 58 / 60 < found.high < 1

    def test_many_frames_have_fewer_resamples(self) -> None:
        assert [Resampling().times(n) for n in (10, 2000, 2001, 10**6)] == [1000, 1000, 200, 200]
        assert Resampling(resamples=300).times(10**6) == 300

    def test_the_seed_decides(self) -> None:
        made = measurement(HALF)
        assert report(made) == report(made)
        assert report(made).intervals != report(made, seed=1).intervals
        assert report(made).bootstrap == evaluation.Bootstrap("frame", 60, 1000, 0.95, 0, bootstrap.METHOD)

    def test_more_confidence_is_wider(self) -> None:
        one, other = (report(measurement(HALF), confidence=c).intervals["top1"] for c in (0.8, 0.99))
        assert other.low < one.low < one.high < other.high  # type: ignore[operator]

    def test_too_few_frames_say_nothing(self) -> None:
        found = report(measurement([True, False, True, True], [True] * 4))
        assert found.intervals["top1"] == evaluation.Interval(None, None)
        assert found.differences["top1"] == Difference(-0.25, None, None)
        assert found.metrics["top1"] == 0.75

    def test_a_metric_that_most_resamples_lack_has_no_ends(self) -> None:
        found = report(measurement([i > 0 for i in range(40)]))  # no was predicted once
        assert found.intervals["precision/no"] == evaluation.Interval(None, None)
        assert found.intervals["top1"].low is not None

    @pytest.mark.parametrize("options", [{"resamples": 1}, {"confidence": 1.0}, {"confidence": 0.0}])
    def test_bad_settings(self, options: dict[str, float]) -> None:
        with pytest.raises(InputError, match=next(iter(options))):
            Resampling(**options)  # type: ignore[arg-type]


class TestUnits:
    def test_sequences_are_drawn_when_there_are_ten(self) -> None:
        for count, unit in ((9, "frame"), (10, "sequence")):
            names = [f"s{i % count}" for i in range(60)]
            found = report(measurement(HALF, sequence=names)).bootstrap
            assert found is not None
            assert (found.unit, found.units) == (unit, {"frame": 60, "sequence": count}[unit])

    def test_frames_without_sequence_are_frames(self) -> None:
        names = [None, *(f"s{i}" for i in range(59))]
        assert bootstrap.units(measurement(HALF, sequence=names), None).name == "frame"
        with pytest.raises(InputError, match="unit 'sequence': frame 'f0' has no value"):
            bootstrap.units(measurement(HALF, sequence=names), "sequence")

    def test_unknown_unit(self) -> None:
        with pytest.raises(InputError, match=r"unit 'drve': .*did you mean 'drive'"):
            bootstrap.units(measurement(HALF, drive=["a"] * 60), "drve")

    def test_frames_of_a_cluster_are_not_independent(self) -> None:
        """Every cluster is all right or all wrong: six times the frames say nothing more."""
        right = [i // 6 % 2 == 0 for i in range(120)]
        made = measurement(right, drive=[f"d{i // 6:02}" for i in range(120)])
        frame, drive = (report(made, unit=unit).intervals["top1"] for unit in ("frame", "drive"))
        assert drive.high - drive.low > 2 * (frame.high - frame.low)  # type: ignore[operator]

    @settings(deadline=None, max_examples=30)
    @given(st.lists(st.integers(0, 5), min_size=6, max_size=40), st.integers(0, 2**16))
    def test_whole_units_are_drawn(self, of: list[int], seed: int) -> None:
        own = bootstrap.Units("drive", np.array(of))
        kept = np.array([unit != of[0] for unit in of])
        if not kept.any():
            return
        drawn = np.concatenate(list(bootstrap.draws(own, Resampling(resamples=7, seed=seed), kept)))
        assert drawn.shape == (7, len(of))
        assert not drawn[:, ~kept].any()
        for unit in set(np.array(of)[kept].tolist()):
            assert (np.ptp(drawn[:, own.of_frame == unit], axis=1) == 0).all()
        firsts = np.unique(np.array(of)[kept], return_index=True)[1]
        assert (drawn[:, kept][:, firsts].sum(axis=1) == len(firsts)).all()

    def test_blocks_do_not_change_the_draws(self, monkeypatch: pytest.MonkeyPatch) -> None:
        own, every = bootstrap.Units("frame", np.arange(20)), np.ones(20, np.bool_)
        whole = np.concatenate(list(bootstrap.draws(own, Resampling(resamples=50), every)))
        monkeypatch.setattr(bootstrap, "_BLOCK", 140)
        parts = list(bootstrap.draws(own, Resampling(resamples=50), every))
        assert len(parts) == 8
        np.testing.assert_array_equal(np.concatenate(parts), whole)


class TestDifferences:
    def test_pairs_on_the_same_frames(self) -> None:
        """Frames that are hard for both say nothing of the difference."""
        rng = np.random.default_rng(0)
        control = rng.random(400) < 0.7
        candidate = control & (rng.random(400) > 0.03)
        found = report(measurement(candidate.tolist(), control.tolist()))
        gap, own = found.differences["top1"], found.intervals["top1"]
        assert gap.value == pytest.approx(candidate.mean() - control.mean())
        assert gap.high - gap.low < (own.high - own.low) / 2  # type: ignore[operator]
        test = ttest_1samp(candidate.astype(float) - control, 0)
        assert gap.p_value == pytest.approx(test.pvalue, rel=0.3)
        low, high = test.confidence_interval(0.95)
        assert (gap.low, gap.high) == pytest.approx((low, high), rel=0.15)

    def test_the_same_engine_twice(self) -> None:
        found = report(measurement(HALF, HALF))
        assert found.differences["top1"] == Difference(0, 0, 0, 1, 1)
        assert found.control == found.metrics

    def test_false_alarms(self) -> None:
        """Of two engines that are equally good, one in twenty differences has a p-value below 0.05."""
        rng, alarms = np.random.default_rng(3), 0
        for _ in range(200):
            one, other = (rng.random((2, 100)) < 0.7).tolist()
            p_value = report(measurement(one, other), resamples=200).differences["top1"].p_value
            assert p_value is not None
            alarms += p_value < 0.05
        assert alarms <= 22

    @given(st.lists(st.floats(0, 1), max_size=30))
    def test_correction_equals_scipy(self, p_values: list[float]) -> None:
        given_values = np.array(p_values)
        found = bootstrap.benjamini_hochberg(given_values)
        assert found.tolist() == pytest.approx(false_discovery_control(given_values).tolist() if p_values else [])

    def test_correction_is_over_all_of_the_report(self) -> None:
        rng = np.random.default_rng(1)
        control, candidate = (rng.random((2, 200)) < [[0.8], [0.7]]).tolist()
        columns = {f"c{k}": [str(v) for v in rng.integers(0, 4, 200)] for k in range(4)}
        alone = report(measurement(candidate, control)).differences["top1"]
        found = report(measurement(candidate, control, **columns))
        assert len(found.slices) == 16
        every = [d for own in (found, *found.slices) for d in own.differences.values() if d.p_value is not None]
        p_values = np.sort([d.p_value for d in every])
        steps = p_values * len(every) / np.arange(1, len(every) + 1)
        expected = np.minimum.accumulate(steps[::-1])[::-1].clip(max=1)
        assert sorted(d.p_adjusted for d in every) == pytest.approx(expected.tolist())  # type: ignore[type-var]
        assert found.differences["top1"].p_value == alone.p_value


class TestSlices:
    def test_metrics_are_those_of_the_part_alone(self) -> None:
        weather = ["fog" if i % 4 == 0 else "sun" for i in range(60)]
        found = report(measurement(HALF, [True] * 60, weather=weather))
        assert [(s.column, s.value, s.frames) for s in found.slices] == [("weather", "fog", 15), ("weather", "sun", 45)]
        for part in found.slices:
            own = [hit for hit, value in zip(HALF, weather, strict=True) if value == part.value]
            alone = report(measurement(own))
            assert part.metrics == {k: v for k, v in alone.metrics.items() if "/" not in k}
            assert part.intervals["top1"] == alone.intervals["top1"]
            assert part.control is not None
            assert part.control["top1"] == 1
            assert part.differences["top1"].value == pytest.approx(part.metrics["top1"] - 1)

    def test_columns_that_make_none(self) -> None:
        made = measurement(HALF, one=["a"] * 60, each=[f"v{i}" for i in range(60)], unknown=[None] * 60)
        assert not list(slices(made))

    @pytest.mark.parametrize(
        "values",
        [
            [f"{i:05d}" for i in range(12)],  # folders of classes
            [f"{i}e{i}" for i in range(12)],  # parts of hashes
            [f"{i}_{i}" for i in range(10, 22)],
        ],
    )
    def test_what_only_looks_like_a_number_is_a_name(self, values: list[str]) -> None:
        made = measurement([True] * 24, **{"class": values * 2})
        assert [value for _, value, _ in slices(made)] == sorted(values)
        assert all(frames.sum() == 2 for _, _, frames in slices(made))

    def test_names_of_the_dataset_are_no_numbers(self) -> None:
        values = [str(i) for i in range(12)]
        made = measurement([True] * 12, **{"class": values, "speed": values})
        named = replace(made, identifiers=frozenset({"class"}))
        assert [value for column, value, _ in slices(named) if column == "class"] == sorted(values, key=int)
        assert len([1 for column, _, _ in slices(named) if column == "speed"]) == 4

    def test_numbers_are_cut_into_quartiles(self) -> None:
        made = measurement(HALF, speed=[str(i / 2) for i in range(60)], lanes=[str(i % 3) for i in range(60)])
        found = [(column, value, int(frames.sum())) for column, value, frames in slices(made)]
        assert found[:3] == [("lanes", "0", 20), ("lanes", "1", 20), ("lanes", "2", 20)]
        assert found[3:] == [
            ("speed", "0 to 7", 15), ("speed", "7.5 to 14.5", 15),
            ("speed", "15 to 22", 15), ("speed", "22.5 to 29.5", 15),
        ]  # fmt: skip

    @settings(deadline=None)
    @given(st.lists(st.none() | st.floats(-1e6, 1e6), min_size=60, max_size=60))
    def test_numbers_are_each_in_one_slice(self, numbers: list[float | None]) -> None:
        made = measurement(HALF, speed=[None if n is None else repr(n) for n in numbers])
        found = [frames for _, _, frames in slices(made)]
        if found:
            assert (np.sum(found, axis=0) == [n is not None for n in numbers]).all()
            assert 2 <= len(found) <= 8

    def test_a_slice_where_nothing_is_measured(self) -> None:
        spread = report(measurement(HALF, [True] * 60, place=["x", *["y"] * 59])).slices
        assert spread[0].metrics["top1"] == 0
        assert spread[0].intervals["top1"] == evaluation.Interval(None, None)


class TestTable:
    def write(self, folder: Path, text: str) -> Path:
        path = folder / "meta.csv"
        path.write_text(text)
        return path

    def test_columns_are_joined_by_frame(self, tmp_path: Path) -> None:
        rows = [f'f{i},"a, {i % 2}",{"" if i == 3 else i}' for i in reversed(range(60))]
        table = read_table(self.write(tmp_path, "\ufeffframe,city,distance\n" + "\n".join([*rows, "other,b,1"]) + "\n"))
        made = joined(measurement(HALF, city=["old"] * 60), table)
        assert made.columns["city"] == tuple(f"a, {i % 2}" for i in range(60))
        assert made.columns["distance"][:5] == ("0", "1", "2", None, "4")
        assert len([1 for column, _, _ in slices(made) if column == "distance"]) == 4

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "expected a header"),
            ("frame\nf0\n", "expected a header"),
            ("frame,\nf0,1\n", "column 2 '' needs a name"),
            ("frame,a,a\nf0,1,2\n", "column 2 'a' needs a name of its own"),
            ("frame,a,b\nf0,1,\nf1,2,\n", "column 'b' is empty"),
            ("frame,a\nf0,1\nf0,2\n", "frame 'f0' has two rows"),
            ("frame,a\nf0,1\nf1,2,3\n", "the row of 'f1' has 3 cells, not 2"),
            ('frame,a\nf0,"1\n', "expected a CSV file"),
        ],
    )
    def test_bad_tables(self, tmp_path: Path, text: str, message: str) -> None:
        with pytest.raises(DataError, match=message):
            read_table(self.write(tmp_path, text))

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"no\.csv: no such file; name a CSV file"):
            read_table(tmp_path / "no.csv")

    def test_frames_that_cannot_be_joined(self) -> None:
        table = {f"f{i}": {"a": "1"} for i in range(58)}
        with pytest.raises(DataError, match=r"no row for frame 'f58' \(and 1 more\)"):
            joined(measurement(HALF), table)
        twice = replace(measurement(HALF), frames=("f0",) * 60)
        with pytest.raises(DataError, match="two frames are called 'f0'"):
            joined(twice, table)


class TestWorst:
    def test_ranked_by_score_then_by_loss(self) -> None:
        right, control = [True] * 60, [True] * 60
        for i in (7, 9, 30):
            right[i] = False
        control[7] = False
        made = measurement(right, control)
        found = evaluation.worst(made, "candidate", "control", 2)
        assert [(w.id, w.score, w.control, w.loss, w.by) for w in found] == [
            ("f7", 0, 0, 0, "score"), ("f9", 0, 1, 1, "score"), ("f30", 0, 1, 1, "loss"),
        ]  # fmt: skip
        assert [w.id for w in evaluation.worst(made, "candidate", None, 3)] == ["f7", "f9", "f30"]
        assert all(w.control is w.loss is None for w in evaluation.worst(made, "candidate", None, 3))

    def test_lower_is_better(self) -> None:
        made = measurement(HALF, [True] * 60)
        ece = next(metric for metric in TASK.metrics if metric.name == "ece")
        found = evaluation.worst(replace(made, metrics=(ece, *TASK.metrics)), "candidate", "control", 3)
        assert [(w.id, w.score, w.loss) for w in found] == [("f0", 1, 1), ("f3", 1, 1), ("f6", 1, 1)]

    def test_frames_that_measure_nothing_alone(self) -> None:
        made = replace(measurement(HALF), metrics=(replace(TASK.metrics[0], name="recall/no"),))
        assert evaluation.worst(made, "candidate", None) == ()


class TestBadNumbers:
    def test_nan_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made = measurement(HALF)
        total = made.scores["candidate"]._total
        monkeypatch.setattr(total, "compute", lambda weights=None: {"top1": math.nan})
        with pytest.raises(DataError, match="candidate: metric 'top1' is nan"):
            report(made)

    def test_a_column_of_another_length(self) -> None:
        with pytest.raises(DataError, match="metadata 'a' has 2 values for 60 frames"):
            measurement(HALF, a=["1", "2"])


def test_hash_of_a_section() -> None:
    assert evaluation.section_hash({"a": 1, "b": 2}) == evaluation.section_hash({"b": 2, "a": 1})
    assert evaluation.section_hash({"a": 1}) != evaluation.section_hash({"a": 2})
