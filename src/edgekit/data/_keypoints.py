"""Keypoints of COCO annotations: x, y and visibility of each, by the names that the categories give them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.core.errors import DataError
from edgekit.data import _records


@dataclass(frozen=True)
class Keypoints:
    """``names`` of all categories together; ``places`` among them of each category's own, by the category's id."""

    names: tuple[str, ...]
    places: Mapping[int, Sequence[int]]

    @classmethod
    def of(cls, categories: list[Any], path: Path) -> Keypoints:
        """The names in the table of categories, whose entries were checked before.

        Raises:
            DataError: they are no list of texts, or a category has a name twice.
        """
        by_category: dict[int, list[str]] = {}
        for place, entry in enumerate(categories):
            found = entry.get("keypoints")
            if found is None:
                continue
            where = f"{path}: categories[{place}]"
            if not isinstance(found, list) or not all(isinstance(name, str) and name.strip() for name in found):
                raise DataError(f"{where}: 'keypoints' is {_records.shown(found)}; expected a list of names")
            if len(set(found)) < len(found):
                raise DataError(f"{where}: 'keypoints' has a name twice; each point has a name of its own")
            by_category[entry["id"]] = found
        names = tuple(dict.fromkeys(name for found in by_category.values() for name in found))
        return cls(names, {number: [names.index(name) for name in found] for number, found in by_category.items()})

    def read(self, entry: Mapping[str, Any], where: str) -> NDArray[np.float32]:
        """The points of an annotation, ``(K, 3)``: zeros where it has none of a name.

        Raises:
            DataError: it has not three numbers for each of its category's points.
        """
        made = np.zeros((len(self.names), 3), np.float32)
        places, found = self.places.get(entry["category_id"], ()), entry.get("keypoints")
        if found is None or not places:
            return made
        if not isinstance(found, list) or len(found) != 3 * len(places):
            count = f"{len(found)} numbers" if isinstance(found, list) else _records.shown(found)
            raise DataError(
                f"{where}: 'keypoints' is {count}; expected {3 * len(places)}: x, y and visibility of each of the "
                f"{len(places)} points of its category"
            )
        values = [_records.number(value, where, "a number of 'keypoints'") for value in found]
        made[list(places)] = np.array(values, np.float32).reshape(-1, 3)
        return made
