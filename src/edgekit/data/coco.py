"""COCO JSON: one file with the tables ``images``, ``annotations`` and ``categories``.

Boxes are left, top, width, height in pixels.  ``iscrowd`` marks regions; ``area`` is that of the
object's mask.  An image without annotations is a frame without objects.

Source: the COCO data format, cocodataset.org/#format-data; Lin et al., "Microsoft COCO: common
objects in context", ECCV 2014.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from typing_extensions import Self

from edgekit.core.errors import DataError
from edgekit.core.predictions import Objects
from edgekit.core.spec import SpecPath
from edgekit.data import _files, _frames, _records
from edgekit.data._frames import Frame, FrameFiles
from edgekit.data._keypoints import Keypoints
from edgekit.data._objects import Classes, ObjectsConfig, Rows


class Config(ObjectsConfig):
    """The images of a COCO file; without ``classes`` its categories, in the order of their ids."""

    format: Literal["coco"] = "coco"
    annotations: SpecPath
    root: SpecPath = Field(description="the folder that file_name is relative to")
    metadata: tuple[str, ...] = Field((), description="fields of the images that become metadata, for slices")

    def relocated(self, root: Path) -> Self:
        """The same two paths below ``root``, the folder that holds both."""
        annotations, images = _frames.moved(root, self.annotations, self.root)
        return self.model_copy(update={"annotations": annotations, "root": images})

    def open(self) -> Coco:
        return Coco(self)


class Coco(FrameFiles):
    """Frames with :class:`~edgekit.core.predictions.Objects`; ``classes`` names the class ids.

    Raises:
        DataError: the file is damaged, has an id twice, or an entry that cannot be used.
    """

    name = "coco"

    def __init__(self, config: Config) -> None:
        self.annotations = path = config.annotations
        root = _files.require_folder(config.root, "root")
        document = _records.read_json(path, "annotations")
        if isinstance(document, list):
            raise DataError(
                f"{path}: is a list, as COCO results are; expected the labels: an object with images, "
                "annotations and categories"
            )
        document = _records.record(document, str(path))
        images, annotations, categories = (
            _records.field(document, key, list, str(path)) for key in ("images", "annotations", "categories")
        )
        names = _categories(categories, path)
        classes = Classes.of(config, tuple(dict.fromkeys(names.values())), str(path), complete=True)
        self.classes, points = classes.names, Keypoints.of(categories, path)
        self.keypoints = points.names or None
        frames, rows = _images(images, config, root)
        self.identifiers = frozenset({"sequence", *(key for key in config.metadata if _are_texts(images, key))})
        self._objects, self._starts = _objects(annotations, frames, rows, names, classes, points, config)
        settings = config.model_dump(mode="json", include={"classes", "unlisted", "invalid_boxes"})
        super().__init__(root, frames, config.limit, settings)

    def truth(self, frame: Frame, size: tuple[int, int]) -> tuple[Objects, Mapping[str, str]]:
        part = slice(self._starts[frame.row], self._starts[frame.row + 1])
        whole = self._objects
        points = None if whole.keypoints is None else whole.keypoints[part].copy()
        boxes, labels, crowd, areas = whole.boxes[part], whole.labels[part], whole.crowd[part], whole.areas[part]
        return Objects(boxes.copy(), labels.copy(), crowd.copy(), areas.copy(), points), {}

    def labels(self) -> str:
        return _files.fingerprint("labels", self.annotations.parent, [self.annotations])


def _are_texts(images: list[dict[str, Any]], key: str) -> bool:
    """Whether a field is a text wherever it is: one that looks like a number is then a name."""
    return all(isinstance(image[key], str) for image in images)


def _identity(entry: dict[str, Any], where: str) -> int | str:
    value = entry.get("id")
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise DataError(f"{where}: 'id' is {_records.shown(value)}; expected a whole number or a text")
    return value


def _categories(table: list[Any], path: Path) -> dict[int, str]:
    """Names by category id, in the order of the ids; categories of one name are one class."""
    names: dict[int, str] = {}
    for place, value in enumerate(table):
        where = f"{path}: categories[{place}]"
        entry = _records.record(value, where)
        number, name = _records.field(entry, "id", int, where), _records.field(entry, "name", str, where)
        if number in names:
            raise DataError(f"{where}: the id {number} is there twice; each category has its own")
        names[number] = name
    if not names:
        raise DataError(f"{path}: lists no category; expected at least one in 'categories'")
    return dict(sorted(names.items()))


def _images(table: list[Any], config: Config, root: Path) -> tuple[list[Frame], dict[int | str, int]]:
    """The frames, and their rows by image id."""
    frames: list[Frame] = []
    rows: dict[int | str, int] = {}
    for place, value in enumerate(table):
        where = f"{config.annotations}: images[{place}]"
        entry = _records.record(value, where)
        identity = _identity(entry, where)
        where = f"{config.annotations}: image {identity!r}"
        if identity in rows:
            raise DataError(f"{where}: the image id is there twice; each image has its own")
        rows[identity] = len(frames)
        path = _records.inside(root, _records.field(entry, "file_name", str, where), where)
        height, width = (_records.field(entry, key, int, where) for key in ("height", "width"))
        if not (0 < height < 1 << 24 and 0 < width < 1 << 24):
            raise DataError(f"{where}: its size is {width}x{height} (width x height); expected pixels, more than 0")
        metadata = {}
        for key in config.metadata:
            if not isinstance(entry.get(key), str | int | float):
                found = _records.shown(entry.get(key))
                raise DataError(f"{where}: {key!r} is {found}; the key 'metadata' needs a text or number of each image")
            metadata[key] = str(entry[key])
        frames.append(Frame(path, _frames.frame_id(root, path), len(frames), where, (height, width), metadata))
    if not frames:
        raise DataError(f"{config.annotations}: lists no image; expected at least one in 'images'")
    return frames, rows


def _objects(
    table: list[Any],
    frames: list[Frame],
    rows: dict[int | str, int],
    names: dict[int, str],
    classes: Classes,
    points: Keypoints,
    config: Config,
) -> tuple[Objects, list[int]]:
    """All objects, sorted by frame, and where each frame's begin (one more entry than frames)."""
    found = Rows(f"{config.annotations}: annotation ")
    owners: list[int] = []
    keypoints: list[NDArray[np.float32]] = []
    seen: set[int | str] = set()
    for place, value in enumerate(table):
        where = f"{config.annotations}: annotations[{place}]"
        entry = _records.record(value, where)
        identity = _identity(entry, where)
        where = f"{config.annotations}: annotation {identity!r}"
        if identity in seen:
            raise DataError(f"{where}: the annotation id is there twice; each annotation has its own")
        seen.add(identity)
        owner, category = _links(entry, rows, names, where)
        label = classes.find(category, where)
        if label is None:
            continue
        crowd = _records.flag(entry, "iscrowd", where)
        found.add(_box(entry, where), label, repr(identity), crowd, _area(entry, where))
        owners.append(owner)
        if points.names:
            keypoints.append(points.read(entry, where))
    owner_rows = np.array(owners, np.intp)
    sizes = np.array([frame.size for frame in frames], np.float64)[owner_rows]
    objects, kept = found.objects(sizes, config.invalid_boxes == "drop")
    owner_rows = owner_rows[kept]
    order = np.argsort(owner_rows, kind="stable")
    counts = np.bincount(owner_rows, minlength=len(frames))
    read = np.array(keypoints, np.float32).reshape(-1, len(points.names), 3)[kept][order] if points.names else None
    whole = objects.boxes[order], objects.labels[order], objects.crowd[order], objects.areas[order]
    return Objects(*whole, read), [0, *np.cumsum(counts).tolist()]


