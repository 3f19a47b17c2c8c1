"""The reference of input drift: when a build keeps one, and how a bundle gives it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgekit
from edgekit.bundle import open_bundle
from edgekit.bundle.contents import INPUT_STATISTICS
from edgekit.core.errors import BundleError
from edgekit.core.specfile import read_spec
from edgekit.evaluation.input_statistics import InputStatistics, measure, statistics_of
from edgekit.stages.reference import write_reference
from tests.stages.test_golden import forge

CALIBRATION = "calibration: {format: image_mask, images: data/images, masks: data/masks, limit: 6}"


def written(project: Path, calibration: str, out: Path) -> Path | None:
    spec = project / "edgekit.yaml"
    text = spec.read_text()
    assert CALIBRATION in text
    spec.write_text(text.replace(CALIBRATION, calibration))
    out.mkdir(exist_ok=True)
    return write_reference(read_spec(spec), out)


def test_it_is_that_of_the_calibration_frames(bare_project: Path, tmp_path: Path) -> None:
    file = written(bare_project, CALIBRATION.replace(", limit: 6", ""), tmp_path / "out")
    images = [cv2.imread(str(path))[..., ::-1] for path in sorted((bare_project / "data" / "images").iterdir())]
    wanted = statistics_of([measure(np.ascontiguousarray(image)) for image in images], "image_mask")
    assert file is not None
    assert InputStatistics.model_validate_json(file.read_bytes()) == wanted
    (tmp_path / "again").mkdir()
    again = write_reference(read_spec(bare_project / "edgekit.yaml"), tmp_path / "again")
    assert again is not None
    assert again.read_bytes() == file.read_bytes()


def test_a_build_keeps_it(tiny_project: Path) -> None:
    spec = tiny_project / "edgekit.yaml"
    spec.write_text(spec.read_text().replace(CALIBRATION, CALIBRATION.replace("6", "8")))
    bundle = edgekit.build(spec, "cpu")
    assert bundle.input_statistics is not None
    assert bundle.input_statistics.frames == 8
    assert all(stage.reused for stage in edgekit.build(spec, "cpu").stages)


@pytest.mark.parametrize(
    "calibration", [CALIBRATION, "calibration: {format: noise, count: 20, size: [32, 48]}"], ids=["too few", "noise"]
)
def test_frames_that_say_nothing_make_none(bare_project: Path, tmp_path: Path, calibration: str) -> None:
    assert written(bare_project, calibration, tmp_path / "out") is None


def test_a_bundle_gives_it_or_none_and_refuses_another(tiny_bundle: Path) -> None:
    assert open_bundle(tiny_bundle).input_statistics is None  # six frames
    rng = np.random.default_rng(0)
    frames = [measure(rng.integers(0, 255, (20, 30, 3), np.uint8)) for _ in range(8)]
    document = statistics_of(frames, "made")
    file = tiny_bundle / INPUT_STATISTICS
    file.write_text(document.model_dump_json())
    forge(tiny_bundle, lambda manifest: manifest)
    with pytest.raises(BundleError, match="is not in the manifest"):
        open_bundle(tiny_bundle)
    add(tiny_bundle)
    assert open_bundle(tiny_bundle).input_statistics == document
    file.write_text(json.dumps(json.loads(file.read_text()) | {"levels": [0, 1]}))
    forge(tiny_bundle)
    with pytest.raises(BundleError, match="made by another edgekit"):
        _ = open_bundle(tiny_bundle).input_statistics


def add(bundle: Path) -> None:
    """Name the file in the manifest."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["files"][INPUT_STATISTICS] = ""
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    forge(bundle)


def test_pictures_of_16_bits_are_held_against_their_own_white(bare_project: Path, tmp_path: Path) -> None:
    folder = bare_project / "data" / "images"
    for path in folder.iterdir():
        cv2.imwrite(str(path), cv2.imread(str(path)).astype(np.uint16) * 16)  # of a camera of 12 bits
    file = written(bare_project, CALIBRATION.replace(", limit: 6", ""), tmp_path / "out")
    images = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., ::-1] for path in sorted(folder.iterdir())]
    wanted = statistics_of([measure(np.ascontiguousarray(image), 4095) for image in images], "image_mask")
    assert file is not None
    assert InputStatistics.model_validate_json(file.read_bytes()) == wanted
