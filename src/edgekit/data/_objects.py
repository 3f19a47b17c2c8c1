"""Truth for detection, shared by the dataset formats: class ids, and boxes that belong to their image."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import nan
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, field_validator

from edgekit.core import plugins
from edgekit.core.errors import DataError
from edgekit.core.predictions import Objects
from edgekit.data import DataConfig

Where = Callable[[int], str]
"""Names the place that a box comes from, for a message."""


class ObjectsConfig(DataConfig):
    """Keys of every format with boxes; ``limit`` takes that many frames, evenly spaced."""

    classes: tuple[str, ...] | dict[str, str] | None = Field(
        None,
        description="names in the order of the class ids; or a mapping from the data set's names to them, so that "
        "several may become one; default: the format's own names and order",
    )
    unlisted: Literal["refuse", "drop"] = Field("refuse", description="objects whose name is not in classes")
    invalid_boxes: Literal["refuse", "drop"] = Field(
        "refuse", description="boxes without size, or wholly outside the image"
    )
    limit: int | None = Field(default=None, ge=1)

    @field_validator("classes")
    @classmethod
    def _named_once(cls, value: tuple[str, ...] | dict[str, str] | None) -> tuple[str, ...] | dict[str, str] | None:
        if value is None:
            return value
        names = [*value, *value.values()] if isinstance(value, dict) else list(value)
        if not names or not all(name.strip() for name in names):
            raise ValueError("expected at least one class, each name a text that is not empty")
        twice = next((name for i, name in enumerate(value) if name in list(value)[:i]), None)
        if twice is not None:
            raise ValueError(f"the class name {twice!r} is there twice; each class has a name of its own")
        return value


@dataclass(frozen=True)
class Classes:
    """``names`` of the class ids 0..C-1; ``ids`` maps the data set's own names to them."""

    names: tuple[str, ...]
    ids: Mapping[str, int]
    drop: bool

    @classmethod
    def of(cls, config: ObjectsConfig, own: Sequence[str], where: str, complete: bool = False) -> Classes:
        """The classes that a config asks for; without ``classes`` the data set's ``own``.

        Raises:
            DataError: ``own`` is ``complete`` and lacks a name of the config.
        """
        asked = tuple(own) if config.classes is None else config.classes
        mapping = dict(asked) if isinstance(asked, dict) else {name: name for name in asked}
        for name in mapping:
            if complete and name not in own:
                raise DataError(
                    f"{where}: has no category {name!r}, which classes lists; {plugins.allowed(name, tuple(own))}"
                )
        names = tuple(dict.fromkeys(mapping.values()))
        return cls(names, {own: names.index(name) for own, name in mapping.items()}, config.unlisted == "drop")

    def find(self, category: str, where: str) -> int | None:
        """The class id, or None for an object that is dropped.

        Raises:
            DataError: the name is unknown.
        """
        found = self.ids.get(category)
        if found is None and not self.drop:
            raise DataError(
                f"{where}: the category {category!r} is not in classes; {plugins.allowed(category, tuple(self.ids))}. "
                "Add it to classes, or set unlisted: drop to leave such objects out"
            )
        return found


@dataclass(frozen=True)
class Rows:
    """Objects as a label file gives them, one entry a row, packed: a data set may hold millions.

    ``boxes`` left, top, right, bottom in pixels, row after row; ``areas`` square pixels, NaN where the
    box decides; ``where`` and an entry of ``places`` name the place that a row comes from.
    """

    where: str
    boxes: array[float] = field(default_factory=lambda: array("d"))
    labels: array[int] = field(default_factory=lambda: array("q"))
    crowd: array[int] = field(default_factory=lambda: array("b"))
    areas: array[float] = field(default_factory=lambda: array("d"))
    places: list[object] = field(default_factory=list)

    def add(
        self, box: tuple[float, float, float, float], label: int, place: object, crowd: bool = False, area: float = nan
    ) -> None:
        self.boxes.extend(box)
        self.labels.append(label)
        self.crowd.append(crowd)
        self.areas.append(area)
        self.places.append(place)

    def objects(self, sizes: ArrayLike, drop: bool) -> tuple[Objects, NDArray[np.bool_]]:
        """The rows as truth, and which of them are kept; see :func:`fit`."""
        boxes, kept = fit(
            np.array(self.boxes, np.float64).reshape(-1, 4), sizes, lambda row: f"{self.where}{self.places[row]}", drop
        )
        areas = np.array(self.areas, np.float64)
        own = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        image = np.prod(np.asarray(sizes, np.float64), axis=-1)
        known = np.where(np.isnan(areas), own, np.minimum(areas, image)).astype(np.float32)
        labels, crowd = np.array(self.labels, np.int64), np.array(self.crowd, np.bool_)
        return Objects(boxes[kept], labels[kept], crowd[kept], known[kept]), kept


def fit(
    boxes: NDArray[np.float64], sizes: ArrayLike, where: Where, drop: bool
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Boxes cut at the borders of their images.

    Args:
        boxes: ``(N, 4)`` left, top, right, bottom in pixels, finite.
        sizes: (height, width) in pixels of the image, ``(2,)``, or of each box's, ``(N, 2)``.
        where: names the place of a box.
        drop: mark a box that has no size or no part inside instead of refusing it.

    Returns:
        Boxes float32 ``(N, 4)``, and bool ``(N,)`` that is false for the marked ones.

    Raises:
        DataError: a box has no size, or none of it lies inside its image.
    """
    limits = np.asarray(sizes, np.float64)[..., [1, 0, 1, 0]]
    cut = np.clip(boxes, 0, limits)
    outside = np.asarray((cut[:, 2:] <= cut[:, :2]).any(axis=1) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1))
    small = cut.astype(np.float32)
    kept = np.asarray((small[:, 2:] > small[:, :2]).all(axis=1))
    if drop or kept.all():
        return small, kept
    row = int(np.argmin(kept))
    left, top, right, bottom = boxes[row]
    box = f"the box from ({left:g}, {top:g}) to ({right:g}, {bottom:g})"
    fix = "correct the labels, or set invalid_boxes: drop to leave such boxes out"
    if not outside[row]:
        size = f"{right - left:g} x {bottom - top:g} (width x height)"
        raise DataError(f"{where(row)}: {box} measures {size}; expected more than 0: {fix}")
    width, height = np.broadcast_to(limits, boxes.shape)[row, :2]
    raise DataError(f"{where(row)}: {box} has no part inside its {width:g}x{height:g} image (width x height); {fix}")