def _links(entry: dict[str, Any], rows: dict[int | str, int], names: dict[int, str], where: str) -> tuple[int, str]:
    """The row of the annotation's image, and the name of its category."""
    image, category = entry.get("image_id"), entry.get("category_id")
    if isinstance(image, bool) or not isinstance(image, int | str) or image not in rows:
        raise DataError(f"{where}: 'image_id' is {_records.shown(image)}, which is no id in 'images'; correct it")
    if isinstance(category, bool) or not isinstance(category, int) or category not in names:
        known = ", ".join(map(str, list(names)[:20])) + (", ..." if len(names) > 20 else "")
        found = _records.shown(category)
        raise DataError(f"{where}: 'category_id' is {found}, which is no id in 'categories'; the file has {known}")
    return rows[image], names[category]


def _box(entry: dict[str, Any], where: str) -> tuple[float, float, float, float]:
    values = entry.get("bbox")
    if not isinstance(values, list) or len(values) != 4:
        found = _records.shown(values)
        raise DataError(f"{where}: 'bbox' is {found}; expected 4 numbers: left, top, width, height in pixels")
    left, top, width, height = (_records.number(value, where, "a number of 'bbox'") for value in values)
    return left, top, left + width, top + height


def _area(entry: dict[str, Any], where: str) -> float:
    """Square pixels; NaN when the box decides."""
    if entry.get("area") is None:
        return np.nan
    area = _records.number(entry["area"], where, "'area'")
    if area < 0:
        raise DataError(f"{where}: 'area' is {area:g}; expected square pixels, 0 or more")
    return area
