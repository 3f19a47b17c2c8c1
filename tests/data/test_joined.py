"""Several images or arrays a frame."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from edgekit.core.errors import DataError
from edgekit.core.spec import DataSection
from edgekit.data import Dataset
from edgekit.evaluation.class_names import agreed
from edgekit.preprocess import Preprocess
from edgekit.tasks.classification import Config as Classification

SECTION: TypeAdapter[Any] = TypeAdapter(DataSection)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six frames of two drives, a right image of each, and points."""
    for name in ("left", "right", "points", "labels"):
        (tmp_path / name).mkdir()
    for i in range(6):
        stem = f"{'ab'[i // 3]}_{i:02}"
        cv2.imwrite(str(tmp_path / "left" / f"{stem}_leftImg8bit.png"), np.full((4, 6, 3), i, np.uint8))
        cv2.imwrite(str(tmp_path / "right" / f"{stem}_rightImg8bit.png"), np.full((4, 6, 3), 100 + i, np.uint8))
        np.save(tmp_path / "points" / f"{stem}_leftImg8bit.npy", np.full((5, 3), i, np.float32))
    lines = [f"{p.name},{p.name[0]},0" for p in sorted((tmp_path / "left").iterdir())]
    (tmp_path / "labels.csv").write_text("\n".join(["file,drive,value", *lines]))
    return tmp_path


def opened(folder: Path, beside: dict[str, Any], frames: dict[str, Any] | None = None, **keys: Any) -> Dataset:
    given = frames or {"format": "images", "root": str(folder / "left")}
    dataset = SECTION.validate_python({"format": "joined", "frames": given, "beside": beside, **keys}).open()
    assert isinstance(dataset, Dataset)
    return dataset


def drives(folder: Path) -> dict[str, Any]:
    return {"format": "image_values", "root": str(folder / "left"), "labels": str(folder / "labels.csv")}


def test_a_right_image_and_points(folder: Path) -> None:
    beside = {
        "right": {"files": str(folder / "right"), "replace": {"leftImg8bit": "rightImg8bit"}},
        "points": {"files": str(folder / "points")},
    }
    sample = opened(folder, beside)[4]
    assert {name: image.flat[0] for name, image in sample.images.items()} == {"image": 4, "right": 104, "points": 4}
    sections = {
        "x": {"resize": [4, 6], "source": ["image", "right"]},
        "p": {"kind": "array", "source": "points", "shape": [1, 5, 3]},
    }
    from edgekit.core.spec import InputSection

    inputs = {name: TypeAdapter(InputSection).validate_python(keys) for name, keys in sections.items()}
    feeds = Preprocess(inputs)(sample.images).feeds
    assert feeds["x"][0, :, 0, 0].tolist() == [4, 4, 4, 104, 104, 104]
    assert feeds["p"].shape == (1, 5, 3)


def test_consecutive_frames_stay_in_their_sequence(folder: Path) -> None:
    beside = {"last": {"before": 1, "sequence": "drive"}, "second": {"before": 2, "sequence": "drive"}}
    samples = list(opened(folder, beside, drives(folder)))
    assert [s.images["last"].flat[0] for s in samples] == [0, 0, 1, 3, 3, 4]
    assert [s.images["second"].flat[0] for s in samples] == [0, 0, 0, 3, 3, 3]
    whole = opened(folder, {"last": {"before": 1, "sequence": None}})
    assert [s.images["last"].flat[0] for s in whole] == [0, 0, 1, 2, 3, 4]


def test_limit_keeps_the_true_neighbours(folder: Path) -> None:
    dataset = opened(folder, {"last": {"before": 1, "sequence": None}}, limit=2)
    assert [(s.images["image"].flat[0], s.images["last"].flat[0]) for s in dataset] == [(0, 0), (3, 2)]
    limited = {"format": "images", "root": str(folder / "left"), "limit": 2}
    with pytest.raises(ValidationError, match="write limit beside frames instead"):
        opened(folder, {"last": {"before": 1}}, limited)


def test_sequences_that_nobody_names(folder: Path) -> None:
    with pytest.raises(DataError, match=r"has no metadata 'sequence', by which beside\.last tells .* sequence: null"):
        opened(folder, {"last": {"before": 1}})[1]


