from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from edgekit.core.errors import DataError, SpecError, TensorError
from edgekit.core.predictions import Embedding
from edgekit.core.tensors import Array, TensorSpec
from edgekit.preprocess import place
from edgekit.tasks import _verification
from edgekit.tasks.embedding import Config, EmbeddingTask, metric_name, roc
from tests.support.roc_reference import cosines, pairs, people, verification_reference

WHOLE = place((24, 40), (24, 40), "stretch")
FARS = (0.5, 0.1, 0.05)


def task(**options: Any) -> EmbeddingTask:
    return Config(output="vector", **{"far": FARS, **options}).create()


def scored(vectors: Array, subjects: list[str], **options: Any) -> dict[str, float]:
    made = task(**options)
    accumulator = made.accumulator()
    for i, (vector, subject) in enumerate(zip(vectors.astype(np.float32), subjects, strict=True)):
        accumulator.update(made.decode({"vector": vector[None]}, WHOLE), subject, f"frame-{i:03}")
    return accumulator.compute()


def ranks(cosine: Array, subjects: list[str], gallery: list[str]) -> list[int]:
    """Plain loops; -inf for comparisons that do not count."""
    found = []
    for row, subject in zip(cosine, subjects, strict=True):
        best = {name: max(s for s, g in zip(row, gallery, strict=True) if g == name) for name in set(gallery)}
        found.append(sum(score >= best[subject] for score in best.values()))
    return found


class TestConfig:
    def test_names(self) -> None:
        rates = (0.1, 0.01, 1e-3, 0.015, 1e-6, 0.5)
        expected = ["1e-1", "1e-2", "1e-3", "1.5e-2", "1e-6", "5e-1"]
        assert [metric_name(rate) for rate in rates] == [f"tar@far={text}" for text in expected]

    def test_metrics(self) -> None:
        metrics = task(far=[0.01, 0.1]).metrics
        assert [m.name for m in metrics] == ["tar@far=1e-2", "tar@far=1e-1", "eer", "auc", "rank1", "rank5"]
        assert [m.name for m in metrics if not m.higher] == ["eer"]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"far": []}, "far"),
            ({"far": [0]}, "greater than 0"),
            ({"far": [1.0]}, "less than 1"),
            ({"far": [float("nan")]}, "far"),
            ({"far": [0.1, 0.1]}, "has a rate twice"),
            ({"templates": "mean"}, "templates: mean needs enrol"),
            ({"enrol": 3}, "enrol belongs to templates: mean"),
            ({"templates": "mean", "enrol": 0}, "enrol"),
            ({"templates": "median"}, "templates"),
        ],
    )
    def test_bad_options(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            Config.model_validate({"output": "vector", **options})

    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            (TensorSpec("vectors", (1, 8)), "no output 'vector'; did you mean 'vectors'"),
            (TensorSpec("vector", (1, 8, 1)), r"expected float32\[1, D\], one vector a frame; .* 3 dimensions"),
            (TensorSpec("vector", (4, 8)), "a batch of 4"),
            (TensorSpec("vector", (1, 1)), "with 1 values: a direction takes at least 2"),
            (TensorSpec("vector", (1, 8), "float16"), "cast the output to float32"),
        ],
    )
    def test_misfits(self, spec: TensorSpec, message: str) -> None:
        task().check_outputs([TensorSpec("vector", (1, 8))])
        with pytest.raises(SpecError, match=message):
            task().check_outputs([spec])


class TestDecode:
    def test_normalise(self) -> None:
        outputs = {"vector": np.array([[3, 0, -4]], np.float32)}
        np.testing.assert_allclose(task().decode(outputs, WHOLE).vector, [0.6, 0, -0.8], rtol=1e-6)
        plain = task(normalise=False).decode(outputs, WHOLE).vector
        np.testing.assert_array_equal(plain, [3, 0, -4])
        assert plain.dtype == np.float32

    def test_the_smallest_and_the_largest_vectors(self) -> None:
        for size in (1e-40, 1e38):
            vector = task().decode({"vector": np.full((1, 4), size, np.float32)}, WHOLE).vector
            np.testing.assert_allclose(vector, 0.5, rtol=1e-5)

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            (np.zeros((1, 4), np.float32), "'vector' is all zeros, which has no direction"),
            (np.array([[1, np.nan]], np.float32), "holds NaN or infinity"),
            (np.ones((1, 1), np.float32), r"has shape \[1, 1\]; expected \[1, D\]"),
            (np.ones((2, 4), np.float32), r"has shape \[2, 4\]"),
            (np.ones((1, 4)), "is float64"),
        ],
    )
    def test_bad_outputs(self, value: Array, message: str) -> None:
        with pytest.raises(TensorError, match=message):
            task().decode({"vector": value}, WHOLE)


