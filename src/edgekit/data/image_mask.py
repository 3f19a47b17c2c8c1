"""A folder of images and a folder of masks with the same stems: most segmentation datasets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field
from typing_extensions import Self

from edgekit.core.errors import DataError
from edgekit.core.spec import SpecPath
from edgekit.data import Dataset, Sample, _files
from edgekit.data._masks import ALL_IDS, Kinds, MasksConfig


class Config(MasksConfig):
    """Images and their masks, sorted by name; ``limit`` takes that many pairs, evenly spaced.

    Without ``names`` or ``colours`` the ids of the masks are those of the task's classes.
    """

    format: Literal["image_mask"] = "image_mask"
    images: SpecPath
    masks: SpecPath
    orientation: Literal["follow", "ignore"] = Field("follow", description="EXIF orientation of the images and masks")
    limit: int | None = Field(default=None, ge=1)

    def relocated(self, root: Path) -> Self:
        """The same two folder names below ``root``."""
        return self.model_copy(update={"images": root / self.images.name, "masks": root / self.masks.name})

    def open(self) -> ImageMask:
        return ImageMask(self.images, self.masks, self.limit, self.kinds(), self.orientation == "follow")


class ImageMask(Dataset):
    """Frames ``image`` ``(H, W, 3)`` uint8 RGB, truth ``(H, W)`` uint8 class ids; the id is the stem.

    Raises:
        DataError: a folder is missing or empty, two files of a folder have one stem, or an image
            has no mask or a mask no image.
    """

    def __init__(
        self, images: Path, masks: Path, limit: int | None = None, kinds: Kinds = ALL_IDS, follow: bool = True
    ) -> None:
        self.images, self.masks, self.kinds, self.follow = images, masks, kinds, follow
        pictures = {path.stem: path for path in _files.list_images(images, "images")}
        labels = {path.stem: path for path in _files.list_images(masks, "masks")}
        _same_stems(pictures, labels, f"has no mask of that stem in {masks}; add it or remove the image")
        _same_stems(labels, pictures, f"has no image of that stem in {images}; add it or remove the mask")
        self.pairs = _files.evenly_spaced([(path, labels[stem]) for stem, path in pictures.items()], limit)

    def class_names(self, part: str = "") -> Mapping[int, str | None] | None:
        return self.kinds.names

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        """Pair ``index``.

        Raises:
            IndexError: ``index`` is not in 0 .. len - 1.
            DataError: a file is damaged, the mask does not hold 8-bit class ids, or the sizes differ.
        """
        if not 0 <= index < len(self.pairs):
            raise IndexError(f"image_mask: index {index} is not in 0..{len(self.pairs) - 1}")
        path, label = self.pairs[index]
        image, mask = _files.read_pair(path, label, self.kinds.reader, self.follow)
        return Sample(id=path.stem, images={"image": image}, truth=mask)

    def fingerprint(self) -> str:
        """SHA-256 (hex) over the names and contents of the chosen files."""
        pictures = _files.fingerprint("images", self.images, (path for path, _ in self.pairs))
        stored = "" if self.follow else " as stored"
        return _files.fingerprint(f"image_mask{stored} {pictures}", self.masks, (label for _, label in self.pairs))


def _same_stems(these: dict[str, Path], others: dict[str, Path], problem: str) -> None:
    lone = [path for stem, path in these.items() if stem not in others]
    if lone:
        more = f" (and {len(lone) - 1} more)" if len(lone) > 1 else ""
        raise DataError(f"{lone[0]}{more}: {problem}")
