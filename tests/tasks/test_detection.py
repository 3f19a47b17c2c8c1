"""The plugin: decoding of outputs back to the image, metrics, drawing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.core.errors import DataError, TensorError
from edgekit.core.predictions import Geometry
from edgekit.core.tensors import Array
from edgekit.preprocess import place
from edgekit.tasks.detection import Detection
from edgekit.tasks.detection.families import FAMILIES
from tests.support.detectors import ANCHORS, CLASSES, task


def whole(height: int, width: int) -> Geometry:
    return place((height, width), (height, width), "stretch")


def final(rows: Any, **options: Any) -> tuple[Detection, dict[str, Array]]:
    """A model that gives rows ``x1 y1 x2 y2 score label``: for what happens after the head."""
    return task(family="end2end", **options), {"out": np.array(rows, np.float32).reshape(1, -1, 6)}


class TestGeometry:
    @settings(deadline=None, max_examples=150)
    @given(
        st.tuples(st.integers(20, 2000), st.integers(20, 2000)),
        st.tuples(st.integers(1, 40), st.integers(1, 40)),
        st.sampled_from(["letterbox", "letterbox-topleft", "stretch"]),
        st.integers(0, 2**32 - 1),
    )
    def test_round_trip(self, original: tuple[int, int], cells: tuple[int, int], mode: str, seed: int) -> None:
        """The preprocessing maps pixel edges linearly; back, nothing is off by half a pixel."""
        geometry = place(original, (cells[0] * 32, cells[1] * 32), mode)
        top, left, rows, columns = geometry.content
        (height, width), rng = original, np.random.default_rng(seed)
        low = rng.uniform(0, 0.9, (5, 2))
        boxes = np.concatenate([low, rng.uniform(low + 0.05, 1)], axis=1) * [width, height, width, height]
        tensor = boxes * np.tile([columns / width, rows / height], 2) + [left, top, left, top]
        listed = np.column_stack([tensor, np.linspace(0.9, 0.5, 5), np.zeros(5)])
        made, outputs = final(listed)
        found = made.decode(outputs, geometry)
        assert np.abs(found.boxes - boxes).max() < 0.01

    def test_an_image_with_one_bright_box(self) -> None:
        """Through the real preprocessing: the bright pixels of the input give the box back."""
        from edgekit.inputs.image import Config
        from edgekit.preprocess import Preprocess

        image = np.zeros((90, 160, 3), np.uint8)
        image[30:60, 40:100] = 255
        transform = Config(resize=(320, 320), mode="letterbox", pad_value=0)
        prepared = Preprocess({"x": transform})({"image": image})
        y, x = np.nonzero(prepared.feeds["x"][0, 0] > 127)
        made, outputs = final([[x.min(), y.min(), x.max() + 1, y.max() + 1, 0.9, 1]])
        found = made.decode(outputs, prepared.geometry)
        assert np.abs(found.boxes - [40, 30, 100, 60]).max() <= 0.5

    def test_boxes_are_cut_at_the_image(self) -> None:
        made, outputs = final([[-5, 2, 8, 9, 0.9, 0], [4, 4, 50, 9, 0.8, 1], [0, 0, 20, 10, 0.7, 2]], clip=True)
        found = made.decode(outputs, whole(10, 20))
        assert found.boxes.tolist() == [[0, 2, 8, 9], [4, 4, 20, 9], [0, 0, 20, 10]]

    def test_boxes_in_the_letterbox_border_are_dropped(self) -> None:
        made, outputs = final([[0, 0, 64, 15, 0.9, 0], [0, 10, 64, 20, 0.8, 0]], clip=True)
        found = made.decode(outputs, place((50, 100), (64, 64), "letterbox"))  # the image is in rows 16..48
        assert found.boxes.tolist() == [[0, 0, 100, 6.25]]

    @pytest.mark.parametrize("box", [[5, 5, 5, 9], [9, 2, 5, 8], [5, 9, 8, 2], [30, 2, 40, 8], [-9, 2, -1, 8]])
    def test_boxes_with_nothing_inside_are_dropped(self, box: list[float]) -> None:
        made, outputs = final([[*box, 0.9, 0], [1, 1, 3, 3, 0.5, 1]], nms={"mode": "class-agnostic"}, clip=True)
        assert made.decode(outputs, whole(10, 20)).labels.tolist() == [1]

    def test_infinite_boxes_are_cut_too(self) -> None:
        head = np.zeros((1, 2, 8), np.float32)
        head[0, 0] = [0.5, 0.5, 500, 500, 1, 1, 0, 0]  # exp overflows
        found = task(family="yolox", strides=[8], clip=True).decode({"out": head}, whole(8, 16))
        assert found.boxes.tolist() == [[0, 0, 16, 8]]

    def test_boxes_are_left_as_they_are(self) -> None:
        """As the evaluators of YOLOX and DETR do; only what has no size is dropped."""
        rows = [[-5, 2, 8, 9, 0.9, 0], [30, 2, 40, 8, 0.8, 1], [5, 5, 5, 9, 0.7, 1], [9, 2, 5, 8, 0.6, 1]]
        made, outputs = final(rows, clip=False)
        found = made.decode(outputs, whole(10, 20))
        assert found.boxes.tolist() == [[-5, 2, 8, 9], [30, 2, 40, 8]]
        image = np.zeros((10, 20, 3), np.uint8)
        assert made.draw(image, found).any()
        with pytest.raises(DataError, match="the boxes are of an image of 20x10; this one is 40x20"):
            made.paint(np.zeros((20, 40, 3), np.uint8), found)

    def test_the_border_of_each_family(self) -> None:
        """What the code does that their published figures come from: docs/tasks.md names it."""
        cut = {"yolov8", "yolov8-decoded", "yolov5", "yolov5-decoded", "yolov3", "fcos", "ssd"}
        assert {name for name, family in FAMILIES.items() if family.clip} == cut
        page = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")
        rows = dict(re.findall(r"^\| (`.*?`) \| .* \| (yes|no)[^|]* \|$", page, flags=re.MULTILINE))
        documented = {name: answer == "yes" for names, answer in rows.items() for name in re.findall(r"`(.*?)`", names)}
        assert documented == {name: family.clip for name, family in FAMILIES.items()}


def yolox_head(size: tuple[int, int] = (16, 24)) -> Array:
    return np.zeros((1, (size[0] // 8) * (size[1] // 8), 8), np.float32)


class TestDecode:
    def test_yolox_by_hand(self) -> None:
        head = yolox_head()
        head[0, 4] = [0.25, 0.75, np.log(2), 0, 0.8, 0.1, 0.5, 0.2]  # second row, second column
        found = task(family="yolox", strides=[8]).decode({"out": head}, whole(16, 24))
        assert found.boxes == pytest.approx(np.array([[2, 10, 18, 18]]))  # centre (10, 14), size (16, 8)
        assert found.scores == pytest.approx([0.4])
        assert found.labels.tolist() == [1]

    def test_fastestdet_by_hand(self) -> None:
        """One map: objectness, box and classes; the cell's corner plus tanh, sigmoid of the input's size."""
        maps = np.zeros((1, 1 + 4 + 3, 2, 3), np.float32)
        maps[0, :, 1, 2] = [0.5, np.arctanh(0.25), np.arctanh(-0.5), 0, np.log(1 / 3), 0.1, 0.7, 0.2]
        made = task(family="fastestdet", score_threshold=0.1)
        found = made.decode({"out": maps}, whole(32, 48))
        # centre ((2 + 0.25) * 16, (1 - 0.5) * 16), size (48 / 2, 32 / 4)
        assert found.boxes == pytest.approx(np.array([[24, 4, 48, 12]]), abs=1e-4)
        assert found.scores == pytest.approx([0.5**0.6 * 0.7**0.4])
        assert found.labels.tolist() == [1]

    def test_yolov3_by_hand(self) -> None:
        maps = np.full((1, 2 * 8, 2, 2), -20, np.float32)
        maps[0, 8:, 1, 0] = [0, np.log(3), np.log(2), 0, 20, 20, -20, -20]
        made = task(family="yolov3", strides=[16], anchors=[[[8, 8], [10, 20]]])
        found = made.decode({"out": maps}, whole(32, 32))
        assert found.boxes == pytest.approx(np.array([[0, 18, 18, 32]]), abs=1e-4)  # centre (8, 28), size (20, 20), cut

    @pytest.mark.parametrize("powers", [(1, 1), (0.5, 0.5), (0.6, 0.4), (2, 1), (0, 1), (1, 0)])
    def test_powers_of_the_scores(self, powers: tuple[float, float]) -> None:
        """No candidate is lost on the way, whatever the powers."""
        rng = np.random.default_rng(4)
        head = np.zeros((1, 6, 8), np.float32)
        head[0, :, 4:] = rng.uniform(0.01, 1, (6, 4))
        head[0, :, 2:4] = -1
        made = task(family="yolox", strides=[8], score_powers=powers, score_threshold=0.05, nms={"mode": "none"})
        found = made.decode({"out": head}, whole(16, 24))
        expected = head[0, :, 4] ** powers[0] * head[0, :, 5:].max(axis=1) ** powers[1]
        assert found.scores == pytest.approx(np.sort(expected[expected >= 0.05])[::-1], rel=1e-5)

    def test_powers_of_probabilities_below_zero(self) -> None:
        head = np.zeros((1, 6, 8), np.float32)
        head[0, :, 4:] = [-0.005, 0.9, -0.004, 0.2]  # a quantization step
        made = task(family="yolox", strides=[8], score_powers=[0.6, 0.4])
        assert len(made.decode({"out": head}, whole(16, 24))) == 0

    def test_probabilities_with_a_background(self) -> None:
        """An SSD that applies its softmax itself."""
        scores = np.array([[[0.9, 0.1, 0, 0], [0.2, 0.1, 0.6, 0.1]]], np.float32)
        made = task(
            family="ssd", box_coding="xyxy", unit="normalised", score_coding="probability", multi_label=False,
            output={"boxes": "b", "scores": "s"}, score_threshold=0.3,
        )  # fmt: skip
        found = made.decode({"b": np.float32([[[0, 0, 1, 1], [0, 0, 0.5, 1]]]), "s": scores}, whole(20, 40))
        assert found.boxes.tolist() == [[0, 0, 20, 20]]
        assert (found.labels.tolist(), found.scores.tolist()) == ([1], [pytest.approx(0.6)])

    def test_yolov8_by_hand(self) -> None:
        head = np.full((1, 4 * 16 + 3, 6), -20.0, np.float32)
        for side, steps in enumerate((0, 0, 1, 1)):
            head[0, 16 * side + steps, 4] = 20
        head[0, 64 + 2, 4] = 0
        found = task(family="yolov8", strides=[8]).decode({"out": head}, whole(16, 24))
        assert found.boxes == pytest.approx(np.array([[12, 12, 20, 16]]), abs=1e-3)
        assert found.scores == pytest.approx([0.5])
        assert found.labels.tolist() == [2]

    @pytest.mark.parametrize("dimensions", [4, 5])
    def test_yolov5_maps_by_hand(self, dimensions: int) -> None:
        first = np.full((1, 2, 8, 4, 4), -20.0, np.float32)  # anchors, values, rows, columns
        second = np.full((1, 2, 8, 2, 2), -20.0, np.float32)
        second[0, 1, :, 1, 0] = [0, 0, 0, 0, 20, 20, -20, -20]
        maps = [
            m.reshape(1, 16, *m.shape[3:]) if dimensions == 4 else m.transpose(0, 1, 3, 4, 2) for m in (first, second)
        ]
        made = task(family="yolov5", output=["a", "b"], strides=[8, 16], anchors=ANCHORS)
        found = made.decode({"a": maps[0], "b": maps[1]}, whole(32, 32))
        assert found.boxes == pytest.approx(np.array([[0, 1.5, 32, 32]]))  # centre (8, 24), size (62, 45), cut
        assert found.labels.tolist() == [0]

    def test_ssd_by_hand(self) -> None:
        boxes = np.zeros((1, 2, 4), np.float32)
        boxes[0, 1] = [1, 0, 0, 0]  # a tenth of an anchor to the right
        scores = np.array([[[9, 0, 0, 0], [0, 0, np.log(6), 0]]], np.float32)  # background first
        made = task(
            family="ssd", output={"boxes": "b", "scores": "s"}, priors=[[0.5, 0.5, 1, 1], [0.25, 0.5, 0.5, 0.5]],
            score_threshold=0.2,
        )  # fmt: skip
        found = made.decode({"b": boxes, "s": scores}, whole(20, 40))
        assert found.boxes == pytest.approx(np.array([[2, 5, 22, 15]]))
        assert found.scores == pytest.approx([6 / 9])
        assert found.labels.tolist() == [1]

    def test_detr_by_hand(self) -> None:
        boxes = np.array([[[0.5, 0.5, 0.5, 1], [0.5, 0.5, 0.1, 0.1]]], np.float32)
        scores = np.array([[[0, 0, 4, 0], [0, 0, 0, 9]]], np.float32)  # no object: the last column
        made = task(family="detr", output={"boxes": "b", "scores": "s"}, score_threshold=0.1)
        found = made.decode({"b": boxes, "s": scores}, whole(20, 40))
        assert found.boxes.tolist() == [[10, 0, 30, 20]]
        assert found.labels.tolist() == [2]

    def test_lists_of_objects(self) -> None:
        names = {"boxes": "b", "scores": "s", "labels": "l", "count": "n"}
        outputs = {
            "b": np.array([[[1, 1, 5, 5], [2, 2, 6, 6], [0, 0, 4, 4], [3, 3, 9, 9]]], np.float32),
            "s": np.array([[0.9, 0.8, 0.7, 0.6]], np.float32),
            "l": np.array([[0, -1, 2, 1]], np.int32),
            "n": np.array([[3]], np.int32),
        }
        made = task(family="end2end", output=names)
        found = made.decode(outputs, whole(10, 10))
        assert found.labels.tolist() == [0, 2]  # the second is padding, the fourth after the end
        counted_from_one = task(family="end2end", output=names, background="first")
        outputs["l"] = np.array([[1, 3, 0, 2]], np.int32)
        assert counted_from_one.decode(outputs, whole(10, 10)).labels.tolist() == [0, 2]
        outputs["n"][:] = 9
        with pytest.raises(TensorError, match="output 'n' counts 9 objects; expected 0 to 4"):
            made.decode(outputs, whole(10, 10))

    def test_padding_without_score_is_dropped_at_any_threshold(self) -> None:
        made, outputs = final([[1, 1, 5, 5, 0.2, 1], [0, 0, 9, 9, 0, 0]], score_threshold=0)
        assert made.decode(outputs, whole(10, 10)).labels.tolist() == [1]

    def test_a_box_of_several_classes(self) -> None:
        head = yolox_head()
        head[0, 0, 4:] = [1, 0.5, 0.9, 0.001]
        one = task(family="yolox", strides=[8]).decode({"out": head}, whole(16, 24))
        several = task(family="yolox", strides=[8], multi_label=True).decode({"out": head}, whole(16, 24))
        assert one.labels.tolist() == [1]
        assert several.labels.tolist() == [1, 0]

    @settings(deadline=None, max_examples=60)
    @given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.01, 0.3]), st.booleans(), st.booleans())
    def test_nothing_above_the_threshold_is_lost(self, seed: int, least: float, several: bool, logits: bool) -> None:
        """The shortcuts on the way give what all candidates give."""
        rng = np.random.default_rng(seed)
        head = np.zeros((1, 12, 8), np.float32)
        head[..., :4] = rng.normal(0, 0.1, (12, 4))
        raw = rng.normal(-2, 3, (12, 4)).astype(np.float32)
        share = (1 / (1 + np.exp(-raw))).astype(np.float32)
        head[0, :, 4:] = raw if logits else share
        made = task(
            family="yolox", strides=[8], multi_label=several, score_threshold=least, nms={"mode": "none"},
            score_coding="sigmoid" if logits else "probability",
        )  # fmt: skip
        found = made.decode({"out": head}, whole(24, 32))
        product = share[:, :1] * share[:, 1:]
        expected = product.ravel() if several else product.max(axis=1)
        assert found.scores == pytest.approx(-np.sort(-expected[expected >= least]), rel=1e-5)

    @settings(deadline=None, max_examples=60)
    @given(st.integers(0, 2**32 - 1), st.sampled_from(["first", "last", "none"]), st.booleans())
    def test_nothing_of_a_softmax_is_lost(self, seed: int, background: str, several: bool) -> None:
        rng = np.random.default_rng(seed)
        logits = rng.normal(0, 2, (1, 20, 3 + (background != "none"))).astype(np.float32)
        boxes = np.tile(np.array([0.5, 0.5, 0.2, 0.2], np.float32), (1, 20, 1))
        made = task(
            family="detr", output={"boxes": "b", "scores": "s"}, background=background, multi_label=several,
            score_threshold=0.3,
        )  # fmt: skip
        found = made.decode({"b": boxes, "s": logits}, whole(20, 20))
        powers = np.exp(logits[0])
        share = powers / powers.sum(axis=1, keepdims=True)
        share = {"first": share[:, 1:], "last": share[:, :-1], "none": share}[background]
        expected = share.ravel() if several else share.max(axis=1)
        assert found.scores == pytest.approx(-np.sort(-expected[expected >= 0.3]), rel=1e-5)

    def test_a_hundred_thousand_candidates(self) -> None:
        rng = np.random.default_rng(0)
        corners = rng.uniform(0, 900, (100_000, 2))
        rows = np.column_stack(
            [corners, corners + rng.uniform(5, 100, corners.shape), rng.random(100_000), rng.integers(0, 3, 100_000)]
        )
        made, outputs = final(rows, nms={"mode": "class-aware", "iou": 0.5}, candidates=500, max_detections=20)
        found = made.decode(outputs, whole(1000, 1000))
        assert len(found) == 20
        assert found.scores[0] == np.float32(rows[:, 4].max())

    def test_the_surest_candidates_and_equal_ones_in_order(self) -> None:
        rows = [[i, 0, i + 1, 1, 0.5, 0] for i in range(5)] + [[9, 0, 10, 1, 0.9, 0]]
        made, outputs = final(rows, candidates=3)
        assert made.decode(outputs, whole(20, 20)).boxes[:, 0].tolist() == [9, 0, 1]

    @pytest.mark.parametrize("family", ["yolox", "yolox-decoded", "yolov8-decoded"])
    def test_no_object(self, family: str) -> None:
        shape = (1, 7, 6) if family == "yolov8-decoded" else (1, 6, 8)
        found = task(family=family, **({"strides": [8]} if family == "yolox" else {})).decode(
            {"out": np.zeros(shape, np.float32)}, whole(16, 24)
        )
        assert len(found) == 0
        assert found.boxes.shape == (0, 4)

    @pytest.mark.parametrize(
        ("head", "message"),
        [
            (
                np.zeros((1, 5, 8), np.float32),
                r"output 'out' has 5 candidates, but strides \[8\] on an input of 16x24 make 6",
            ),
            (np.zeros((1, 6, 9), np.float32), r"output 'out' has shape \[1, 6, 9\]; expected \[1, N, 8\]"),
            (np.zeros((1, 6, 8), np.float64), "output 'out' is float64; expected float32"),
            (
                np.full((1, 6, 8), 7.5, np.float32),
                "reach from 7.5 to 7.5; expected probabilities, 0..1: set task.score_cod",
            ),
            (np.full((1, 6, 8), -3, np.float32), "scores reach from -3 to -3"),
        ],
    )
    def test_wrong_heads(self, head: Array, message: str) -> None:
        with pytest.raises(TensorError, match=message):
            task(family="yolox", strides=[8]).decode({"out": head}, whole(16, 24))

    @pytest.mark.parametrize("column", range(8))
    def test_nan(self, column: int) -> None:
        head = yolox_head()
        head[0, 3, column] = np.nan
        with pytest.raises(TensorError, match="output 'out' holds NaN"):
            task(family="yolox", strides=[8]).decode({"out": head}, whole(16, 24))

    def test_infinity_that_makes_no_box(self) -> None:
        made, outputs = final([[np.inf, 1, np.inf, 9, 0.9, 0]])
        assert len(made.decode(outputs, whole(10, 10))) == 0
        head = yolox_head()
        head[0, 0] = [np.inf, 0, 500, 0, 1, 1, 0, 0]
        with pytest.raises(TensorError, match="a box is no number: infinity in the model's outputs"):
            task(family="yolox", strides=[8]).decode({"out": head}, whole(16, 24))

    def test_maps_in_another_order(self) -> None:
        made = task(family="yolov5", output=["a", "b"], strides=[8, 16], anchors=ANCHORS)
        first, second = np.zeros((1, 16, 4, 4), np.float32), np.zeros((1, 16, 2, 2), np.float32)
        with pytest.raises(TensorError, match=r"have grids \[\(2, 2\), \(4, 4\)\].*in the order of task\.strides"):
            made.decode({"a": second, "b": first}, whole(32, 32))

    def test_boxes_without_scores(self) -> None:
        made = task(family="detr", output={"boxes": "b", "scores": "s"})
        outputs = {"b": np.zeros((1, 3, 4), np.float32), "s": np.zeros((1, 2, 4), np.float32)}
        with pytest.raises(TensorError, match=r"outputs differ: 3 boxes, but 2 scores; correct task\.output"):
            made.decode(outputs, whole(8, 8))

    def test_boxes_without_objectness(self) -> None:
        made = task(family="yolox-decoded", output={"boxes": "b", "scores": "s", "objectness": "o"})
        outputs = {"b": np.zeros((1, 3, 4), np.float32), "s": np.ones((1, 3, len(CLASSES)), np.float32)}
        with pytest.raises(TensorError, match="outputs differ: 3 boxes, but 2 objectness scores; correct task"):
            made.decode(outputs | {"o": np.ones((1, 2, 1), np.float32)}, whole(8, 8))

    def test_an_object_of_an_unknown_class(self) -> None:
        made, outputs = final([[1, 1, 5, 5, 0.9, 3]])
        with pytest.raises(TensorError, match=r"an object of class 3; allowed: 0\.\.2: correct task\.classes"):
            made.decode(outputs, whole(10, 10))

    def test_the_size_of_the_input_may_change(self) -> None:
        made = task(family="yolox", strides=[8])
        for size in ((16, 24), (8, 8), (16, 24)):
            assert len(made.decode({"out": yolox_head(size)}, whole(*size))) == 0


class TestMetrics:
    def test_names(self) -> None:
        names = [metric.name for metric in task(family="yolox").metrics]
        assert names[0] == "map"
        assert len(names) == 12 + 3
        assert names[-1] == "ap/sign"
