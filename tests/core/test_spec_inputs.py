"""Model inputs and the sections that fill them: what the spec's own check fills in, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.core.errors import SpecError
from edgekit.core.spec import Spec
from edgekit.core.specfile import read_spec
from tests.support.projects import SPEC

SHAPE = "{image: {shape: [1, 3, 32, 48]}}"
RESIZE = "resize: [32, 48]"
TASK = "task: {kind: segmentation, output: logits, classes: [sky, road, car]}"


def spec_of(folder: Path, *changes: tuple[str, str]) -> Spec:
    text = SPEC
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    (folder / "edgekit.yaml").write_text(text)
    return read_spec(folder)


def refused(folder: Path, *changes: tuple[str, str]) -> str:
    with pytest.raises(SpecError) as caught:
        spec_of(folder, *changes)
    return str(caught.value).removeprefix(f"{folder}/edgekit.yaml:")


def test_the_model_input_decides_channels_and_type(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, (SHAPE, "{image: {shape: [1, 1, 32, 48], dtype: float16}}"))
    image = spec.preprocess["image"]
    assert (image.color, image.dtype) == ("grey", "float16")
    assert (len(image.mean), len(image.std)) == (1, 1)


def test_an_input_without_an_entry_is_told_what_could_stand_there(tmp_path: Path) -> None:
    more = "{image: {shape: [1, 3, 32, 48]}, %s}"
    said = refused(tmp_path, (SHAPE, more % "size: {shape: [1, 2], dtype: int64}"))
    assert "model.inputs.size: this input has no entry under preprocess; add preprocess.size: {kind: frame_size" in said
    assert "{kind: constant, value: ...}" in said
    said = refused(tmp_path, (SHAPE, more % "points: {shape: [1, 100, 4]}"))
    assert "{kind: array, source: ...} when each frame brings an array of [1, 100, 4]" in said
    said = refused(tmp_path, (SHAPE, more % "right: {shape: [1, 3, 32, 48]}"))
    assert "add preprocess.right: {resize: [height, width]} when a frame goes in" in said


def test_mistakes_name_the_key_and_its_line(tmp_path: Path) -> None:
    said = refused(tmp_path, (SHAPE, "{image: {shape: [1, 3, 32, 48], dtype: uint8}}"))
    assert said.startswith("8: preprocess.image.scale: the model input is uint8 and takes pixel values as they are")
    said = refused(tmp_path, (RESIZE, f"kind: picture, {RESIZE}"))
    assert "preprocess.image: kind: 'picture' is unknown; allowed: array, constant, frame_size, image" in said
    said = refused(tmp_path, (RESIZE, f"{RESIZE}, before_crop: 64"))
    assert said.startswith("8: preprocess.image: before_crop: belongs to mode: crop")


def test_a_crop_is_nothing_for_a_class_of_every_pixel(tmp_path: Path) -> None:
    said = refused(tmp_path, (RESIZE, f"{RESIZE}, mode: crop, before_crop: 64"))
    assert said.startswith("8: preprocess.image.mode: a crop leaves the rest of the frame without a class")


def test_boxes_are_not_brought_back_twice(tmp_path: Path) -> None:
    task = next(line for line in SPEC.splitlines() if line.startswith("task:"))
    detection = (task, "task: {kind: detection, output: logits, classes: [car], family: detr}")
    inputs = (SHAPE, "{image: {shape: [1, 3, 32, 48]}, size: {shape: [1, 2], dtype: int64}}")
    image = next(line for line in SPEC.splitlines() if RESIZE in line)
    size = (image, f"{image}\n  size: {{kind: frame_size, order: width_height}}")
    assert "preprocess.size.of: the model would give boxes in pixels of the frame" in refused(
        tmp_path, detection, inputs, size
    )
    fixed = (image, f"{image}\n  size: {{kind: constant, value: [[48, 32]]}}")
    assert spec_of(tmp_path, detection, inputs, fixed).preprocess["size"].value == [[48, 32]]
