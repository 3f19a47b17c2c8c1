"""Images with numbers beside them: a CSV or JSON table of angles, landmarks or any other values by name."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from typing_extensions import Self

from edgekit.core.artifacts import sha256_file
from edgekit.core.errors import DataError
from edgekit.core.spec import SpecPath
from edgekit.core.suggest import allowed
from edgekit.data import DataConfig, _files, _frames, _records
from edgekit.data._frames import Frame, FrameFiles

FILE_COLUMNS = ("file", "image", "filename", "file_name", "path")
_AXES = "xyz"
Row = tuple[str, str, Mapping[str, Any]]
"""Where an entry stands, its file, and its other fields."""


class Config(DataConfig):
    """The frames that ``labels`` lists, in its order.

    CSV (commas, semicolons or tabs) with a line of column names: one column holds the file, as a path below
    ``root``; columns of numbers are the truth, the others metadata.  An empty cell is a missing label.  JSON: a list
    of such objects, or an object of file to fields, to a list of numbers or to one number; ``names`` are those of the
    numbers then.  A list under a field ``k`` becomes ``k0``, ``k1`` ...; a list of points ``k0_x``, ``k0_y`` ...
    """

    format: Literal["image_values"] = "image_values"
    root: SpecPath
    labels: SpecPath
    file: str | None = Field(None, description="the column of the file; default: file, image, filename or path")
    names: tuple[str, ...] | None = Field(None, description="of numbers that have none, or: only these are the truth")
    metadata: tuple[str, ...] = Field((), description="columns of numbers that are no truth but tell frames apart")
    limit: int | None = Field(default=None, ge=1)

    def relocated(self, root: Path) -> Self:
        """The same two paths below ``root``, the folder that holds both."""
        labels, images = _frames.moved(root, self.labels, self.root)
        return self.model_copy(update={"labels": labels, "root": images})

    def open(self) -> ImageValues:
        return ImageValues(self)


class ImageValues(FrameFiles):
    """Frames with a mapping from names to numbers (NaN: not labelled); the id is the file's name below the root.

    Raises:
        DataError: the table cannot be read, lists no frame or one twice, or a value is no number.
    """

    name = "image_values"

    def __init__(self, config: Config) -> None:
        _files.require_folder(config.root, "root")
        self.table = config.labels
        rows = list(_json(config) if config.labels.suffix.lower() == ".json" else _csv(config))
        if not rows:
            raise DataError(f"{config.labels}: lists no frame; expected one entry a frame")
        texts = _texts(rows, config)
        self.values: list[dict[str, float]] = []
        frames = []
        for place, (where, file, fields) in enumerate(rows):
            metadata = {key: str(value) for key, value in fields.items() if key in texts and value not in ("", None)}
            self.values.append(_truth({k: v for k, v in fields.items() if k not in texts}, where, config))
            path = _records.inside(config.root, file, where)
            frames.append(Frame(path, _frames.frame_id(config.root, path), place, where, None, metadata))
        settings = config.model_dump(mode="json", include={"file", "names", "metadata"})
        super().__init__(config.root, frames, config.limit, settings)

    def truth(self, frame: Frame, size: tuple[int, int]) -> tuple[dict[str, float], Mapping[str, str]]:
        return dict(self.values[frame.row]), {}

    def labels(self) -> str:
        return sha256_file(self.table)


def _csv(config: Config) -> Iterator[Row]:
    path = config.labels
    lines = _records.read_lines(path, "labels")
    if not lines:
        return
    head = lines[0][1]
    delimiter = max(",;\t", key=head.count)
    columns = [name.strip() for name in next(csv.reader([head], delimiter=delimiter))]
    twice = next((name for i, name in enumerate(columns) if name in columns[:i]), None)
    if twice is not None:
        raise DataError(f"{path}:{lines[0][0]}: the column {twice!r} is there twice; give each a name of its own")
    file = _file_column(columns, f"{path}:{lines[0][0]}", config)
    for number, line in lines[1:]:
        cells = [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))]
        if len(cells) != len(columns):
            raise DataError(f"{path}:{number}: has {len(cells)} columns; expected {len(columns)}: {', '.join(columns)}")
        row = dict(zip(columns, cells, strict=True))
        yield f"{path}:{number}", row.pop(file), row


def _file_column(columns: list[str], where: str, config: Config) -> str:
    given = (config.file,) if config.file is not None else FILE_COLUMNS
    found = next((name for name in given if name in columns), None)
    if found is None:
        raise DataError(
            f"{where}: no column {' or '.join(map(repr, given))}, which holds the image's file; set the key 'file': "
            f"{allowed(given[0], tuple(columns))}"
        )
    return found


def _json(config: Config) -> Iterator[Row]:
    path = config.labels
    document = _records.read_json(path, "labels")
    if isinstance(document, dict):
        for file, value in document.items():
            yield (
                f"{path}: {file}",
                file,
                value if isinstance(value, dict) else _named(value, f"{path}: {file}", config),
            )
        return
    if not isinstance(document, list):
        raise DataError(f"{path}: expected a list of objects, or an object of file to values")
    for place, entry in enumerate(document):
        where = f"{path}[{place}]"
        fields = dict(_records.record(entry, where))
        file = _file_column(list(fields), where, config)
        yield where, _records.field(fields, file, str, where), {k: v for k, v in fields.items() if k != file}


def _named(value: Any, where: str, config: Config) -> dict[str, Any]:
    """Numbers without names, by the names of the spec."""
    numbers = _flat(value) if isinstance(value, list) else [value]
    if config.names is None or len(config.names) != len(numbers):
        given = "none" if config.names is None else str(len(config.names))
        raise DataError(f"{where}: {len(numbers)} values without names; give the key 'names' as many, found {given}")
    return dict(zip(config.names, numbers, strict=True))


def _flat(value: list[Any]) -> list[Any]:
    return [x for part in value for x in (_flat(part) if isinstance(part, list) else [part])]


def _texts(rows: list[Row], config: Config) -> set[str]:
    """The fields that are metadata: those with a text that is no number anywhere, and those that the spec names."""
    keys = dict.fromkeys(key for _, _, fields in rows for key in fields)
    unknown = next((key for key in config.metadata if key not in keys), None)
    if unknown is not None:
        raise DataError(f"{config.labels}: metadata: no column {unknown!r}; {allowed(unknown, tuple(keys))}")
    wanted = set(config.names or ())
    return {
        key
        for key in keys
        if key in config.metadata
        or (key not in wanted and any(_is_text(fields.get(key), key) for _, _, fields in rows))
    }


def _is_text(value: Any, key: str) -> bool:
    if not isinstance(value, str) or not value:
        return isinstance(value, bool)
    try:
        _records.numeral(value, "", key)
    except DataError:
        return True
    return False


def _truth(fields: Mapping[str, Any], where: str, config: Config) -> dict[str, float]:
    found: dict[str, float] = {}
    for key, value in fields.items():
        for name, one in _parts(key, value):
            if name in found:
                raise DataError(f"{where}: {name!r} is there twice; give each value a name of its own")
            found[name] = _number(one, where, name)
    if config.names is None:
        return found
    missing = next((name for name in config.names if name not in found), None)
    if missing is not None:
        raise DataError(f"{where}: has no {missing!r}, which the key 'names' lists; {allowed(missing, tuple(found))}")
    return {name: found[name] for name in config.names}


def _parts(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """A field's numbers with their names: lists are counted from 0, points have axes."""
    if not isinstance(value, list):
        yield key, value
        return
    for place, part in enumerate(value):
        if not isinstance(part, list):
            yield f"{key}{place}", part
        elif len(part) <= len(_AXES):
            yield from ((f"{key}{place}_{axis}", one) for axis, one in zip(_AXES, part, strict=False))
        else:
            yield from ((f"{key}{place}_{i}", one) for i, one in enumerate(part))


def _number(value: Any, where: str, name: str) -> float:
    if value is None or value == "":
        return float("nan")
    return _records.numeral(value, where, name) if isinstance(value, str) else _records.number(value, where, name)