@st.composite
def galleries(draw: st.DrawFn) -> tuple[Array, list[str]]:
    """Vectors of a few subjects, shuffled: with equal vectors, equal angles, subjects that look alike."""
    count = draw(st.integers(2, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    ids = np.concatenate([np.repeat(np.arange(count), 4), rng.integers(0, count, draw(st.integers(0, 6)))])
    rng.shuffle(ids)
    size = draw(st.sampled_from([2, 3, 16]))
    vectors = rng.normal(0, 1, (count, size))[ids] * draw(st.sampled_from([0, 0.5, 2]))
    vectors = vectors + rng.normal(0, 1, vectors.shape)
    if draw(st.booleans()):
        vectors = vectors.round()  # ties
    vectors[~vectors.any(axis=1), 0] = 1
    return vectors, [f"s{i}" for i in ids]


class TestMetrics:
    @settings(deadline=None, max_examples=1000)
    @given(galleries())
    def test_pairs_equal_scikit_learn(self, case: tuple[Array, list[str]]) -> None:
        vectors, subjects = case
        made = scored(vectors, subjects, normalise=False, far=(0.5, 0.3, 0.1))
        same, scores = pairs(vectors, subjects)
        found = {name: value for name, value in made.items() if not name.startswith("rank")}
        assert found == pytest.approx(verification_reference(same, scores, (0.5, 0.3, 0.1)), abs=1e-6)

    @settings(deadline=None, max_examples=200)
    @given(galleries())
    def test_ranks_equal_plain_loops(self, case: tuple[Array, list[str]]) -> None:
        vectors, subjects = case
        made = scored(vectors, subjects, normalise=False, far=[0.5])
        cosine = cosines(vectors, vectors)
        np.fill_diagonal(cosine, -np.inf)
        expected = np.array(ranks(cosine, subjects, subjects))
        assert made["rank1"] == pytest.approx((expected <= 1).mean())
        assert ("rank5" in made) == (len(set(subjects)) > 5)
        assert made.get("rank5", 1.0) == pytest.approx((expected <= 5).mean())

    @settings(deadline=None, max_examples=300)
    @given(galleries(), st.integers(1, 3), st.booleans())
    def test_templates_equal_scikit_learn(self, case: tuple[Array, list[str]], enrol: int, normalise: bool) -> None:
        vectors, subjects = case
        vectors = vectors.astype(np.float32)
        options: dict[str, Any] = {"templates": "mean", "enrol": enrol, "normalise": normalise, "far": (0.5,)}
        units = vectors.astype(np.float64) / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
        used = units.astype(np.float32).astype(np.float64) if normalise else vectors.astype(np.float64)
        names = sorted(set(subjects))
        first = {name: [i for i, s in enumerate(subjects) if s == name][:enrol] for name in names}
        templates = np.stack([used[first[name]].mean(axis=0) for name in names])
        if (np.linalg.norm(templates, axis=1) < 1e-5).any():
            with pytest.raises(DataError, match="the vectors of its template cancel out; enrol other frames"):
                scored(vectors, subjects, **options)
            return
        made = scored(vectors, subjects, **options)
        probes = [i for i in range(len(subjects)) if all(i not in enrolled for enrolled in first.values())]
        cosine = cosines(used[probes], templates, single=False)
        same = np.array([[subjects[i] == name for name in names] for i in probes])
        expected = verification_reference(same.ravel(), cosine.ravel(), (0.5,))
        place = np.array(ranks(cosine, [subjects[i] for i in probes], names))
        expected |= {f"rank{k}": (place <= k).mean() for k in (1, 5) if k < len(names)}
        assert made == pytest.approx(expected, abs=1e-6)

    def test_by_hand(self) -> None:
        vectors = np.array([[1, 0], [1, 0.1], [0, 1], [1, 1]])
        # a: 0.995, b: 0.707; a with b: 0, 0.707, 0.0995, 0.774
        made = scored(vectors, ["a", "a", "b", "b"], normalise=False, far=[0.25, 0.5])
        assert made == pytest.approx(
            {"tar@far=2.5e-1": 0.5, "tar@far=5e-1": 1.0, "eer": 1 / 3, "auc": 6.5 / 8, "rank1": 0.75}
        )

    def test_a_collapsed_model_recognises_nobody(self) -> None:
        made = scored(np.ones((24, 4)), [f"s{i % 6}" for i in range(24)])
        assert made == {
            **dict.fromkeys(map(metric_name, FARS), 0.0),
            "eer": 0.5,
            "auc": 0.5,
            "rank1": 0.0,
            "rank5": 0.0,
        }

    def test_the_order_of_frames_does_not_choose_the_template(self) -> None:
        vectors, subjects = people(4, 5, noise=1.5)
        results = []
        for order in (range(20), reversed(range(20))):
            accumulator = task(templates="mean", enrol=2).accumulator()
            for i in order:
                accumulator.update(Embedding(vectors[i].astype(np.float32)), subjects[i], f"frame-{i:02}")
            results.append(accumulator.compute())
        assert results[0] == results[1]
        assert results[0]["rank1"] < 1

    def test_more_frames_than_one_block(self, monkeypatch: pytest.MonkeyPatch) -> None:
        vectors, subjects = people(7, 9)
        whole = scored(vectors, subjects)
        monkeypatch.setattr(_verification, "_BLOCK", 5)
        assert scored(vectors, subjects) == whole
        enrolled = scored(vectors, subjects, templates="mean", enrol=3)
        monkeypatch.setattr(_verification, "_BLOCK", 1000)
        assert scored(vectors, subjects, templates="mean", enrol=3) == enrolled

    def test_only_vectors_are_kept(self) -> None:
        accumulator = task().accumulator()
        accumulator.update(Embedding(np.ones(4, np.float32)), "a", "f")
        assert [frame[:2] for frame in accumulator.frames] == [("f", "a")]
        assert accumulator.frames[0][2].nbytes == 16


class TestRefusals:
    @pytest.mark.parametrize("seed", range(6))
    def test_weights_of_pairs(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        vectors, subjects = people(6, 4, noise=1.2, seed=seed)
        often = rng.integers(0, 3, 24)
        made = task()
        accumulator = made.accumulator()
        for i in rng.permutation(24).tolist():  # the order of the weights is that of update
            accumulator.update(
                made.decode({"vector": vectors[i][None].astype(np.float32)}, WHOLE), subjects[i], f"f{i:02}"
            )
        order = [int(name[1:]) for name, _, _ in accumulator.frames]
        found = accumulator.compute(often[order].astype(np.float64))
        same, scores = pairs(vectors, subjects)
        rows, columns = np.triu_indices(24, 1)
        times = often[rows] * often[columns]
        expected = verification_reference(np.repeat(same, times), np.repeat(scores, times), FARS)
        used = np.flatnonzero(often)
        cosine = cosines(vectors[used], vectors[used])
        np.fill_diagonal(cosine, -np.inf)
        own = [subjects[i] for i in used]
        places = np.array(ranks(cosine, own, own))
        paired = np.array([own.count(name) > 1 for name in own])
        for k in (1, 5):
            if k < len(set(own)):
                right = often[used] * paired * (places <= k)
                expected[f"rank{k}"] = right.sum() / (often[used] * paired).sum()
        assert found == pytest.approx(expected, abs=1e-6)

    def test_templates_stay_when_probes_are_weighted(self) -> None:
        vectors, subjects = people(5, 5, noise=1.0)
        made = task(templates="mean", enrol=2)
        accumulator = made.accumulator()
        for i, (vector, subject) in enumerate(zip(vectors.astype(np.float32), subjects, strict=True)):
            accumulator.update(made.decode({"vector": vector[None]}, WHOLE), subject, f"f{i:02}")
        probes = np.arange(25) % 5 >= 2
        assert accumulator.compute(probes.astype(np.float64)) == accumulator.compute()
        one = np.zeros(25)
        one[2] = 1
        assert accumulator.compute(one)["rank1"] in (0, 1)
        with pytest.raises(DataError, match="no genuine pair"):
            accumulator.compute((~probes).astype(np.float64))

    def test_a_part_with_too_few_pairs_for_a_far(self) -> None:
        vectors, subjects = people(6, 4)
        made = task(far=[0.1, 0.01])
        accumulator = made.accumulator()
        for i, (vector, subject) in enumerate(zip(vectors.astype(np.float32), subjects, strict=True)):
            accumulator.update(made.decode({"vector": vector[None]}, WHOLE), subject, f"f{i:02}")
        part = accumulator.compute((np.arange(24) < 8).astype(np.float64))  # 16 impostor pairs
        assert "tar@far=1e-1" in part
        assert "tar@far=1e-2" not in part

    def test_a_far_that_so_few_pairs_cannot_show(self) -> None:
        vectors, subjects = people(3, 4)  # 48 impostor pairs
        assert "tar@far=2.1e-2" in scored(vectors, subjects, far=[0.021])
        message = "a FAR of 0.02 needs at least 50 impostor pairs, and these frames give 48: add frames or subjects"
        with pytest.raises(DataError, match=message):
            scored(vectors, subjects, far=[0.1, 0.02])
        with pytest.raises(DataError, match=r"a FAR of 0\.0001 needs at least 10000 impostor pairs"):
            roc(vectors, subjects, far=[1e-4])

    def test_exactly_enough_pairs(self) -> None:
        vectors, subjects = people(2, 10)
        assert "tar@far=1e-2" in scored(vectors, subjects, far=[0.01])  # 100 pairs

    @pytest.mark.parametrize(
        ("subjects", "options", "message"),
        [
            ([], {}, "no embedding to score"),
            (["a", "a", "a"], {}, "all 3 frames show the subject 'a'; add frames of another subject"),
            (["a", "a", "b"], {}, "subject 'b': has 1 of the 2 frames that are needed; add frames, leave"),
            (["a", "a", "b", "c"], {}, r"subject 'b' \(and 1 more subjects\): has 1 of the 2"),
            (["a"] * 4 + ["b"] * 3, {"templates": "mean", "enrol": 3}, "'b': has 3 of the 4 .* lower task.enrol"),
        ],
    )
    def test_too_few_frames(self, subjects: list[str], options: dict[str, Any], message: str) -> None:
        vectors = np.random.default_rng(0).normal(0, 1, (len(subjects), 4))
        with pytest.raises(DataError, match=message):
            scored(vectors, subjects, **options)

    def test_too_many_pairs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_verification, "MOST_PAIRS", 65)
        vectors, subjects = people(3, 4)
        with pytest.raises(DataError, match="66 pairs to compare; at most 65: take fewer frames"):
            scored(vectors, subjects)
        assert scored(vectors, subjects, templates="mean", enrol=1, far=[0.5])

    @pytest.mark.parametrize("truth", [None, 3, "", ["a"], np.zeros(2)])
    def test_truth_that_cannot_belong(self, truth: Any) -> None:
        with pytest.raises(DataError, match=r"sample 'f7': truth is .*; expected a text that names the subject"):
            task().accumulator().update(Embedding(np.ones(4, np.float32)), truth, "f7")

    @pytest.mark.parametrize(
        ("vector", "message"),
        [
            (np.zeros(4), "'f7': the vector has no direction"),
            (np.full(4, np.nan), "no direction"),
            (np.ones(5), "'f7': a vector of 5 values after vectors of 4"),
        ],
    )
    def test_vectors_that_cannot_be_compared(self, vector: Array, message: str) -> None:
        accumulator = task().accumulator()
        accumulator.update(Embedding(np.ones(4, np.float32)), "a", "f6")
        with pytest.raises(TensorError, match=message):
            accumulator.update(Embedding(vector.astype(np.float32)), "a", "f7")
        assert len(accumulator.frames) == 1


class TestDraw:
    image = np.full((80, 400, 3), 100, np.uint8)

    def test_cells_below_the_image(self) -> None:
        picture = task().draw(self.image, Embedding(np.array([1, 0, -1, 0.5], np.float32)))
        assert picture.shape == (80 + 10 + 20, 400, 3)
        np.testing.assert_array_equal(picture[:80], self.image)
        orange, white, blue, pale = (picture[85, x].astype(int) for x in (50, 150, 250, 350))
        assert orange[0] > orange[2] + 100
        assert (white == 245).all()
        assert blue[2] > blue[0] + 100
        assert orange[2] < pale[2] < white[2]

    def test_truth_is_named(self) -> None:
        shown = Embedding(np.ones(512, np.float32))
        one, other = (task().draw(self.image, shown, name) for name in ("subject-1", "subject-2"))
        assert one.shape == (80 + 10 + 40, 400, 3)
        assert not np.array_equal(one, other)
        with pytest.raises(DataError, match="truth is int"):
            task().draw(self.image, shown, 3)

    def test_painted_on_the_image(self) -> None:
        painted = task().paint(self.image, Embedding(np.array([1, -1], np.float32)))
        assert painted.shape == self.image.shape
        assert (painted[:70] == 100).all()
        assert (painted[70:] != 100).any(axis=2).all()
        assert (task().paint(self.image, "a subject")[:20] != 100).any()
        assert (self.image == 100).all()
