"""Distances between outputs, against SciPy and NumPy; the control in the place of labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.spatial.distance import cosine

import edgekit
from edgekit.core.errors import DataError, SpecError, TensorError
from edgekit.core.predictions import Tensors
from edgekit.core.tensors import Array, TensorSpec
from edgekit.data.images import Config as Images
from edgekit.preprocess import place
from edgekit.stages.gate import GateOptions, load_of
from edgekit.tasks import multitask
from edgekit.tasks.outputs import Config, Outputs, distance

GEOMETRY = place((4, 4), (4, 4), "stretch")


def task(*names: str) -> Outputs:
    return Config(output=names).create()


def pairs(count: int, seed: int = 0) -> list[tuple[Array, Array]]:
    rng = np.random.default_rng(seed)
    made = [rng.normal(size=(1, 4, 5)).astype(np.float32) for _ in range(count)]
    return [(x + rng.normal(0, 0.02 * (i + 1), x.shape).astype(np.float32), x) for i, x in enumerate(made)]


def scored(frames: list[tuple[Array, Array]], weights: Array | None = None) -> dict[str, float]:
    total = task("y").accumulator()
    for i, (value, reference) in enumerate(frames):
        total.update(Tensors({"y": value}), Tensors({"y": reference}), f"frame-{i}")
    return total.compute(weights)


class TestDistance:
    def test_against_scipy(self) -> None:
        for value, reference in pairs(5):
            a, b = value.astype(np.float64).ravel(), reference.astype(np.float64).ravel()
            expected = [np.sqrt(((a - b) ** 2).sum() / (b**2).sum()), 1 - cosine(a, b), np.abs(a - b).max()]
            assert distance(value, reference).tolist() == pytest.approx(expected, rel=1e-12)

    @pytest.mark.parametrize(
        ("value", "reference", "expected"),
        [
            ([0, 0], [0, 0], [0, 1, 0]),
            ([0, 2], [0, 0], [1, 0, 2]),
            ([0, 0], [0, 2], [1, 0, 2]),
            ([0, -2], [0, 2], [2, -1, 4]),
            ([3, 4], [3, 4], [0, 1, 0]),
            ([], [], [0, 1, 0]),
        ],
    )
    def test_zeros_and_signs(self, value: list[float], reference: list[float], expected: list[float]) -> None:
        assert distance(np.array(value, np.float32), np.array(reference, np.float32)).tolist() == expected

    def test_integers_do_not_wrap(self) -> None:
        assert distance(np.array([0], np.uint8), np.array([255], np.uint8))[2] == 255


class TestMetrics:
    def test_means_and_quantiles_over_frames(self) -> None:
        frames = pairs(100)
        found, each = scored(frames), np.array([distance(*frame) for frame in frames])
        for place_, name in enumerate(("rel_l2", "cosine", "max_abs")):
            assert found[name] == pytest.approx(each[:, place_].mean())
            for share in (50, 10, 1) if name == "cosine" else (50, 90, 99):
                wanted = np.quantile(each[:, place_], share / 100, method="inverted_cdf")
                assert found[f"{name}_p{share:02d}"] == pytest.approx(wanted, rel=1e-12)

    def test_a_frame_without_weight_counts_nowhere(self) -> None:
        frames = pairs(8)
        weights = np.array([0, 1, 0, 3, 1, 0, 1, 0], np.float64)
        repeated = [frame for frame, often in zip(frames, weights, strict=True) for _ in range(int(often))]
        assert scored(frames, weights) == pytest.approx(scored(repeated), rel=1e-12)

    def test_the_furthest_output_of_a_frame_leads(self) -> None:
        total = task("a", "b").accumulator()
        one = np.ones((1, 2), np.float32)
        for a, b in ((1.1, 1.3), (1.5, 1.2)):
            total.update(Tensors({"a": one * a, "b": one * b}), Tensors({"a": one, "b": one}), "f")
        found = total.compute()
        assert found["rel_l2"] == pytest.approx(0.4)
        assert (found["rel_l2/a"], found["rel_l2/b"]) == pytest.approx((0.3, 0.25))

    def test_of_a_single_output_nothing_is_said_twice(self) -> None:
        one, two = ({metric.name for metric in task(*names).metrics} for names in ("a", "ab"))
        assert not any("/" in name for name in one)
        assert two == one | {f"{name}/{output}" for name in one for output in "ab"}
        assert set(scored(pairs(3))) <= one

    def test_lists_of_varying_length(self) -> None:
        with pytest.raises(
            DataError, match=r"'frame-0': output 'y' is \[1, 3\], the control's \[1, 4\]: .* task\.output"
        ):
            scored([(np.zeros((1, 3), np.float32), np.zeros((1, 4), np.float32))])


class TestConfig:
    @pytest.mark.parametrize("output", [[], ["a", "a"]])
    def test_bad_names(self, output: list[str]) -> None:
        with pytest.raises(ValidationError, match="output"):
            Config.model_validate({"output": output})

    def test_outputs_of_the_model(self) -> None:
        given = [TensorSpec("a", (1, None)), TensorSpec("b", (1, 2), "int64")]
        task("a", "b").check_outputs(given)
        with pytest.raises(SpecError, match=r"no output 'c'; allowed: a, b"):
            task("c").check_outputs(given)
        with pytest.raises(SpecError, match="holds nothing"):
            task("a").check_outputs([TensorSpec("a", (1, 0))])

    def test_infinity(self) -> None:
        with pytest.raises(TensorError, match="'a' holds NaN or infinity"):
            task("a").decode({"a": np.array([np.inf], np.float32)}, GEOMETRY)


class TestAmongOtherTasks:
    def made(self, **options: Any) -> multitask.MultiTask:
        parts = {
            "area": {"kind": "segmentation", "output": "area", "classes": ["a", "b"]},
            "rest": {"kind": "outputs", "output": "y"},
        }
        return multitask.Config.model_validate({"tasks": parts, **options}).create()

    def outputs(self, scale: float) -> Mapping[str, Array]:
        area = np.zeros((1, 2, 4, 4), np.float32)
        area[:, 1] = 1
        return {"area": area, "y": np.full((1, 3), scale, np.float32)}

    def test_labels_and_control_side_by_side(self) -> None:
        both = self.made()
        assert (both.labelled, both.against_control) == (True, True)
        value, control = (both.decode(self.outputs(scale), GEOMETRY) for scale in (1.5, 1.0))
        truth = both.truth({"area": np.ones((4, 4), np.uint8)}, control)
        total = both.accumulator()
        total.update(value, truth, "f")
        assert total.compute()["area/miou"] == 1
        assert total.compute()["rest/rel_l2"] == pytest.approx(0.5)
        assert {m.name: m.share for m in both.metrics}["rest/rel_l2"] is False
        image = np.zeros((4, 4, 3), np.uint8)
        assert both.draw(image, value, {"area": np.ones((4, 4), np.uint8)}).size  # a report draws the data's truth

    def test_labels_of_one_part_alone_need_no_mapping(self) -> None:
        both, mask = self.made(), np.ones((4, 4), np.uint8)
        control = both.decode(self.outputs(1.0), GEOMETRY)
        assert set(both.truth(mask, control)) == {"area", "rest/control"}
        assert both.draw(np.zeros((4, 4, 3), np.uint8), control, mask).size

    def test_a_part_of_the_truth_is_not_read(self) -> None:
        with pytest.raises(SpecError, match=r"task\.truth\.rest: .* control"):
            self.made(truth={"rest": "area"})


@pytest.fixture
def unlabelled(tiny_project: Path) -> Path:
    """The tiny project without its labels and with nothing said of its output."""
    spec = (tiny_project / "edgekit.yaml").read_text()
    spec = spec.replace("{kind: segmentation, output: logits, classes: [floor, red, green], ignore_index: 255}",
                        "{kind: outputs, output: logits}")  # fmt: skip
    spec = spec.replace(
        "format: image_mask, images: data/images, masks: data/masks", "format: images, root: data/images"
    )
    spec = spec.replace(
        "miou: {min: 0.6, max_drop: 0.05}", "rel_l2: {max: 0.5, max_drop: 0.5}\n  cosine_p10: {min: 0.5}"
    )
    (tiny_project / "edgekit.yaml").write_text(spec)
    return tiny_project


def test_from_frames_without_labels_to_a_verdict(unlabelled: Path, tmp_path: Path) -> None:
    bundle = edgekit.build(unlabelled, "cpu")
    report = edgekit.evaluate(bundle)
    preprocess, each = bundle.preprocess(), []
    assert bundle.contents.control is not None
    with bundle.engine() as value, bundle.engine(bundle.contents.control) as control:
        for sample in Images(format="images", root=unlabelled / "data/images").open():
            feeds = preprocess(sample.images).feeds
            each.append(distance(value.infer(feeds)["logits"], control.infer(feeds)["logits"]))
    assert report.metrics["rel_l2"] == pytest.approx(np.mean(each, axis=0)[0])
    assert 0 < report.metrics["rel_l2"] < 0.5
    assert report.control is not None
    assert {report.control["rel_l2"], report.control["cosine"]} == {0.0, 1.0}
    low, high = report.intervals["rel_l2"].low, report.intervals["rel_l2"].high
    assert low is not None
    assert high is not None
    assert low < report.metrics["rel_l2"] < high
    assert report.metrics["rel_l2"] - low == pytest.approx(high - report.metrics["rel_l2"])  # no share: no logit
    assert edgekit.gate(bundle, report, options=GateOptions(allow_undecided=True, load=load_of(700))).verdict == "pass"
    assert len(edgekit.run(bundle, bundle.dataset(), tmp_path / "overlays")) == 8


def test_an_engine_that_is_its_own_control(unlabelled: Path) -> None:
    spec = unlabelled / "edgekit.yaml"
    spec.write_text(spec.read_text().replace("compress:\n  - quantize: {method: ptq}\n", ""))
    report = edgekit.evaluate(edgekit.build(unlabelled, "cpu"))
    assert (report.metrics["rel_l2"], report.metrics["cosine_p01"]) == (0, 1)
    assert report.intervals["rel_l2"].high == 0
