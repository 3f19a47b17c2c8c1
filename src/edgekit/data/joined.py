"""Several images or arrays per frame: stereo, two cameras, consecutive frames, points beside a picture.

The frames of another format, and beside each what ``beside`` names: a file with the frame's id in another folder, or
an earlier frame of the same sequence.  Each is a source that ``preprocess.<input>.source`` can name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from edgekit.core.artifacts import sha256_of
from edgekit.core.errors import DataError
from edgekit.core.sections import PluginSection
from edgekit.core.spec import Section, SpecPath
from edgekit.core.suggest import allowed
from edgekit.core.tensors import Array
from edgekit.data import DataConfig, Dataset, Sample, _files
from edgekit.data._arrays import ENDINGS, read_arrays
from edgekit.data._frames import frame_id

_ENDINGS = (*_files.SUFFIXES, *ENDINGS)


class Beside(Section):
    """``files``: a folder of images, ``.npy`` or ``.npz``; or ``before``: that many frames back."""

    files: SpecPath | None = None
    replace: dict[str, str] = Field(default_factory=dict, description="parts of the frame's id, to get the file's stem")
    array: str | None = Field(None, description="which array of .npz files; default: the only one")
    before: int | None = Field(None, ge=1, description="frames back; before the first of a sequence: the first")
    sequence: str | None = Field(
        "sequence", description="the metadata that say which frames belong together; null: all of them"
    )

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.files is None) == (self.before is None):
            raise ValueError("expected one of files (a folder) and before (a number of frames)")
        if self.before is not None and (self.replace or self.array):
            raise ValueError("replace and array belong to files, not to before")
        return self


class Config(DataConfig):
    """``frames`` is a section of another format; ``limit`` takes that many of its frames, evenly spaced."""

    format: Literal["joined"] = "joined"
    frames: Annotated[Any, PluginSection("data", "format", without="joined")]
    beside: dict[str, Beside] = Field(min_length=1)
    limit: int | None = Field(default=None, ge=1)

    @field_validator("beside")
    @classmethod
    def _own_names(cls, beside: dict[str, Beside]) -> dict[str, Beside]:
        if "image" in beside:
            raise ValueError("'image' is the frame itself; give what is beside it another name")
        return beside

    @model_validator(mode="after")
    def _true_neighbours(self) -> Self:
        limited = "limit" in type(self.frames).model_fields and self.frames.limit is not None
        if limited and any(one.before for one in self.beside.values()):
            raise ValueError("frames.limit leaves out the frames before; write limit beside frames instead")
        return self

    @property
    def real(self) -> bool:  # type: ignore[override]
        """Whether the frames show something."""
        return bool(self.frames.real)

    @property
    def evaluation_only(self) -> bool:
        return bool(self.frames.evaluation_only)

    @property
    def labelled_by(self) -> DataConfig:
        """The frames' own section, whose labels these are."""
        labelled: DataConfig = self.frames.labelled_by
        return labelled

    def relocated(self, root: Path) -> Self:
        """All folders and files below ``root``, as they lie to each other now."""
        paths = {name: value for name, value in self.frames if isinstance(value, Path)}
        folders = {name: one.files for name, one in self.beside.items() if one.files is not None}
        whole = [Path(os.path.abspath(path)) for path in (*paths.values(), *folders.values())]
        if not whole:
            raise DataError(f"--root: the dataset format {self.frames.format!r} reads no folder; leave --root out")
        common = Path(os.path.commonpath(whole)) if len(whole) > 1 else whole[0]
        moved = iter([root / path.relative_to(common) for path in whole])
        frames = self.frames.model_copy(update={name: next(moved) for name in paths})
        beside = {name: one.model_copy(update={"files": next(moved)}) for name, one in self.beside.items() if one.files}
        return self.model_copy(update={"frames": frames, "beside": {**self.beside, **beside}})

    def open(self) -> Joined:
        return Joined(self)


