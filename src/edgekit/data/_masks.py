"""Masks whose ids, or colours, have names: shared by the formats with a mask per frame."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, TypeAdapter, ValidationInfo, model_validator
from typing_extensions import Self

from edgekit.core import naming
from edgekit.core.classes import ClassTable, by_id
from edgekit.core.errors import DataError
from edgekit.core.spec import SpecPath
from edgekit.core.tensors import Array
from edgekit.core.textfile import read_text
from edgekit.data import NamedConfig

_PATH: TypeAdapter[Path] = TypeAdapter(SpecPath)
_MOST = 255
_LINE = re.compile(r"(\d+)[\s,]+(\d+)[\s,]+(\d+)[\s,]+(\S.*)")  # 128 64 128 Road, as CamVid's label_colors.txt
_LABEL = re.compile(r"([^:#]+):(\d+),(\d+),(\d+)(:.*)?")  # road:128,64,128::, as CVAT's labelmap.txt


def _colours(value: Any, info: ValidationInfo) -> Any:
    """Colours by name, from a mapping or from the JSON or text file that a path names."""
    where = ""
    if isinstance(value, str | Path):
        path = _PATH.validate_python(value, context=info.context)
        where = f"{path}: "
        try:
            text = read_text(path)
            value = json.loads(text) if path.suffix.lower() == ".json" else _listed(text, where)
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ValueError(
                f"{where}expected a JSON file of name to [red, green, blue], or a text file: {error}"
            ) from error
    wanted = f"{where}expected a colour for each class name, {{road: [128, 64, 128]}}, red, green and blue of 0 to 255"
    if not isinstance(value, dict) or not 0 < len(value) <= _MOST:
        raise ValueError(f"{wanted}; of 1 to {_MOST} classes")
    made: dict[str, tuple[int, ...]] = {}
    for name, colour in value.items():
        fits = isinstance(colour, list | tuple) and len(colour) == 3
        if not fits or not all(type(part) is int and 0 <= part <= 255 for part in colour):
            raise ValueError(f"{wanted}; {str(name)!r} has {colour!r}")
        twin = next((other for other, known in made.items() if known == tuple(colour)), None)
        if twin is not None:
            raise ValueError(f"{where}{str(name)!r} and {twin!r} have one colour, {list(colour)}; join them with map")
        made[str(name)] = tuple(colour)
    return made


def _listed(text: str, where: str) -> dict[str, list[int]]:
    """``red green blue name`` or ``name:red,green,blue`` a line."""
    found: dict[str, list[int]] = {}
    for number, line in enumerate(map(str.strip, text.split("\n")), start=1):
        if not line or line.startswith("#"):
            continue
        if match := _LINE.fullmatch(line):
            name, parts = match[4].strip(), match.group(1, 2, 3)
        elif match := _LABEL.fullmatch(line):
            name, parts = match[1].strip(), match.group(2, 3, 4)
        else:
            raise ValueError(f"{where}line {number} is {line!r}; expected: 128 64 128 road, or road:128,64,128")
        found[name] = [int(part) for part in parts]
    return found


Colour = tuple[int, int, int]
ColourTable = Annotated[dict[str, Colour], BeforeValidator(_colours, json_schema_input_type=str | dict[str, list[int]])]
"""Red, green and blue of each class; or a JSON file with them, or a text file such as CamVid's or CVAT's."""


class MasksConfig(NamedConfig):
    """Keys of every format with masks."""

    names: ClassTable | None = Field(
        None, description="the names of the masks' ids: a list, a mapping from ids to names, or a file with one"
    )
    colours: ColourTable | None = Field(
        None, description="of masks that are colours: red, green and blue of each class by name; or a file with them"
    )

    @property
    def label_keys(self) -> dict[str, Any]:
        """As :attr:`DataConfig.label_keys`."""
        keys = {key: value for key in ("names", "colours") if (value := getattr(self, key)) is not None}
        return {**super().label_keys, **keys}

    @model_validator(mode="after")
    def _one_table(self) -> Self:
        if self.names is not None and self.colours is not None:
            raise ValueError("names are of masks of ids, colours of masks of colours; give one of the two")
        return self

    def kinds(self, default: Mapping[int, str] | None = None) -> Kinds:
        """What the values of the masks mean; ``default``: the format's own names."""
        table = dict(default) if default else None
        if self.colours is not None:
            table = dict(enumerate(self.colours))
        elif self.names is not None:
            table = by_id(self.names)
        if table is None and self.map:  # ids have no names: they are their own
            bad = next((key for key in self.map if not re.fullmatch(r"[0-9]{1,3}", key) or int(key) > _MOST), None)
            if bad is not None:
                raise DataError(
                    f"map: {bad!r} is no class id, and the masks of format {self.format} have no names; give names too"
                )
            found: dict[int, str | None] | None = {int(key): value for key, value in self.map.items()}
        else:
            found = None if table is None else naming.changed(table, self.map, f"format {self.format}")
        colours = None if self.colours is None else tuple(self.colours.values())
        return Kinds(found, colours, self.unlisted == "drop")


@dataclass(frozen=True)
class Kinds:
    """``names`` of the ids, None: they have none; ``colours`` of the ids 0, 1, ..., None: masks hold ids.

    ``drop``: other colours are left out: they get the id 255, which has no name.
    """

    names: Mapping[int, str | None] | None = None
    colours: tuple[Colour, ...] | None = None
    drop: bool = False

    @property
    def reader(self) -> Callable[[Path, Array], NDArray[np.uint8]] | None:
        """What makes ids of a mask's colours; None: it holds ids."""
        return None if self.colours is None else self.ids

    def ids(self, path: Path, pixels: Array) -> NDArray[np.uint8]:
        """Class ids ``(H, W)`` of a coloured mask, uint8 RGB ``(H, W, 3)``.

        Raises:
            DataError: a pixel has a colour that no class has.
        """
        wide = pixels.astype(np.uint32)
        codes = wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
        present, places = np.unique(codes, return_inverse=True)
        known = {red << 16 | green << 8 | blue: i for i, (red, green, blue) in enumerate(self.colours or ())}
        table = np.array([known.get(code, _MOST) for code in present.tolist()], np.uint8)
        odd = [code for code in present.tolist() if code not in known]
        if odd and not self.drop:
            colour = [odd[0] >> 16, odd[0] >> 8 & 255, odd[0] & 255]
            raise DataError(
                f"{path}: {int((codes == odd[0]).sum())} pixels have the colour {colour}, which no class has, "
                f"one of {len(odd)} such colours; add it to colours, or leave such pixels out with unlisted: drop"
            )
        return np.asarray(table[places.reshape(codes.shape)], np.uint8)


ALL_IDS = Kinds()
