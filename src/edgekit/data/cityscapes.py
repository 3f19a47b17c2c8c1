"""Cityscapes: street scenes of many cities with fine masks, in the layout of the data set.

    root/leftImg8bit/<split>/<city>/<city>_<sequence>_<frame>_leftImg8bit.png
    root/gtFine/<split>/<city>/<city>_<sequence>_<frame>_gtFine_labelIds.png
                                                        ..._gtFine_labelTrainIds.png    made by the data set's scripts

Source: Cordts et al., "The Cityscapes dataset for semantic urban scene understanding", CVPR 2016; ids and names are
those of its labels.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from edgekit.core.errors import DataError
from edgekit.core.spec import SpecPath
from edgekit.data import Dataset, Sample, _files
from edgekit.data._masks import Kinds, MasksConfig

CLASSES = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation", "terrain",
    "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
)  # fmt: skip
"""The nineteen that are evaluated, in the order of their train ids."""
_VOID = (
    "unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic", "ground", "parking",
    "rail track", "guard rail", "bridge", "tunnel", "polegroup", "caravan", "trailer",
)  # fmt: skip
LABEL_IDS = dict(
    enumerate(
        (
            *_VOID[:7], "road", "sidewalk", "parking", "rail track", "building", "wall", "fence", "guard rail",
            "bridge", "tunnel", "pole", "polegroup", *CLASSES[6:15], "bus", "caravan", "trailer", *CLASSES[16:],
        )
    )
)  # fmt: skip
TRAIN_IDS = {**dict(enumerate(CLASSES)), 255: "unlabeled"}
_IMAGE = "_leftImg8bit"


class Config(MasksConfig):
    """One split, city by city; ``limit`` takes that many frames, evenly spaced.

    Pixels of classes that the benchmark leaves out (parking, caravan ...) count nowhere, unless the task has such a
    class or ``map`` says what they are.
    """

    format: Literal["cityscapes"] = "cityscapes"
    root: SpecPath = Field(description="the folder with leftImg8bit and gtFine")
    split: str = Field("val", pattern=r"^[A-Za-z0-9_]+$", description="train, val, or train_extra of gtCoarse")
    annotations: Literal["gtFine", "gtCoarse"] = "gtFine"
    ids: Literal["labelIds", "labelTrainIds"] = Field("labelIds", description="which of the masks")
    limit: int | None = Field(default=None, ge=1)

    def open(self) -> Cityscapes:
        return Cityscapes(self)


class Cityscapes(Dataset):
    """Frames ``image`` ``(H, W, 3)`` uint8 RGB, truth ``(H, W)`` uint8; metadata ``city`` and ``sequence``.

    Raises:
        DataError: a folder is missing or holds no image, or an image has no mask.
    """

    voids: ClassVar[frozenset[str]] = frozenset(_VOID)
    identifiers = frozenset({"city", "sequence"})

    def __init__(self, config: Config) -> None:
        self.root = config.root
        self.kinds: Kinds = config.kinds(LABEL_IDS if config.ids == "labelIds" else TRAIN_IDS)
        pictures = _files.require_folder(config.root / "leftImg8bit" / config.split, "root")
        masks = _files.require_folder(config.root / config.annotations / config.split, "root")
        ending = f"_{config.annotations}_{'color' if config.colours is not None else config.ids}.png"
        frames: list[tuple[str, Path, Path]] = []
        for city in sorted(path for path in pictures.iterdir() if path.is_dir() and not path.name.startswith(".")):
            for picture in _files.list_images(city, "root"):
                stem = picture.stem.removesuffix(_IMAGE)
                mask = masks / city.name / f"{stem}{ending}"
                if not mask.is_file():
                    hint = ": the data set's scripts make it, or set ids: labelIds" if "Train" in ending else ""
                    raise DataError(f"{mask}: no such file, but {picture} is there; restore it{hint}")
                frames.append((stem, picture, mask))
        if not frames:
            raise DataError(f"{pictures}: holds no city; expected a folder of images for each")
        self.frames = _files.evenly_spaced(frames, config.limit)

    def class_names(self, part: str = "") -> Mapping[int, str | None] | None:
        return self.kinds.names

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Sample:
        """Frame ``index``.

        Raises:
            IndexError: ``index`` is not in 0 .. len - 1.
            DataError: the image or the mask is damaged, or their sizes differ.
        """
        if not 0 <= index < len(self.frames):
            raise IndexError(f"cityscapes: index {index} is not in 0..{len(self.frames) - 1}")
        stem, picture, mask = self.frames[index]
        image, truth = _files.read_pair(picture, mask, self.kinds.reader)
        city = picture.parent.name
        sequence = stem.rpartition("_")[0] or stem
        return Sample(stem, {"image": image}, truth, {"city": city, "sequence": sequence})

    def fingerprint(self) -> str:
        """SHA-256 (hex) over the names and contents of the chosen frames' files."""
        paths = (path for _, *both in self.frames for path in both)
        return _files.fingerprint("cityscapes", self.root, paths)
