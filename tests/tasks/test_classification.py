from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from sklearn.metrics import balanced_accuracy_score
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_calibration_error,
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
)

from edgekit.core.errors import DataError, SpecError, TensorError
from edgekit.core.predictions import ClassScores
from edgekit.core.spec import TaskSection
from edgekit.core.tensors import Array, TensorSpec
from edgekit.preprocess import place
from edgekit.tasks.classification import Classification, Config, rank
from edgekit.tasks.segmentation import Config as Segmentation

CLASSES = ("awake", "drowsy", "absent")
WHOLE = place((24, 40), (24, 40), "stretch")


def task(classes: tuple[str, ...] = CLASSES, **options: Any) -> Classification:
    return Config(output="logits", classes=classes, **options).create()


def names(count: int) -> tuple[str, ...]:
    return tuple(f"c{i}" for i in range(count))


def scored(scores: Array, truths: list[int], **options: Any) -> dict[str, float]:
    """The metrics of frames with the probabilities ``(N, C)``."""
    accumulator = task(names(scores.shape[1]), **options).accumulator()
    for i, (row, truth) in enumerate(zip(scores, truths, strict=True)):
        accumulator.update(ClassScores(row), truth, f"frame-{i}")
    return accumulator.compute()


def decoded(values: list[float], **options: Any) -> list[float]:
    outputs = {"logits": np.array([values], np.float32)}
    found: list[float] = task(**options).decode(outputs, WHOLE).probabilities.tolist()
    return found


class TestConfig:
    def test_imagenet_has_more_classes_than_a_mask(self, tmp_path: Path) -> None:
        (tmp_path / "classes.json").write_text(json.dumps(names(1000)))
        section = {"kind": "classification", "output": "logits", "classes": "classes.json"}
        config = TypeAdapter(TaskSection).validate_python(section, context={"base": tmp_path})
        assert config.classes == names(1000)
        assert config.create().metrics[1].name == "top5"
        with pytest.raises(ValidationError, match="expected 2 to 4096 class names, found 4097"):
            Config(output="logits", classes=names(4097))
        Segmentation(output="logits", classes=names(256))
        with pytest.raises(ValidationError, match="expected 2 to 256 class names, found 257"):
            Segmentation(output="logits", classes=names(257))

    @pytest.mark.parametrize(("count", "top_k", "expected"), [(2, None, 1), (3, None, 2), (9, None, 5), (9, 8, 8)])
    def test_top_k_leaves_a_class_to_miss(self, count: int, top_k: int | None, expected: int) -> None:
        made = task(names(count), top_k=top_k)
        assert made.top_k == expected
        assert [m.name for m in made.metrics if m.name.startswith("top")] == list(
            dict.fromkeys(("top1", f"top{expected}"))
        )

    def test_bad_options(self) -> None:
        with pytest.raises(SpecError, match=r"task\.top_k: the true class is always among 3 of 3 .* expected 1 to 2"):
            task(top_k=3)
        with pytest.raises(SpecError, match=r"task\.activation: sigmoid tells 2 classes apart, found 3; use softmax"):
            task(activation="sigmoid")
        for bad in ({"top_k": 0}, {"activation": "relu"}, {"classes": ["a"]}):
            with pytest.raises(ValidationError, match=next(iter(bad))):
                Config.model_validate({"output": "logits", "classes": ["a", "b"], **bad})

    def test_directions(self) -> None:
        assert [m.name for m in task().metrics if not m.higher] == ["ece"]


