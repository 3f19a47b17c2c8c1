"""YOLO text labels: a text file per image, a line per object.

    images/<stem>.jpg
    labels/<stem>.txt   class cx cy w h                 a box
                        class x y x y x y ...           an outline; its bounding box is taken, as in training
                        class cx cy w h x y v x y v ... a box with keypoints, when the key keypoints names them

``class`` counts from 0; centres, sizes and points are shares (0..1) of the image's width and
height.  ``classes.txt`` beside the labels is left alone.

Source: the label format of Darknet, pjreddie.com/darknet/yolo; outlines and keypoints as Ultralytics
writes them, docs.ultralytics.com/datasets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field
from typing_extensions import Self

from edgekit.core.classes import ClassTable, by_id
from edgekit.core.errors import DataError
from edgekit.core.predictions import Objects
from edgekit.core.spec import SpecPath
from edgekit.data import _files, _frames, _records
from edgekit.data._frames import Frame, FrameFiles
from edgekit.data._objects import Classes, ObjectsConfig, Rows

_COLUMNS = ("cx", "cy", "w", "h")
_CORNERS = 3  # the fewest of an outline
_ROUNDING = 1e-3  # writers round: a share of 1.0001 is no pixel value


class Config(ObjectsConfig):
    """Images and their labels, sorted by name; ``classes`` chooses among ``names``."""

    format: Literal["yolo_text"] = "yolo_text"
    images: SpecPath
    labels: SpecPath
    names: ClassTable = Field(
        description="the class names of the files: a list in the order of their numbers, a mapping from numbers to "
        "names, or the data.yaml that has one"
    )
    keypoints: tuple[str, ...] | None = Field(
        None, description="names of the keypoints that follow each box, as (x, y) or (x, y, visible)"
    )
    unlabelled: Literal["refuse", "empty"] = Field(
        "refuse", description="an image without a text file: an error, or a frame without objects"
    )

    def relocated(self, root: Path) -> Self:
        """The same two folders below ``root``, the folder that holds both."""
        images, labels = _frames.moved(root, self.images, self.labels)
        return self.model_copy(update={"images": images, "labels": labels})

    def open(self) -> YoloText:
        return YoloText(self)


class YoloText(FrameFiles):
    """Frames with :class:`~edgekit.core.predictions.Objects`; ``classes`` names the class ids.

    Raises:
        DataError: a folder is missing or empty, labels have no image, or an image no labels.
    """

    name = "yolo_text"

    def __init__(self, config: Config) -> None:
        self.table = by_id(config.names)
        self.kinds = Classes.of(config, tuple(dict.fromkeys(self.table.values())), "names", complete=True)
        self.classes = self.kinds.names
        self.drop = config.invalid_boxes == "drop"
        self.keypoints = config.keypoints
        self.folder = config.labels
        pictures = {path.stem: path for path in _files.list_images(config.images, "images")}
        self.texts = _frames.list_texts(config.labels, "labels")
        if "classes" not in pictures:
            self.texts.pop("classes", None)
        lone = f"has no image of that stem in {config.images}; add it or remove the labels"
        _frames.refuse_lone(self.texts, pictures, lone)
        if config.unlabelled == "refuse":
            fix = "add them, or set unlabelled: empty when such images show no object"
            _frames.refuse_lone(pictures, self.texts, f"has no labels of that stem in {config.labels}; {fix}")
        frames = [Frame(path, stem, row, str(path)) for row, (stem, path) in enumerate(pictures.items())]
        keys = {"classes", "names", "unlisted", "invalid_boxes"}
        settings = config.model_dump(mode="json", include=keys)
        if config.keypoints is not None:
            settings["keypoints"] = config.keypoints
        super().__init__(config.images, frames, config.limit, settings)

    def truth(self, frame: Frame, size: tuple[int, int]) -> tuple[Objects, Mapping[str, str]]:
        height, width = size
        path = self.texts.get(frame.id)
        rows, points = Rows(f"{path}:"), []
        for number, line in [] if path is None else _records.read_lines(path, "labels"):
            where = f"{path}:{number}"
            name, (left, top, right, bottom), keypoints = self._parse(line, where)
            found = self.kinds.find(name, where)
            if found is None:
                continue
            rows.add((left * width, top * height, right * width, bottom * height), found, number)
            points.append(keypoints)
        objects, kept = rows.objects(size, self.drop)
        if self.keypoints is not None:
            scaled = np.array(points, np.float64).reshape(len(points), len(self.keypoints), 3) * [width, height, 1]
            objects = replace(objects, keypoints=scaled.astype(np.float32)[kept])
        return objects, {}

    def labels(self) -> str:
        texts = (self.texts[frame.id] for frame in self.frames if frame.id in self.texts)
        return _files.fingerprint("labels", self.folder, texts)

    def _parse(self, line: str, where: str) -> tuple[str, tuple[float, ...], list[float]]:
        """The class, left, top, right and bottom in shares of the image, and x, y and visibility of each keypoint."""
        number, *texts = line.split()
        name = self._name(number, where)
        if self.keypoints is None and len(texts) >= 2 * _CORNERS and len(texts) % 2 == 0:
            shares = [_share(text, where, f"{'xy'[i % 2]} of corner {i // 2 + 1}") for i, text in enumerate(texts)]
            return name, (min(shares[::2]), min(shares[1::2]), max(shares[::2]), max(shares[1::2])), []
        points = len(texts) - len(_COLUMNS)
        if points if self.keypoints is None else points not in (2 * len(self.keypoints), 3 * len(self.keypoints)):
            raise DataError(f"{where}: has {len(texts) + 1} columns; {self._expected(len(texts))}")
        cx, cy, w, h = (_share(text, where, column) for text, column in zip(texts, _COLUMNS, strict=False))
        box = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
        return name, box, [] if self.keypoints is None else _points(texts[len(_COLUMNS) :], self.keypoints, where)

    def _expected(self, found: int) -> str:
        """What a line should hold, of one that has ``found`` columns beside the class."""
        columns = f"class {' '.join(_COLUMNS)}"
        if self.keypoints is not None:
            count = len(self.keypoints)
            return f"expected {5 + 2 * count} or {5 + 3 * count}: {columns}, then the {count} keypoints"
        hint = "; 6 are predictions, with scores" if found == 5 else ""
        if found > 5:
            hint = ", or the corners of an outline, x y each; of a pose, name the points with keypoints: [nose, ...]"
        return f"expected 5: {columns}{hint}"

    def _name(self, number: str, where: str) -> str:
        whole = number.removesuffix(".0")  # some writers make floats of all columns
        if not (whole.isascii() and whole.isdigit() and len(whole) < 10) or int(whole) not in self.table:
            known = list(self.table)
            allowed = f"0..{known[-1]}" if len(known) == known[-1] + 1 else ", ".join(map(str, known[:20]))
            found = _records.shown(number)
            raise DataError(f"{where}: the class is {found}; expected a whole number {allowed}, the places of 'names'")
        return self.table[int(whole)]


def _points(texts: list[str], names: tuple[str, ...], where: str) -> list[float]:
    """x, y and visibility (0, 1 or 2) of each keypoint; without a third column, 2."""
    step = len(texts) // len(names)
    found: list[float] = []
    for i, name in enumerate(names):
        numbers = [_records.numeral(text, where, f"the keypoint {name}") for text in texts[i * step : (i + 1) * step]]
        found += numbers if step == 3 else [*numbers, 2.0]
    return found


def _share(text: str, where: str, name: str) -> float:
    value = _records.numeral(text, where, name)
    size = name in ("w", "h")
    if value > 1 + _ROUNDING or (not size and value < -_ROUNDING):
        raise DataError(f"{where}: {name} is {value:g}; expected a share 0..1 of the image, not pixels")
    return value
