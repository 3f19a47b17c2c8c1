"""A folder of frames without labels, for calibration, profiling and looking at predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from edgekit.core.spec import SpecPath
from edgekit.data import DataConfig, Dataset, Sample, _files


class Config(DataConfig):
    """The images in ``root``, sorted by name; ``limit`` takes that many, evenly spaced."""

    format: Literal["images"] = "images"
    root: SpecPath
    orientation: Literal["follow", "ignore"] = Field("follow", description="EXIF orientation of the images")
    limit: int | None = Field(default=None, ge=1)

    def open(self) -> Images:
        return Images(self.root, self.limit, self.orientation == "follow")


class Images(Dataset):
    """Frames ``image`` ``(H, W, 3)`` uint8 RGB without truth; the id is the file's stem.

    Raises:
        DataError: the folder is missing or holds no image, or two images have one stem.
    """

    def __init__(self, root: Path, limit: int | None = None, follow: bool = True) -> None:
        self.root, self.follow = root, follow
        self.files = _files.evenly_spaced(_files.list_images(root, "root"), limit)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Sample:
        """Frame ``index``.

        Raises:
            IndexError: ``index`` is not in 0 .. len - 1.
            DataError: the image is damaged.
        """
        if not 0 <= index < len(self.files):
            raise IndexError(f"images: index {index} is not in 0..{len(self.files) - 1}")
        path = self.files[index]
        return Sample(id=path.stem, images={"image": _files.read_image(path, self.follow)})

    def fingerprint(self) -> str:
        """SHA-256 (hex) over the names and contents of the chosen files."""
        return _files.fingerprint("images" if self.follow else "images as stored", self.root, self.files)