class TestCheckOutputs:
    def test_fitting(self) -> None:
        for shape in ((1, 3), (None, None)):
            task().check_outputs([TensorSpec("other", (1,)), TensorSpec("logits", shape)])
        task(("no", "yes"), activation="sigmoid").check_outputs([TensorSpec("logits", (1, 1))])

    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            (TensorSpec("logit", (1, 3)), "no output 'logits'; did you mean 'logit'"),
            (TensorSpec("logits", (1, 3, 1, 1)), r"4 dimensions instead of 2: flatten it in the model"),
            (
                TensorSpec("logits", (1, 4)),
                r"expected float32\[1, 3\], a score a class; .* with 4 values: correct task",
            ),
            (TensorSpec("logits", (2, 3)), "a batch of 2"),
            (TensorSpec("logits", (1, 3), "float16"), "cast the output to float32"),
        ],
    )
    def test_misfits(self, spec: TensorSpec, message: str) -> None:
        with pytest.raises(SpecError, match=message):
            task().check_outputs([spec])

    def test_two_scores_for_a_sigmoid(self) -> None:
        with pytest.raises(SpecError, match=r"with 2 values: set task\.activation to softmax"):
            task(("no", "yes"), activation="sigmoid").check_outputs([TensorSpec("logits", (1, 2))])


class TestDecode:
    @given(st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=3, max_size=3))
    def test_softmax_equals_torch(self, values: list[float]) -> None:
        expected = torch.softmax(torch.tensor(values, dtype=torch.float64), 0)
        assert decoded(values) == pytest.approx(expected.tolist(), abs=1e-7)

    def test_sigmoid(self) -> None:
        pair = ("no", "yes")
        for value in (-1e30, -100.0, -1.5, 0.0, 0.25, 100.0, 1e30):
            expected = float(torch.sigmoid(torch.tensor(value, dtype=torch.float64)))
            assert decoded([value], classes=pair, activation="sigmoid") == pytest.approx([1 - expected, expected])

    def test_probabilities_that_quantization_rounded(self) -> None:
        assert decoded([0.5, 0.25, 0.25], activation="none") == [0.5, 0.25, 0.25]
        assert decoded([1.0005, 0.0, -0.0005], activation="none") == [1.0, 0.0, 0.0]
        assert decoded([0.4, 0.4, 0.0], activation="none") == pytest.approx([0.5, 0.5, 0.0])

    @pytest.mark.parametrize("values", [[3.0, -1.0, 0.5], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.7, 0.4, -0.1]])
    def test_logits_are_no_probabilities(self, values: list[float]) -> None:
        with pytest.raises(TensorError, match=r"'logits' holds no probabilities: .* set task\.activation to softmax"):
            decoded(values, activation="none")

    @pytest.mark.parametrize(
        ("outputs", "message"),
        [
            ({"logit": np.zeros((1, 3))}, "no output 'logits'; did you mean 'logit'"),
            ({"logits": np.zeros((1, 4), np.float32)}, r"has shape \[1, 4\]; expected \[1, 3\]"),
            ({"logits": np.zeros((2, 3), np.float32)}, r"has shape \[2, 3\]"),
            ({"logits": np.zeros((1, 3))}, "is float64; expected float32"),
            ({"logits": np.array([[0, np.nan, 1]], np.float32)}, "holds NaN or infinity; .* edgekit verify"),
            ({"logits": np.array([[0, np.inf, 1]], np.float32)}, "holds NaN or infinity"),
        ],
    )
    def test_bad_outputs(self, outputs: dict[str, Array], message: str) -> None:
        with pytest.raises(TensorError, match=message):
            task().decode(outputs, WHOLE)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Array, list[int]]:
    """Probabilities ``(N, C)`` and truths: with ties, one class only, classes that are absent."""
    count, frames = draw(st.integers(2, 9)), draw(st.integers(1, 24))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    present = rng.permutation(count)[: draw(st.integers(1, count))]
    truths = rng.choice(present, frames)
    logits = rng.normal(0, draw(st.sampled_from([0.5, 2, 20])), (frames, count))
    logits[np.arange(frames), truths] += draw(st.sampled_from([0, 2]))
    if draw(st.booleans()):
        logits = logits.round()  # ties
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return scores, truths.tolist()