class Joined(Dataset):
    """The frames' own samples with more images: ``image`` is the frame's, the others have their names in ``beside``.

    Raises:
        DataError: a folder is missing, or holds two files of one stem.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.frames: Dataset = config.frames.open()
        self.chosen = _files.evenly_spaced(range(len(self.frames)), config.limit)
        self.folders = {
            name: _by_stem(one.files, f"beside.{name}.files")
            for name, one in config.beside.items()
            if one.files is not None
        }

    @property
    def one_class(self) -> bool:  # type: ignore[override]
        return self.frames.one_class

    @property
    def keypoints(self) -> tuple[str, ...] | None:  # type: ignore[override]
        return self.frames.keypoints

    @property
    def made(self) -> bool:  # type: ignore[override]
        return self.frames.made

    @property
    def voids(self) -> frozenset[str]:  # type: ignore[override]
        return self.frames.voids

    @property
    def identifiers(self) -> frozenset[str]:  # type: ignore[override]
        return self.frames.identifiers

    def class_names(self, part: str = "") -> Mapping[int, str | None] | None:
        return self.frames.class_names(part)

    def label(self, index: int) -> tuple[str, Any]:
        return self.frames.label(self._at(index))

    def _at(self, index: int) -> int:
        if not 0 <= index < len(self.chosen):
            raise IndexError(f"joined: index {index} is not in 0..{len(self.chosen) - 1}")
        return self.chosen[index]

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> Sample:
        """Frame ``index``.

        Raises:
            IndexError: ``index`` is not in 0 .. len - 1.
            DataError: a file beside the frame is missing or damaged, or the frames name no sequence.
        """
        at = self._at(index)
        sample = self.frames[at]
        more = {name: self._beside(name, one, at, sample) for name, one in self.config.beside.items()}
        taken = sorted(more.keys() & sample.images.keys())
        if taken:
            raise DataError(f"frame {sample.id!r} has an image {taken[0]!r} of its own; rename beside.{taken[0]}")
        return Sample(sample.id, {**sample.images, **more}, sample.truth, sample.metadata)

    def fingerprint(self) -> str:
        """SHA-256 (hex) over the frames, the keys, and the names and contents of all files beside them."""
        beside = {
            name: _files.fingerprint(name, one.files, self.folders[name].values()) if one.files is not None else None
            for name, one in self.config.beside.items()
        }
        keys = {name: one.model_dump(mode="json", exclude={"files"}) for name, one in self.config.beside.items()}
        return sha256_of(
            {"frames": self.frames.fingerprint(), "chosen": self.chosen, "beside": beside, "keys": keys},
        )

    def _beside(self, name: str, one: Beside, at: int, sample: Sample) -> Array:
        if one.files is None:
            return self._earlier(name, one, at, sample)
        stem = sample.id
        for old, new in one.replace.items():
            stem = stem.replace(old, new)
        path = self.folders[name].get(stem)
        if path is None:
            raise DataError(
                f"{one.files}: holds no file of the stem {stem!r}, which beside.{name} needs for frame {sample.id!r}; "
                "add it, or say with replace how the names differ"
            )
        return _array(path, one.array, name) if path.suffix.lower() in ENDINGS else _files.read_image(path)

    def _earlier(self, name: str, one: Beside, at: int, sample: Sample) -> Array:
        sequence, found = self._sequence(name, one, sample), sample
        for back in range(1, (one.before or 0) + 1):
            if at < back:
                break
            earlier = self.frames[at - back]
            if self._sequence(name, one, earlier) != sequence:
                break
            found = earlier
        if "image" not in found.images:
            raise DataError(f"frame {found.id!r} has no image, which beside.{name}.before takes; leave it out")
        return found.images["image"]

    @staticmethod
    def _sequence(name: str, one: Beside, sample: Sample) -> str:
        if one.sequence is None:
            return ""
        if one.sequence not in sample.metadata:
            hint = allowed(one.sequence, tuple(sample.metadata)) if sample.metadata else "they have no metadata"
            raise DataError(
                f"frame {sample.id!r} has no metadata {one.sequence!r}, by which beside.{name} tells sequences apart; "
                f"set sequence, or sequence: null when all frames are one; {hint}"
            )
        return sample.metadata[one.sequence]


def _by_stem(folder: Path, key: str) -> dict[str, Path]:
    """The files in and below ``folder`` by the ids that frames at the same place have."""
    _files.require_folder(folder, key)
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in _ENDINGS and not path.name.startswith("."):
            name = frame_id(folder, path)
            if name in found:
                raise DataError(f"{path}: belongs to the same frame as {found[name]}; rename one")
            found[name] = path
    if not found:
        raise DataError(f"{folder}: holds no file that ends in {', '.join(_ENDINGS)}; correct the key '{key}'")
    return found


def _array(path: Path, member: str | None, name: str) -> Array:
    arrays = read_arrays(path)
    names = tuple(arrays)
    if member is None and len(names) != 1:
        raise DataError(f"{path}: holds {', '.join(names)}; choose with beside.{name}.array")
    if member is not None and member not in arrays:
        raise DataError(f"{path}: beside.{name}.array: no array {member!r}; {allowed(member, names)}")
    return arrays[member or names[0]]
