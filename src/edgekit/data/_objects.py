"""Truth for detection, shared by the dataset formats: class ids, and boxes that belong to their image."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import nan
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from edgekit.core import naming, suggest
from edgekit.core.errors import DataError
from edgekit.core.predictions import Objects
from edgekit.data import NamedConfig

Where = Callable[[int], str]
"""Names the place that a box comes from, for a message."""


class ObjectsConfig(NamedConfig):
    """Keys of every format with boxes; ``limit`` takes that many frames, evenly spaced."""

    classes: tuple[str, ...] | dict[str, str] | None = Field(
        None,
        description="the names to take, after map; or a mapping from the data set's names to them, so that several "
        "may become one, and those that it lacks are unlisted; default: the format's own names",
    )
    unlisted: Literal["refuse", "drop"] = Field(
        "refuse", description="objects whose name is not in classes, or not among the task's"
    )
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

    @property
    def label_keys(self) -> dict[str, Any]:
        """As :attr:`DataConfig.label_keys`; unlisted is among the settings of the formats."""
        return {key: value for key, value in super().label_keys.items() if key != "unlisted"}

    @model_validator(mode="after")
    def _one_mapping(self) -> Self:
        if self.map and isinstance(self.classes, dict):
            raise ValueError("map and classes both rename; give classes as a list, or leave map out")
        return self


@dataclass(frozen=True)
class Classes:
    """``names`` of the class ids 0..C-1; ``ids`` maps the data set's own names to them, None: they are left out."""

    names: tuple[str, ...]
    ids: Mapping[str, int | None]
    drop: bool

    @classmethod
    def of(cls, config: ObjectsConfig, data_names: Sequence[str], where: str, complete: bool = False) -> Classes:
        """The classes that a config asks for; without ``classes`` the data set's ``data_names``, renamed by ``map``.

        ``complete``: the data set has no other names than ``data_names``.

        Raises:
            DataError: ``data_names`` is ``complete`` and lacks a name of the config, or no class is left.
        """
        if complete:
            naming.check_map(config.map, data_names, where)
        else:  # labels may hold further names, which map lists
            data_names = (*data_names, *(name for name in config.map if naming.place(name, data_names) is None))
        if isinstance(config.classes, dict):
            became: dict[str, str | None] = dict(config.classes)
            asked: Sequence[str] = tuple(config.classes)
            known = data_names
        else:
            became = {name: naming.renamed(name, config.map) for name in data_names}
            known = tuple(dict.fromkeys(name for name in became.values() if name is not None))
            asked = known if config.classes is None else config.classes
        for name in asked:
            if complete and name not in known:
                raise DataError(
                    f"{where}: has no category {name!r}, which classes lists; {suggest.allowed(name, tuple(known))}"
                )
        if not isinstance(config.classes, dict):
            became |= {name: name for name in asked if name not in known}
            became = {name: new for name, new in became.items() if new is None or new in asked}
        names = tuple(asked) if not isinstance(config.classes, dict) else tuple(dict.fromkeys(config.classes.values()))
        if not names:
            raise DataError(f"{where}: map leaves out every class; keep at least one")
        ids = {name: None if new is None else names.index(new) for name, new in became.items()}
        return cls(names, ids, config.unlisted == "drop")

    def find(self, category: str, where: str) -> int | None:
        """The class id, or None for an object that is left out.

        Raises:
            DataError: the name is unknown.
        """
        if category in self.ids:
            return self.ids[category]
        near = naming.place(category, tuple(self.ids))
        if near is not None:
            return tuple(self.ids.values())[near]
        if self.drop:
            return None
        raise DataError(
            f"{where}: the category {category!r} is not in classes; {suggest.allowed(category, tuple(self.ids))}. "
            f"Say what it is with map: {{{category}: ...}} (null leaves it out), add it to classes, or set "
            "unlisted: drop to leave such objects out"
        )


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
        box_areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        image = np.prod(np.asarray(sizes, np.float64), axis=-1)
        known = np.where(np.isnan(areas), box_areas, np.minimum(areas, image)).astype(np.float32)
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