def test_archives_of_arrays(folder: Path) -> None:
    for i, path in enumerate(sorted((folder / "left").iterdir())):
        np.savez(folder / "labels" / f"{path.stem}.npz", speed=np.float32(i), pose=np.eye(3))
    files = str(folder / "labels")
    assert opened(folder, {"pose": {"files": files, "array": "pose"}})[0].images["pose"].shape == (3, 3)
    with pytest.raises(DataError, match=r"holds speed, pose; choose with beside\.pose\.array"):
        opened(folder, {"pose": {"files": files}})[0]
    with pytest.raises(DataError, match="no array 'poses'; did you mean 'pose'"):
        opened(folder, {"pose": {"files": files, "array": "poses"}})[0]


def test_folders_in_the_folder_are_parts_of_the_id(folder: Path) -> None:
    for kind in ("car", "person"):
        for root in ("kinds", "depth"):
            (folder / root / kind).mkdir(parents=True)
            cv2.imwrite(str(folder / root / kind / "f.png"), np.full((4, 6, 3), len(kind), np.uint8))
    frames = {"format": "image_folder", "root": str(folder / "kinds")}
    samples = list(opened(folder, {"depth": {"files": str(folder / "depth")}}, frames))
    assert [sample.images["depth"].flat[0] for sample in samples] == [3, 6]


def test_arrays_that_cannot_be_read(folder: Path) -> None:
    first = sorted((folder / "points").iterdir())[0]
    np.save(first, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    beside = {"points": {"files": str(folder / "points")}}
    with pytest.raises(DataError, match=r"\.npy: cannot be read as an array"):
        opened(folder, beside)[0]
    first.write_bytes(first.read_bytes()[:70])
    with pytest.raises(DataError, match=r"\.npy: cannot be read as an array"):
        opened(folder, beside)[0]


def test_a_file_that_is_missing(folder: Path) -> None:
    beside = {"right": {"files": str(folder / "right")}}
    with pytest.raises(DataError, match=r"right: holds no file of the stem 'a_00_leftImg8bit', .* say with replace"):
        opened(folder, beside)[0]


@pytest.mark.parametrize(
    ("one", "said"),
    [
        ({}, "expected one of files"),
        ({"files": "x", "before": 1}, "expected one of files"),
        ({"before": 1, "array": "a"}, "replace and array belong to files"),
        ({"before": 0}, "greater than or equal to 1"),
    ],
)
def test_keys_that_contradict_each_other(folder: Path, one: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        opened(folder, {"right": one})
    with pytest.raises(ValidationError, match="is the frame itself"):
        opened(folder, {"image": {"before": 1}})


def test_moves_as_a_whole(folder: Path) -> None:
    beside = {"points": {"files": str(folder / "points")}, "last": {"before": 1, "sequence": None}}
    frames = {"format": "images", "root": str(folder / "left")}
    config = SECTION.validate_python({"format": "joined", "frames": frames, "beside": beside})
    before = config.open().fingerprint()
    moved = folder.rename(folder.with_name("elsewhere"))
    again = config.relocated(moved)
    assert again.open().fingerprint() == before
    assert SECTION.validate_python(json.loads(json.dumps(again.model_dump(mode="json")))) == again


def test_labels_agree_with_the_task_as_those_of_the_frames_do(folder: Path) -> None:
    for kind in ("truck", "person"):
        (folder / "kinds" / kind).mkdir(parents=True)
        cv2.imwrite(str(folder / "kinds" / kind / "f.png"), np.zeros((4, 6, 3), np.uint8))
    frames = {"format": "image_folder", "root": str(folder / "kinds"), "map": {"truck": "car"}}
    keys = {"format": "joined", "frames": frames, "beside": {"last": {"before": 1, "sequence": None}}}
    config = SECTION.validate_python(keys)
    task = Classification(output="y", classes=("car", "person")).create()
    found = agreed(config, task)
    assert [sample.truth for sample in found.dataset] == [1, 0]
    assert [found.dataset.label(i) for i in range(2)] == [("person_f", 1), ("truck_f", 0)]
    assert found.dataset.fingerprint() != config.open().fingerprint()  # the key decides how labels are read


def test_noise_beside_noise_is_not_real(folder: Path) -> None:
    frames = {"format": "noise", "count": 2, "size": [4, 6]}
    keys = {"format": "joined", "frames": frames, "beside": {"last": {"before": 1, "sequence": None}}}
    config = SECTION.validate_python(keys)
    assert config.real is False
    with pytest.raises(DataError, match="reads no folder"):
        config.relocated(folder)
