"""Pre- and postprocessing on golden frames: a failure names which of the two departs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgekit.core import golden as golden_module
from edgekit.core.decoded import Frame, OtherRecord, PredictionsDocument, geometry_record, recorded
from edgekit.core.errors import CheckFailed
from edgekit.core.golden import Golden
from edgekit.core.tensors import Array
from edgekit.inputs import image
from edgekit.preprocess import Preprocess
from edgekit.tasks import segmentation
from edgekit.verification.golden_frames import GoldenFrames, input_distances, prove, require
from edgekit.verification.limits import limits_of
from edgekit.verification.outputs import relative_l2
from tests.support.graphs import node, write

LIMITS = limits_of("fp32")
SEGMENTATION: dict[str, Any] = {"kind": "segmentation", "output": "y", "classes": ["a", "b", "c"]}


def preprocess(**keys: Any) -> Preprocess:
    config = image.Config.model_validate({"resize": [16, 24], "scale": 1 / 255, **keys})
    from edgekit.core.spec import TensorShape

    return Preprocess({"x": config.fitted(TensorShape(shape=(1, 3, 16, 24)))})


@pytest.fixture
def held(tmp_path: Path) -> GoldenFrames:
    """Two smooth frames, a network of one convolution, and what a build keeps of them."""
    weights = {"w": np.random.default_rng(1).normal(size=(3, 3, 3, 3)).astype(np.float32)}
    value = [("x", (1, 3, 16, 24), "float32")], [("y", (1, 3, 16, 24), "float32")]
    model = write(tmp_path / "m.onnx", [node("Conv", "x w", "y", pads=[1] * 4)], *value, weights)
    noise = np.random.default_rng(0)
    images = [cv2.resize(noise.integers(0, 255, (5, 7, 3), np.uint8), (48, 32)) for _ in range(2)]
    prepared = [preprocess()({"image": each}) for each in images]
    frames = Golden(tuple(each.feeds for each in prepared))
    from edgekit.verification.golden_frames import typed_outputs

    outputs = typed_outputs(model, frames)
    task = segmentation.Config.model_validate(SEGMENTATION).create()
    records = tuple(
        Frame(
            id=str(number),
            sources=None,
            geometry=geometry_record(each.geometry),
            prediction=recorded(task.decode(outputs[number], each.geometry)),
        )
        for number, each in enumerate(prepared)
    )
    document = PredictionsDocument(task="segmentation", reference="fp32", frames=records)
    return GoldenFrames(frames.with_reference("fp32", outputs), document, tuple({"image": i} for i in images), model)


def task(**keys: Any) -> segmentation.Segmentation:
    return segmentation.Config.model_validate(SEGMENTATION | keys).create()


def thin(held: GoldenFrames, monkeypatch: pytest.MonkeyPatch) -> GoldenFrames:
    monkeypatch.setattr(golden_module, "WHOLE", 1000)
    monkeypatch.setattr(golden_module, "KEPT", 500)
    return replace(held, golden=held.golden.thinned())


def test_what_a_build_keeps_holds(held: GoldenFrames) -> None:
    proof = prove(held, preprocess(), task(), LIMITS)
    assert proof.verdict == "pass"
    assert (proof.preprocessing.verdict, proof.preprocessing.frames, proof.preprocessing.distance) == ("pass", 2, 0)
    assert (proof.postprocessing.verdict, proof.postprocessing.frames, proof.postprocessing.distance) == ("pass", 2, 0)
    require(proof)


@pytest.mark.parametrize(
    "keys", [{"color": "bgr"}, {"scale": 1 / 250}, {"resize": [16, 24], "interpolation": "nearest"}]
)
def test_preprocessing_that_departs(held: GoldenFrames, keys: dict[str, Any]) -> None:
    proof = prove(held, preprocess(**keys), task(), LIMITS)
    assert (proof.verdict, proof.preprocessing.verdict, proof.postprocessing.verdict) == ("fail", "fail", "pass")
    assert proof.preprocessing.distance > 0.015
    with pytest.raises(
        CheckFailed, match=r"^preprocessing departs .* relative L2 at input 'x' of frame [01], limit 0\.01"
    ):
        require(proof)


def test_inputs_with_nan_are_alike_when_they_are_the_same() -> None:
    points = np.array([[1, np.nan], [2, 3]], np.float32)
    other = np.array([[1, np.nan], [2, 4]], np.float32)
    assert input_distances({"p": points.copy()}, {"p": points}) == {"p": 0}
    assert input_distances({"p": other}, {"p": points})["p"] > 0.001
    assert input_distances({"q": points}, {"p": points}) == {"p": float("inf")}


def test_preprocessing_that_refuses_the_frame(held: GoldenFrames) -> None:
    proof = prove(held, preprocess(source="other"), task(), LIMITS)
    assert proof.preprocessing.verdict == "fail"
    assert "no image 'other'" in proof.preprocessing.reason


def flipped(frame: Frame, rows: int) -> Frame:
    labels = np.zeros((32, 48), np.uint8)
    labels[:rows] = 1
    from edgekit.core.predictions import LabelMap

    return frame.model_copy(update={"prediction": recorded(LabelMap(labels))})


@pytest.mark.parametrize("thinned", [False, True])
def test_postprocessing_that_departs(held: GoldenFrames, thinned: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    held = thin(held, monkeypatch) if thinned else held
    assert prove(held, preprocess(), task(), LIMITS).verdict == "pass"
    assert held.document is not None
    frames = (held.document.frames[0], flipped(held.document.frames[1], 16))
    other = replace(held, document=held.document.model_copy(update={"frames": frames}))
    proof = prove(other, preprocess(), task(), LIMITS)
    assert (proof.preprocessing.verdict, proof.postprocessing.verdict) == ("pass", "fail")
    with pytest.raises(CheckFailed, match=r"^postprocessing departs .* at frame 1, .* compare task in bundle\.json"):
        require(proof)


def test_one_pixel_of_kept_outputs_is_enough(held: GoldenFrames) -> None:
    assert held.document is not None
    task_, golden = task(), held.golden
    outputs = [dict(golden.outputs(number)) for number in range(2)]
    changed: Array = outputs[0]["y"].copy()
    changed[0, :, :1] = changed[0, ::-1, :1]
    other = replace(held, golden=golden.with_reference("fp32", [{"y": changed}, outputs[1]]))
    proof = prove(other, preprocess(), task_, LIMITS)
    assert proof.postprocessing.verdict == "fail"
    assert proof.postprocessing.where == "frame 0"


def test_a_task_that_cannot_read_the_outputs(held: GoldenFrames) -> None:
    proof = prove(held, preprocess(), task(output="z"), LIMITS)
    assert (proof.postprocessing.verdict, proof.postprocessing.distance) == ("fail", 1.0)
    assert "no output 'z'" in proof.postprocessing.reason


def test_a_typed_model_that_runs_otherwise_here_is_named(held: GoldenFrames, monkeypatch: pytest.MonkeyPatch) -> None:
    held = thin(held, monkeypatch)
    wrong = [{"y": np.float32(1.01) * held.golden.output(number, "y")} for number in range(2)]
    other = replace(held, golden=held.golden.with_reference("fp32", wrong))
    proof = prove(other, preprocess(), task(), LIMITS)
    assert proof.postprocessing.verdict == "fail"
    assert "not the task, the typed model: run here, its output 'y' is 0.0099" in proof.postprocessing.reason


def test_thinned_outputs_say_as_much_of_an_engine(held: GoldenFrames, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = held.golden
    kept = thin(held, monkeypatch).golden
    moved = whole.output(0, "y") + np.random.default_rng(2).normal(0, 0.1, (1, 3, 16, 24)).astype(np.float32)
    exact = relative_l2(moved, whole.output(0, "y"))
    assert relative_l2(kept.kept(0, "y", moved), kept.output(0, "y")) == pytest.approx(exact, rel=0.1)


def test_what_is_not_there_says_so(held: GoldenFrames) -> None:
    without = prove(replace(held, images=(None, None)), preprocess(), task(), LIMITS)
    assert (without.verdict, without.preprocessing.verdict, without.postprocessing.verdict) == (
        "pass", "not checked", "pass",
    )  # fmt: skip
    assert "golden: {frames: 0}" in str(without.preprocessing)
    one = prove(replace(held, images=(held.images[0], None)), preprocess(), task(), LIMITS)
    assert one.preprocessing.frames == 1
    old = prove(replace(held, document=None), preprocess(), task(), LIMITS)
    assert "version 1 has no golden frames; build it again" in str(old.postprocessing)
    require(old)
    assert held.document is not None
    frames = tuple(f.model_copy(update={"prediction": OtherRecord(type="a.B")}) for f in held.document.frames)
    strange = replace(held, document=held.document.model_copy(update={"frames": frames}))
    assert prove(strange, preprocess(), task(), LIMITS).postprocessing.verdict == "not checked"