class TestMetrics:
    @settings(deadline=None, max_examples=1000)
    @given(cases())
    def test_equals_torchmetrics(self, case: tuple[Array, list[int]]) -> None:
        scores, truths = case
        count = scores.shape[1]
        made = scored(scores, truths)
        given_scores, target = torch.from_numpy(scores), torch.tensor(truths)
        options: dict[str, Any] = {"num_classes": count, "validate_args": False}
        k = min(5, count - 1)
        # Which of equal scores is among the top k is left open by torch.topk: here, the lowest ids are.
        untied = torch.from_numpy(np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1) * -1.0)
        best = given_scores.argmax(dim=1)
        expected = {
            "top1": multiclass_accuracy(given_scores, target, average="micro", **options),
            f"top{k}": multiclass_accuracy(untied, target, average="micro", top_k=k, **options),
            "macro_f1": multiclass_f1_score(best, target, average="macro", **options),
        }
        assert {name: made[name] for name in expected} == pytest.approx(
            {name: float(value) for name, value in expected.items()}, abs=1e-6
        )
        for what, peer in (("recall", multiclass_recall), ("precision", multiclass_precision)):
            for i, value in enumerate(peer(best, target, average="none", **options).tolist()):
                assert made.get(f"{what}/c{i}", 0.0) == pytest.approx(value, abs=1e-6)
        if set(best.tolist()) <= set(truths):  # it takes a class that is only predicted for one without hits
            macro = multiclass_accuracy(best, target, average="macro", **options)
            assert made["balanced_accuracy"] == pytest.approx(float(macro), abs=1e-6)

    @settings(deadline=None, max_examples=1000)
    @given(cases())
    def test_calibration_error_equals_torchmetrics(self, case: tuple[Array, list[int]]) -> None:
        scores, truths = case
        # torch's borders are off by one unit in the last place: keep away from them, but not from 1.
        near = np.abs(scores.max(axis=1) * 15 - (scores.max(axis=1) * 15).round()) < 1e-4
        scores[near & (scores.max(axis=1) < 1)] *= np.float32(0.99)
        made = scored(scores, truths)["ece"]
        expected = multiclass_calibration_error(
            torch.from_numpy(scores), torch.tensor(truths), num_classes=scores.shape[1], n_bins=15
        )
        assert made == pytest.approx(float(expected), abs=1e-6)

    @pytest.mark.filterwarnings("ignore:(y_pred contains classes|A single label):UserWarning")
    @settings(deadline=None, max_examples=300)
    @given(cases())
    def test_balanced_accuracy_equals_scikit_learn(self, case: tuple[Array, list[int]]) -> None:
        scores, truths = case
        expected = balanced_accuracy_score(truths, scores.argmax(axis=1))
        assert scored(scores, truths)["balanced_accuracy"] == pytest.approx(expected, abs=1e-12)

    def test_by_hand(self) -> None:
        scores = np.array([[0.8, 0.2, 0], [0.6, 0.4, 0], [0.3, 0.7, 0], [0.5, 0.5, 0]], np.float32)
        made = scored(scores, [0, 1, 1, 2])
        assert made == pytest.approx(
            {
                "top1": 0.5,
                "top2": 0.75,
                "balanced_accuracy": 0.5,
                "macro_f1": (2 / 4 + 2 / 3 + 0) / 3,
                # bins: 0.8 right, 0.6 wrong, 0.7 right, 0.5 wrong
                "ece": (0.2 + 0.6 + 0.3 + 0.5) / 4,
                "recall/c0": 1.0,
                "recall/c1": 0.5,
                "recall/c2": 0.0,
                "precision/c0": 1 / 3,
                "precision/c1": 1.0,
            }
        )

    def test_gaps_of_one_bin_cancel_and_certainty_has_its_own(self) -> None:
        low, high = np.float32(0.95), np.float32(0.99)
        pair = [[low, 1 - low], [high, 1 - high]]
        assert scored(np.array(pair, np.float32), [0, 1])["ece"] == pytest.approx(abs(1 - 0.95 - 0.99) / 2)
        sure = np.array([pair[0], [1, 0]], np.float32)
        assert scored(sure, [0, 1])["ece"] == pytest.approx((0.05 + 1) / 2)

    @given(st.lists(st.integers(0, 3), min_size=2, max_size=6), st.data())
    def test_the_lowest_id_wins_a_tie(self, values: list[int], data: st.DataObject) -> None:
        scores, label = np.array(values, np.float32), data.draw(st.integers(0, len(values) - 1))
        order = sorted(range(len(values)), key=lambda i: (-values[i], i))
        assert rank(scores, label) == order.index(label) + 1
        assert (rank(scores, label) == 1) == (scores.argmax() == label)

    @pytest.mark.parametrize(
        ("truth", "message"),
        [
            (None, r"sample 'f7': truth is NoneType; expected a class id 0\.\.2: evaluate on"),
            ("awake", "sample 'f7': truth is 'awake'; expected a class id"),
            (True, "truth is bool"),
            (1.0, "truth is float"),
            (3, r"sample 'f7': truth is the class id 3; allowed: 0\.\.2; correct the dataset or task\.classes"),
            (-1, "truth is the class id -1"),
        ],
    )
    def test_truth_that_cannot_belong(self, truth: Any, message: str) -> None:
        accumulator = task().accumulator()
        with pytest.raises(DataError, match=message):
            accumulator.update(ClassScores(np.ones(3, np.float32) / 3), truth, "f7")
        assert len(accumulator) == 0

    def test_ids_of_numpy(self) -> None:
        accumulator = task().accumulator()
        accumulator.update(ClassScores(np.eye(3, dtype=np.float32)[1]), np.int64(1), "f")
        found = accumulator.compute()
        assert found["recall/drowsy"] == found["precision/drowsy"] == found["top1"] == 1

    def test_predictions_that_cannot_be_scored(self) -> None:
        for probabilities, message in (
            (np.ones(2), "'f7': 2 probabilities for 3 classes"),
            (np.full(3, np.nan), "NaN"),
        ):
            with pytest.raises(TensorError, match=message):
                task().accumulator().update(ClassScores(probabilities.astype(np.float32)), 0, "f7")

    def test_nothing_to_score(self) -> None:
        with pytest.raises(DataError, match="no frame to score"):
            task().accumulator().compute()


