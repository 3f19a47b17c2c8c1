from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edgekit.core.errors import DataError
from edgekit.data.nuscenes import Config, NuScenes
from tests.support import label_files

Tables = dict[str, list[dict[str, Any]]]
Edit = Callable[[Tables], Any]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    label_files.nuscenes(tmp_path)
    return tmp_path


def opened(root: Path, edit: Edit | None = None, **keys: Any) -> NuScenes:
    """The dataset, after ``edit`` of its tables."""
    tables = label_files.nuscenes_tables()
    if edit is not None:
        edit(tables)
    for name, table in tables.items():
        label_files.write_json(root / "v1.0-mini" / f"{name}.json", table)
    return Config(root=root, version="v1.0-mini", **keys).open()


def test_frames_of_one_camera_in_order(root: Path) -> None:
    samples = list(opened(root))
    assert [sample.id for sample in samples] == ["f0", "f1", "f2", "f3"]
    assert all(sample.truth is None for sample in samples)
    assert samples[0].metadata == {
        "sequence": "scene-0001/CAM_FRONT",
        "scene": "scene-0001",
        "camera": "CAM_FRONT",
        "location": "boston-seaport",
        "vehicle": "n015",
        "night": "no",
        "rain": "no",  # "trains" is no rain
    }
    assert samples[3].metadata["sequence"] == "scene-0002/CAM_FRONT"
    assert (samples[3].metadata["night"], samples[3].metadata["rain"]) == ("yes", "yes")


def test_cameras_and_sweeps(root: Path) -> None:
    both = opened(root, cameras=["CAM_BACK", "CAM_FRONT"])
    assert [sample.id for sample in both] == ["f0", "f1", "b0", "f2", "f3"]
    assert both[2].metadata["camera"] == "CAM_BACK"

    def between(tables: Tables) -> None:
        tables["sample_data"][1]["is_key_frame"] = False

    assert [sample.id for sample in opened(root, between)] == ["f0", "f1", "f3"]
    assert [sample.id for sample in opened(root, between, sweeps=True)] == ["f0", "f1", "f2", "f3"]
    assert [sample.id for sample in opened(root, limit=2)] == ["f0", "f2"]


def test_unknown_camera_and_version(root: Path) -> None:
    with pytest.raises(DataError, match=r"no camera 'CAM_FORNT'; did you mean 'CAM_FRONT'\? allowed: CAM_BACK, CAM"):
        opened(root, cameras=["CAM_FORNT"])
    with pytest.raises(DataError, match="no camera 'LIDAR_TOP'"):
        opened(root, cameras=["LIDAR_TOP"])
    with pytest.raises(DataError, match=r"v1\.0-trainval: no such folder; point the key 'version'"):
        Config(root=root, version="v1.0-trainval").open()
    with pytest.raises(ValidationError, match="version"):
        Config(root=root, version="../v1.0-mini")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda t: t["sample_data"][0].update(token="d2"),
            r"sample_data\.json: entry 1: the token 'd2' is there twice",
        ),
        (lambda t: t["sample_data"][0].update(sample_token="k9"), "'d3': 'sample_token' is 'k9', which no entry"),
        (lambda t: t["sample"][0].update(scene_token="s9"), "'scene_token' is 's9', which no entry"),
        (lambda t: t["scene"][0].update(log_token="l9"), r"scene\.json: 's0': 'log_token' is 'l9'"),
        (lambda t: t["calibrated_sensor"][0].update(sensor_token=3), "'sensor_token' is 3; expected a text"),
        (lambda t: t["sample_data"][0].pop("timestamp"), "'d3': has no 'timestamp'; expected a whole number"),
        (lambda t: t["sample_data"][0].update(filename="../x.jpg"), r"the file name is '\.\./x\.jpg'"),
        (lambda t: t["sample_data"][0].update(filename="x.jpg"), r"x\.jpg: no such file, but .*'d3' lists it"),
        (lambda t: t["sample_data"][0].update(filename="a/f2.jpg"), "the frame id 'f2' is taken by"),
        (lambda t: t["sample_data"].clear(), r"sample_data\.json: has no frame of CAM_FRONT; check version"),
        (lambda t: t["scene"].insert(0, 5), r"scene\.json: entry 0: is 5; expected a JSON object"),
        (lambda t: t["sensor"][0].pop("token"), r"sensor\.json: entry 0: has no 'token'"),
    ],
)
def test_bad_tables(root: Path, edit: Edit, message: str) -> None:
    with pytest.raises(DataError, match=message):
        opened(root, edit)


def test_a_missing_and_a_damaged_table(root: Path) -> None:
    path = root / "v1.0-mini/sample_data.json"
    path.write_text('[{"token": ')
    with pytest.raises(DataError, match=r"sample_data\.json:1:\d+: is not valid JSON"):
        Config(root=root, version="v1.0-mini").open()
    path.write_text("{}")
    with pytest.raises(DataError, match=r"sample_data\.json: holds \{\}; expected a list of entries"):
        Config(root=root, version="v1.0-mini").open()
    path.unlink()
    with pytest.raises(DataError, match=r"sample_data\.json: no such file"):
        Config(root=root, version="v1.0-mini").open()


def test_image_of_another_size(root: Path) -> None:
    with pytest.raises(DataError, match=r"f3\.jpg: the image is 48x32, but .*'d3' says 1600x32"):
        opened(root, lambda tables: tables["sample_data"][0].update(width=1600))[3]


def test_fingerprint_follows_the_tables(root: Path) -> None:
    seen = [opened(root).fingerprint(), opened(root, cameras=["CAM_FRONT", "CAM_BACK"]).fingerprint()]
    seen.append(opened(root, lambda tables: tables["log"][0].update(location="x")).fingerprint())
    assert len(set(seen)) == 3
