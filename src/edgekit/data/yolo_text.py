"""YOLO text labels: a text file an image, a line an object.

    images/<stem>.jpg
    labels/<stem>.txt   class cx cy w h

``class`` counts from 0; the centre and size of the box are shares (0..1) of the image's width and
height.  ``classes.txt`` beside the labels is left alone.

Source: the label format of Darknet, pjreddie.com/darknet/yolo.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from typing_extensions import Self

from edgekit.core.errors import DataError
from edgekit.core.predictions import Objects
from edgekit.core.spec import SpecPath
from edgekit.data import _files, _frames, _records
from edgekit.data._frames import Frame, FrameFiles
from edgekit.data._objects import Classes, ObjectsConfig, Rows

_COLUMNS = ("cx", "cy", "w", "h")
_ROUNDING = 1e-3  # writers round: a share of 1.0001 is no pixel value


class Config(ObjectsConfig):
    """Images and their labels, sorted by name; ``classes`` chooses among ``names``."""

    format: Literal["yolo_text"] = "yolo_text"
    images: SpecPath
    labels: SpecPath
    names: tuple[str, ...] = Field(
        min_length=1, description="the class names of the files, in the order of their numbers"
    )
    unlabelled: Literal["refuse", "empty"] = Field(
        "refuse", description="an image without a text file: an error, or a frame without objects"
    )

    @field_validator("names")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        twice = next((name for i, name in enumerate(value) if name in value[:i]), None)
        if twice is not None:
            raise ValueError(f"the class name {twice!r} is there twice; each class has a name of its own")
        return value

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
        self.names = config.names
        self.kinds = Classes.of(config, config.names, "names", complete=True)
        self.classes = self.kinds.names
        self.drop = config.invalid_boxes == "drop"
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
        super().__init__(config.images, frames, config.limit, config.model_dump(mode="json", include=keys))

    def truth(self, frame: Frame, size: tuple[int, int]) -> tuple[Objects, Mapping[str, str]]:
        height, width = size
        path = self.texts.get(frame.id)
        rows = Rows(f"{path}:")
        for number, line in [] if path is None else _records.read_lines(path, "labels"):
            where = f"{path}:{number}"
            name, (cx, cy, w, h) = self._parse(line, where)
            found = self.kinds.find(name, where)
            if found is None:
                continue
            left, top = (cx - w / 2) * width, (cy - h / 2) * height
            rows.add((left, top, (cx + w / 2) * width, (cy + h / 2) * height), found, number)
        return rows.objects(size, self.drop)[0], {}

    def labels(self) -> str:
        texts = (self.texts[frame.id] for frame in self.frames if frame.id in self.texts)
        return _files.fingerprint("labels", self.folder, texts)

    def _parse(self, line: str, where: str) -> tuple[str, tuple[float, ...]]:
        number, *texts = line.split()
        if len(texts) != len(_COLUMNS):
            kinds = {5: "; 6 are predictions, with scores"}
            hint = kinds.get(len(texts), "; outlines are not boxes" if len(texts) > 5 else "")
            raise DataError(f"{where}: has {len(texts) + 1} columns; expected 5: class {' '.join(_COLUMNS)}{hint}")
        if not (number.isascii() and number.isdigit() and len(number) < 10) or int(number) >= len(self.names):
            last = len(self.names) - 1
            found = _records.shown(number)
            raise DataError(f"{where}: the class is {found}; expected a whole number 0..{last}, the places of 'names'")
        values = tuple(_records.numeral(text, where, name) for name, text in zip(_COLUMNS, texts, strict=True))
        for name, value in zip(_COLUMNS, values, strict=True):
            if value > 1 + _ROUNDING or (name in ("cx", "cy") and value < -_ROUNDING):
                raise DataError(f"{where}: {name} is {value:g}; expected a share 0..1 of the image, not pixels")
        return self.names[int(number)], values
