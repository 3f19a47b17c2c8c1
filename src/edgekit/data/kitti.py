"""KITTI object detection: one text file of labels an image.

    root/image_2/<id>.png
    root/label_2/<id>.txt   type truncated occluded alpha left top right bottom h w l x y z rotation_y
    root/<split>.txt        ids, one per line, when the key split is given

Regions marked ``DontCare`` become crowd regions of every class: what is found there counts neither as
right nor as wrong.

Source: Geiger, Lenz and Urtasun, "Are we ready for autonomous driving? The KITTI vision benchmark
suite", CVPR 2012, and the readme of its object development kit.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from edgekit.core.errors import DataError
from edgekit.core.predictions import Objects
from edgekit.core.spec import NAME, SpecPath
from edgekit.data import _files, _frames, _records
from edgekit.data._frames import Frame, FrameFiles
from edgekit.data._objects import Classes, ObjectsConfig, Rows

TYPES = ("Car", "Van", "Truck", "Pedestrian", "Person_sitting", "Cyclist", "Tram", "Misc")
_COLUMNS = ("truncated", "occluded", "alpha", "left", "top", "right", "bottom", *"hwlxyz", "rotation_y")
_OCCLUSION = ("visible", "partly", "largely", "unknown")
# Upper limits of the truncated share that the benchmark's easy, moderate and hard levels allow.
_TRUNCATION = ((0.15, "up to 0.15"), (0.30, "up to 0.30"), (0.50, "up to 0.50"), (1.0, "above 0.50"))


class Config(ObjectsConfig):
    """The frames of ``root``; without ``classes`` the eight types of the benchmark in the order of its readme."""

    format: Literal["kitti"] = "kitti"
    root: SpecPath = Field(description="the folder with image_2 and label_2")
    split: str | None = Field(None, pattern=NAME, description="take the ids that <split>.txt lists; default: all")

    def open(self) -> Kitti:
        return Kitti(self)


class Kitti(FrameFiles):
    """Frames with :class:`~edgekit.core.predictions.Objects`; ``classes`` names the class ids.

    Metadata: ``occlusion`` (visible, partly, largely, unknown) and ``truncation`` (``up to 0.15`` ... ``above
    0.50`` of the object lies outside the image) of the worst object of the frame.

    Raises:
        DataError: a folder is missing or empty, or an image has no labels or labels no image.
    """

    name = "kitti"

    def __init__(self, config: Config) -> None:
        _files.require_folder(config.root, "root")
        self.types = Classes.of(config, TYPES, str(config.root))
        self.classes = self.types.names
        self.drop = config.invalid_boxes == "drop"
        folder = config.root / "image_2"
        pictures = {path.stem: path for path in _files.list_images(folder, "root")}
        self.texts = _frames.list_texts(config.root / "label_2", "root")
        _frames.refuse_lone(self.texts, pictures, f"has no image of that stem in {folder}; add it or remove the labels")
        if config.split is not None:
            pictures = _split(config.root / f"{config.split}.txt", pictures)
        _frames.refuse_lone(pictures, self.texts, "has no labels of that stem in label_2; add them or remove the image")
        frames = [Frame(path, stem, row, str(path)) for row, (stem, path) in enumerate(pictures.items())]
        settings = config.model_dump(mode="json", include={"classes", "unlisted", "invalid_boxes"})
        super().__init__(config.root, frames, config.limit, settings)

    def truth(self, frame: Frame, size: tuple[int, int]) -> tuple[Objects, Mapping[str, str]]:
        path = self.texts[frame.id]
        rows = Rows(f"{path}:")
        occluded, truncated = 0, 0.0
        for number, line in _records.read_lines(path, "root"):
            where = f"{path}:{number}"
            kind, values = _parse(line, where)
            box = (values["left"], values["top"], values["right"], values["bottom"])
            if kind == "DontCare" and kind not in self.types.ids:
                for label in range(len(self.classes)):
                    rows.add(box, label, number, crowd=True)
                continue
            found = self.types.find(kind, where)
            if found is None:
                continue
            rows.add(box, found, number)
            occluded, truncated = max(occluded, int(values["occluded"])), max(truncated, values["truncated"])
        objects, _ = rows.objects(size, self.drop)
        share = next(name for limit, name in _TRUNCATION if truncated <= limit)
        return objects, {"occlusion": _OCCLUSION[occluded], "truncation": share}

    def labels(self) -> str:
        return _files.fingerprint("labels", self.root, (self.texts[frame.id] for frame in self.frames))


def _split(path: Path, pictures: Mapping[str, Path]) -> dict[str, Path]:
    chosen: dict[str, Path] = {}
    for number, stem in _records.read_lines(path, "split"):
        if stem in chosen:
            raise DataError(f"{path}:{number}: lists {stem!r} again; remove it")
        if stem not in pictures:
            raise DataError(f"{path}:{number}: lists {stem!r}, which is no image in image_2; add it or remove the line")
        chosen[stem] = pictures[stem]
    if not chosen:
        raise DataError(f"{path}: lists no frame; expected one id a line")
    return chosen


def _parse(line: str, where: str) -> tuple[str, dict[str, float]]:
    """The type, and the numbers by the names of their columns."""
    kind, *texts = line.split()
    if len(texts) != len(_COLUMNS):
        hint = "; 16 are a file of results, with scores" if len(texts) == len(_COLUMNS) + 1 else ""
        raise DataError(f"{where}: has {len(texts) + 1} columns; expected 15: type {' '.join(_COLUMNS)}{hint}")
    values = {name: _records.numeral(text, where, name) for name, text in zip(_COLUMNS, texts, strict=True)}
    if values["occluded"] not in (-1, 0, 1, 2, 3):
        raise DataError(
            f"{where}: occluded is {values['occluded']:g}; expected 0, 1, 2 or 3, or -1 where it is not known"
        )
    if not (0 <= values["truncated"] <= 1 or values["truncated"] == -1):
        found = values["truncated"]
        raise DataError(f"{where}: truncated is {found:g}; expected 0 to 1, or -1 where it is not known")
    return kind, values
