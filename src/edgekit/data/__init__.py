"""Datasets and sample sources, one file per format.

A format is a module with a frozen ``Config`` (its keys in the spec) whose
``open()`` returns a :class:`Dataset`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import Self

from edgekit.core.classes import NameChanges
from edgekit.core.errors import DataError
from edgekit.core.tensors import Array


@dataclass(frozen=True)
class Sample:
    """One frame: ``images`` maps a source name to an RGB ``(H, W, 3)`` array of uint8, uint16 or float32, or to an
    array of any other shape that is no image.

    ``truth`` is what the dataset knows of the frame, in the task's own form, or None for frames
    without labels.  Segmentation: a uint8 ``(H, W)`` mask; detection:
    :class:`~edgekit.core.predictions.Objects`; classification: a class id; embedding and
    anti-spoofing: the text that names the subject, or the kind of presentation; several tasks: a
    mapping from kinds of truth to these.  ``metadata`` is what slices and sequences are made of
    (``sequence`` names the drive or clip that a frame belongs to, in the order of the frames).
    """

    id: str
    images: Mapping[str, Array]
    truth: Any = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    def picture(self) -> Array:
        """The first image for people to look at, uint8 RGB ``(H, W, 3)``.

        Values of more than 8 bits are stretched from the least to the greatest; a frame without images is grey.
        """
        images = (image for image in self.images.values() if image.ndim == 3 and image.shape[2] == 3)
        image = next(images, np.full((240, 320, 3), 128, np.uint8))
        if image.dtype == np.uint8:
            return image
        values = image.astype(np.float64)
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        return np.asarray(np.nan_to_num((values - low) * (255 / max(high - low, 1e-12))).round(), np.uint8)


class Dataset(ABC):
    """Frames by index.  Reading is lazy: one frame is in memory at a time."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> Sample: ...

    @abstractmethod
    def fingerprint(self) -> str:
        """Hex SHA-256 over everything that decides the samples' content."""

    one_class: bool = False
    """Whether a truth is the name of one class, or its id, which costs nothing to know."""
    keypoints: tuple[str, ...] | None = None
    """Names of the keypoints of objects, in their order; None: there are none."""
    made: ClassVar[bool] = False
    """Whether frames and truth are computed, so that there are no labels to check before a build."""
    voids: ClassVar[frozenset[str]] = frozenset()
    """Class names that a task without a class of that name leaves out, as the benchmark of the data set does."""
    identifiers: frozenset[str] = frozenset({"sequence"})
    """Columns of the metadata whose values are names, even where they look like numbers."""

    def class_names(self, part: str = "") -> Mapping[int, str | None] | None:
        """Names of the class ids in the truth, or in its ``part`` where it is a mapping, after the key ``map``.

        The labels of a class whose name is None are left out.  None alone: the class ids have no names.
        """
        return None

    def label(self, index: int) -> tuple[str, Any]:
        """Id and truth of frame ``index``, with its checks, and without reading its image where that can be.

        Raises:
            IndexError, DataError: as ``dataset[index]``.
        """
        sample = self[index]
        return sample.id, sample.truth

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(len(self)))


class DataConfig(BaseModel):
    """Base of every dataset's ``Config``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: str
    real: ClassVar[bool] = True
    """Whether the frames show something; the manifest says when they do not."""

    @property
    def evaluation_only(self) -> bool:
        """Whether nothing may be calibrated, trained or chosen on these frames."""
        return False

    def relocated(self, root: Path) -> Self:
        """The same data below another folder: on a target, or after a move.

        Raises:
            DataError: the format reads no folder.
        """
        if "root" not in type(self).model_fields:
            raise DataError(f"--root: the dataset format {self.format!r} reads no folder; leave --root out")
        return self.model_copy(update={"root": root})

    @property
    def labelled_by(self) -> DataConfig:
        """The section whose keys say how labels are read: this one, unless it takes them from another."""
        return self

    @property
    def label_keys(self) -> dict[str, Any]:
        """Keys that decide how labels are read, where they are not the default: they are part of the fingerprint."""
        return {}

    def open(self) -> Dataset:
        """The dataset; raises :class:`~edgekit.core.errors.DataError` when it cannot be used."""
        raise TypeError(f"{type(self).__module__}.Config does not define open()")


UnlabelledClasses = Literal["ignore", "count"]


class NamedConfig(DataConfig):
    """Keys of every format whose labels are classes.

    The classes of the data set and of the task agree by name.  ``map`` renames the data set's, several to one if need
    be, and leaves out those that become null.
    """

    map: NameChanges = Field(
        default_factory=dict, description="the data set's class names to the task's; null leaves a class out"
    )
    unlabelled_classes: UnlabelledClasses = Field(
        "ignore",
        description="classes of the task that the data set does not have: what is predicted of them is no mistake "
        "of such a class, or is one",
    )
    unlisted: Literal["refuse", "drop"] = Field(
        "refuse", description="labels of classes that are not among the task's: an error, or left out"
    )

    @property
    def label_keys(self) -> dict[str, Any]:
        """As :attr:`DataConfig.label_keys`."""
        defaults = {"map": {}, "unlabelled_classes": "ignore", "unlisted": "refuse"}
        return {key: value for key, default in defaults.items() if (value := getattr(self, key)) != default}