class TestSequences:
    def test_flicker(self) -> None:
        one, other = (ClassScores(np.eye(3, dtype=np.float32)[i]) for i in (0, 1))
        assert task().flicker((one, 2), (other, 2)) == {"flicker": 1.0, "flicker_excess": 1.0}
        assert task().flicker((one, 2), (one, 2)) == {"flicker": 0.0, "flicker_excess": 0.0}
        assert task().flicker((one, 0), (other, 1)) == {"flicker": 1.0}


class TestDraw:
    image = np.full((60, 400, 3), 100, np.uint8)
    scores = ClassScores(np.array([0.75, 0.25, 0], np.float32))

    def test_bars_are_as_long_as_probabilities(self) -> None:
        picture = task().draw(self.image, self.scores)
        assert picture.shape == (100, 400, 3)
        np.testing.assert_array_equal(picture[:60], self.image)
        for line, share in ((picture[60:80], 300), (picture[80:], 100)):
            lit = (line[3] != line[3, -1]).any(axis=1)  # a row above the letters
            assert lit.sum() == share
            assert lit[:share].all()
            assert line.max() > 200  # and text over it

    def test_truth_is_named_and_colours_the_best(self) -> None:
        pictures = [task().draw(self.image, self.scores, truth) for truth in (0, 1)]
        assert {picture.shape for picture in pictures} == {(120, 400, 3)}
        right, wrong = (picture[62, 100].astype(int) for picture in pictures)
        assert right[2] > right[0] + 100  # blue
        assert wrong[0] > wrong[2] + 100  # orange
        assert not np.array_equal(pictures[0][100:], pictures[1][100:])
        with pytest.raises(DataError, match="truth is the class id 3"):
            task().draw(self.image, self.scores, 3)

    def test_small_pictures_grow_to_their_text(self) -> None:
        picture = task(("a rather long name of a class", "b")).draw(self.image[:, :30], self.scores)
        assert picture.shape[1] > 150
        np.testing.assert_array_equal(picture[:60, :30], self.image[:, :30])

    def test_a_tag_on_the_picture(self) -> None:
        for shown in (self.scores, 2):
            painted = task().paint(self.image, shown)
            assert painted.shape == self.image.shape
            assert (painted[:20, :40] != 100).any()
            assert (painted[20:] == 100).all()
        assert (self.image == 100).all()
