"""BDD100K: JSON labels of driving frames, with weather, scene and time of day.

``annotations`` is one file (a list of frames, or an object with ``frames``), or a folder of such files.
Two forms are read: Scalabel's (``labels`` of a frame, each with ``category`` and ``box2d``), in which the
releases since 2018 come, and the first release's one file an image (``frames`` with ``objects``).  Lanes
and areas (``poly2d``, ``rle``) are no objects and are left out.

Source: Yu et al., "BDD100K: a diverse driving dataset for heterogeneous multitask learning", CVPR 2020;
doc.bdd100k.com/format.html; the Scalabel format, doc.scalabel.ai/format.html.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from typing_extensions import Self

from edgekit.core.errors import DataError
from edgekit.core.predictions import Objects
from edgekit.core.spec import SpecPath
from edgekit.data import _files, _frames, _records
from edgekit.data._frames import Frame, FrameFiles
from edgekit.data._objects import Classes, ObjectsConfig, Rows

CATEGORIES = (
    "pedestrian",
    "rider",
    "car",
    "truck",
    "bus",
    "train",
    "motorcycle",
    "bicycle",
    "traffic light",
    "traffic sign",
)
_NO_BOX = ("poly2d", "rle", "box3d", "graph")
_SIDES = ("x1", "y1", "x2", "y2")


class Config(ObjectsConfig):
    """The frames of the labels; without ``classes`` the ten of the detection benchmark in its order."""

    format: Literal["bdd100k"] = "bdd100k"
    annotations: SpecPath = Field(description="a JSON file, or a folder of them")
    root: SpecPath = Field(description="the folder of the images, or of the videos' folders")

    def relocated(self, root: Path) -> Self:
        """The same two paths below ``root``, the folder that holds both."""
        annotations, images = _frames.moved(root, self.annotations, self.root)
        return self.model_copy(update={"annotations": annotations, "root": images})

    def open(self) -> Bdd100k:
        return Bdd100k(self)


class Bdd100k(FrameFiles):
    """Frames with :class:`~edgekit.core.predictions.Objects`; ``classes`` names the class ids.

    Metadata: the frame's attributes (``weather``, ``scene``, ``timeofday``), and ``sequence`` for frames of a video.

    Raises:
        DataError: a file is damaged, names a frame twice, or has an entry that cannot be used.
    """

    name = "bdd100k"

    def __init__(self, config: Config) -> None:
        root = _files.require_folder(config.root, "root")
        self.kinds = Classes.of(config, CATEGORIES, str(config.annotations))
        self.classes = self.kinds.names
        self.drop = config.invalid_boxes == "drop"
        self.files, self.folder = _listed(config.annotations)
        self._rows: list[Rows] = []
        frames = []
        order: list[tuple[str, Any]] = []
        for path in self.files:
            for entry, size, where in _frames_of(path):
                frames.append(self._frame(entry, size, where, root))
                order.append((frames[-1].metadata.get("sequence", ""), entry.get("frameIndex", -1)))
        if not frames:
            raise DataError(f"{config.annotations}: lists no frame; expected at least one")
        if all(video and isinstance(index, int) and index >= 0 for video, index in order):
            frames = [frame for _, frame in sorted(zip(order, frames, strict=True), key=lambda pair: pair[0])]
        settings = config.model_dump(mode="json", include={"classes", "unlisted", "invalid_boxes"})
        super().__init__(root, frames, config.limit, settings)

    def _frame(self, entry: dict[str, Any], size: tuple[int, int] | None, where: str, root: Path) -> Frame:
        file_name = _records.field(entry, "name", str, where)
        where = f"{where} ({file_name})"
        path = _records.inside(root, file_name, where)
        metadata = _attributes(entry, where)
        if entry.get("videoName"):
            video = _records.field(entry, "videoName", str, where)
            metadata["sequence"] = video
            if not path.is_file():
                path = _records.inside(root, f"{video}/{file_name}", where)
        rows = Rows(f"{where}: label ")
        seen: set[str] = set()
        for place, value in enumerate(entry["labels"] or []):
            self._object(_records.record(value, f"{rows.where}{place}"), place, rows, seen)
        self._rows.append(rows)
        return Frame(path, _frames.frame_id(root, path), len(self._rows) - 1, where, size, metadata)

    def _object(self, label: dict[str, Any], place: int, rows: Rows, seen: set[str]) -> None:
        where = f"{rows.where}{place}"
        if label.get("id") is not None:
            identity = str(label["id"])
            if identity in seen:
                raise DataError(f"{where}: the label id {identity!r} is there twice; each label of a frame has its own")
            seen.add(identity)
        if label.get("box2d") is None:
            if any(label.get(key) is not None for key in _NO_BOX):
                return
            raise DataError(
                f"{where}: has no 'box2d'; expected {{x1, y1, x2, y2}} in pixels: add it or remove the label"
            )
        found = self.kinds.find(_records.field(label, "category", str, where), where)
        if found is None:
            return
        box = _records.field(label, "box2d", dict, where)
        left, top, right, bottom = (_records.number(box.get(side), where, side) for side in _SIDES)
        attributes = _records.record(label.get("attributes") or {}, f"{where}: 'attributes'")
        rows.add((left, top, right, bottom), found, place, _records.flag(attributes, "crowd", where))

    def truth(self, frame: Frame, size: tuple[int, int]) -> tuple[Objects, Mapping[str, str]]:
        return self._rows[frame.row].objects(size, self.drop)[0], {}

    def labels(self) -> str:
        return _files.fingerprint("labels", self.folder, self.files)


def _listed(annotations: Path) -> tuple[list[Path], Path]:
    """The JSON files, and the folder that they are in."""
    if not annotations.is_dir():
        return [annotations], annotations.parent
    found = sorted(p for p in annotations.iterdir() if p.suffix.lower() == ".json" and not p.name.startswith("."))
    if not found:
        raise DataError(f"{annotations}: holds no JSON file; point the key 'annotations' to a file or folder of labels")
    return found, annotations


def _frames_of(path: Path) -> list[tuple[dict[str, Any], tuple[int, int] | None, str]]:
    """Each frame with its ``labels``, the size its file claims, and its place."""
    document = _records.read_json(path, "annotations")
    size = None
    if isinstance(document, dict):
        config = _records.record(document.get("config") or {}, f"{path}: 'config'")
        size = _size(config.get("imageSize"), f"{path}: config.imageSize")
        if "frames" in document and "name" in document:
            return [(_first_release(document, path), size, str(path))]
        document = document.get("frames", [document])
    if not isinstance(document, list):
        raise DataError(
            f"{path}: holds {_records.shown(document)}; expected a list of frames, or an object with 'frames'"
        )
    frames = []
    for place, value in enumerate(document):
        where = f"{path}: frame {place}"
        entry = _records.record(value, where)
        if entry.get("labels") is not None:
            _records.field(entry, "labels", list, where)
        frame_size = _size(entry.get("size"), f"{where}: size")
        frames.append(({**entry, "labels": entry.get("labels")}, frame_size or size, where))
    return frames


def _first_release(document: dict[str, Any], path: Path) -> dict[str, Any]:
    """One file per image: the name has no ending, and the only frame's ``objects`` are the labels."""
    inner = _records.field(document, "frames", list, str(path))
    if len(inner) != 1:
        raise DataError(f"{path}: has {len(inner)} frames; expected 1 in a file that names one image")
    objects = _records.field(_records.record(inner[0], f"{path}: frame 0"), "objects", list, f"{path}: frame 0")
    name = _records.field(document, "name", str, str(path))
    file_name = name if Path(name).suffix.lower() in _files.SUFFIXES else f"{name}.jpg"
    return {"name": file_name, "attributes": document.get("attributes"), "labels": objects}


def _size(value: object, where: str) -> tuple[int, int] | None:
    if value is None:
        return None
    entry = _records.record(value, where)
    return _records.field(entry, "height", int, where), _records.field(entry, "width", int, where)


def _attributes(entry: dict[str, Any], where: str) -> dict[str, str]:
    found = _records.record(entry.get("attributes") or {}, f"{where}: 'attributes'")
    return {key: str(value) for key, value in found.items() if isinstance(value, str | int | float)}
