"""nuScenes: camera frames from the tables of a release, without its development kit and without labels.

    root/<version>/{scene,log,sample,sample_data,calibrated_sensor,sensor}.json
    root/samples/CAM_FRONT/...jpg   key frames, two a second
    root/sweeps/CAM_FRONT/...jpg    the frames between

Source: Caesar et al., "nuScenes: a multimodal dataset for autonomous driving", CVPR 2020; the schema,
nuscenes.org/nuscenes#data-format.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from edgekit.core import suggest
from edgekit.core.errors import DataError
from edgekit.core.spec import NAME, SpecPath
from edgekit.data import DataConfig, _files, _records
from edgekit.data._frames import Frame, FrameFiles

Table = dict[str, dict[str, Any]]


class Config(DataConfig):
    """Frames of the chosen ``cameras``, scene by scene and in the order of time."""

    format: Literal["nuscenes"] = "nuscenes"
    root: SpecPath = Field(description="the folder with samples, sweeps and the version's folder")
    version: str = Field(pattern=NAME, description="v1.0-mini, v1.0-trainval or v1.0-test")
    cameras: tuple[str, ...] = Field(("CAM_FRONT",), min_length=1, description="channels such as CAM_FRONT")
    sweeps: bool = Field(False, description="also the frames between the key frames")
    limit: int | None = Field(default=None, ge=1)

    def open(self) -> NuScenes:
        return NuScenes(self)


class NuScenes(FrameFiles):
    """Camera frames without truth.

    Metadata: ``sequence`` (scene and camera), ``scene``, ``camera``, ``location``, ``vehicle``, and ``night`` and
    ``rain`` (yes or no: whether the scene's description has the word).

    Raises:
        DataError: a table is missing or damaged, a token leads nowhere, or a camera has no frame.
    """

    name = "nuscenes"

    def __init__(self, config: Config) -> None:
        root = _files.require_folder(config.root, "root")
        folder = _files.require_folder(root / config.version, "version")
        tables = {
            name: _table(folder / f"{name}.json") for name in ("scene", "log", "sample", "calibrated_sensor", "sensor")
        }
        channels = _channels(tables, folder)
        for camera in config.cameras:
            if camera not in channels.values():
                known = tuple(sorted(set(channels.values())))
                raise DataError(f"{folder / 'sensor.json'}: no camera {camera!r}; {suggest.allowed(camera, known)}")
        scenes = {token: _scene(scene, tables, folder) for token, scene in tables["scene"].items()}
        found = []
        path = folder / "sample_data.json"
        for token, entry in _table(path).items():
            where = f"{path}: {token!r}"
            camera = channels.get(_records.field(entry, "calibrated_sensor_token", str, where), "")
            if camera not in config.cameras or not (config.sweeps or entry.get("is_key_frame") is True):
                continue
            sample = _follow(entry, "sample_token", tables["sample"], where)
            metadata = scenes[_token(sample, "scene_token", scenes, where)]
            time_us = _records.field(entry, "timestamp", int, where)
            frame = _frame(
                entry, {"sequence": f"{metadata['scene']}/{camera}", "camera": camera, **metadata}, where, root
            )
            found.append(((metadata["scene"], config.cameras.index(camera), time_us, frame.id), frame))
        if not found:
            raise DataError(f"{path}: has no frame of {', '.join(config.cameras)}; check version, or set sweeps: true")
        found.sort(key=lambda pair: pair[0])
        super().__init__(root, [frame for _, frame in found], config.limit, {})

    def truth(self, frame: Frame, size: tuple[int, int]) -> tuple[None, Mapping[str, str]]:
        return None, {}

    def labels(self) -> str:
        return ""  # what the tables decide is in the frames' names and metadata


def _table(path: Path) -> Table:
    """Entries by their tokens."""
    document = _records.read_json(path, "root")
    if not isinstance(document, list):
        raise DataError(f"{path}: holds {_records.shown(document)}; expected a list of entries")
    table: Table = {}
    for place, value in enumerate(document):
        where = f"{path}: entry {place}"
        entry = _records.record(value, where)
        token = _records.field(entry, "token", str, where)
        if token in table:
            raise DataError(f"{where}: the token {token!r} is there twice; each entry has its own")
        table[token] = entry
    return table


def _token(entry: dict[str, Any], key: str, table: Mapping[str, Any], where: str) -> str:
    token = _records.field(entry, key, str, where)
    if token not in table:
        raise DataError(f"{where}: {key!r} is {token!r}, which no entry of that table has; copy the tables again")
    return token


def _follow(entry: dict[str, Any], key: str, table: Table, where: str) -> dict[str, Any]:
    return table[_token(entry, key, table, where)]


def _channels(tables: dict[str, Table], folder: Path) -> dict[str, str]:
    """The channel of each calibrated camera, by the token of the calibration."""
    channels = {}
    for token, entry in tables["calibrated_sensor"].items():
        where = f"{folder / 'calibrated_sensor.json'}: {token!r}"
        sensor = _follow(entry, "sensor_token", tables["sensor"], where)
        if sensor.get("modality") == "camera":
            channels[token] = _records.field(sensor, "channel", str, where)
    return channels


def _scene(scene: dict[str, Any], tables: dict[str, Table], folder: Path) -> dict[str, str]:
    where = f"{folder / 'scene.json'}: {scene['token']!r}"
    name = _records.field(scene, "name", str, where)
    words = re.findall(r"[a-z]+", _records.field(scene, "description", str, where).lower())
    log = _follow(scene, "log_token", tables["log"], where)
    place = {key: _records.field(log, key, str, where) for key in ("location", "vehicle")}
    return {"scene": name, **place, **{word: "yes" if word in words else "no" for word in ("night", "rain")}}


def _frame(entry: dict[str, Any], metadata: Mapping[str, str], where: str, root: Path) -> Frame:
    path = _records.inside(root, _records.field(entry, "filename", str, where), where)
    height, width = (_records.field(entry, key, int, where) for key in ("height", "width"))
    return Frame(path, path.stem, 0, where, (height, width), metadata)
