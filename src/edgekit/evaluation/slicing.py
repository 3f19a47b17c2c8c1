"""Parts of the frames by their metadata: any column of the dataset, or of a table beside it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.core.errors import DataError, os_reason
from edgekit.core.textfile import read_text
from edgekit.evaluation.measurement import Column, Measurement

MOST_VALUES = 50
"""Distinct values of a column that still makes slices."""
_NUMBER = re.compile(r"[+-]?(?=\.?[0-9])(0|[1-9][0-9]{0,14})?(\.[0-9]*)?([eE][+-][0-9]{1,3})?")
"""As programs and people write numbers: no leading zeros, no exponent without a sign, no digits of other scripts."""
MOST_NUMBERS = 8
"""Distinct numbers that are each a slice; of more, quartiles are."""


def slices(measurement: Measurement) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """Column, value and the frames that have it, bool ``(frames,)``, for every column with 2 to 50 values.

    A column of more than eight distinct numbers (distance, speed) is cut at its quartiles, and a slice is named by the
    range of its numbers.  What the dataset calls a name (a class, a drive) is none, whatever it looks like, and neither
    is a text that no one would write for a number (``00017``, ``1e5``).  A frame without a value is in no slice of
    the column.
    """
    for column, values in sorted(measurement.columns.items()):
        named = values if column in measurement.identifiers else _binned(values)
        distinct = sorted({value for value in named if value is not None}, key=_place)
        if 2 <= len(distinct) <= MOST_VALUES:
            for value in distinct:
                yield column, value, np.array([name == value for name in named])


def _number(text: str | None) -> float | None:
    """The finite number that a text is, or None: ids with leading zeros, for example, are names."""
    value = float(text) if text and _NUMBER.fullmatch(text) else np.inf
    return value if np.isfinite(value) else None


def _place(value: str) -> tuple[float, str]:
    """Numbers, and ranges by their lower end, before and among texts."""
    number = _number(value.split(" to ")[0])
    return (float("inf") if number is None else number), value


def _binned(values: Column) -> Column:
    """Values as they are, or the range of the quartile that each number is in."""
    numbers = [_number(value) for value in values]
    known = [number for number, value in zip(numbers, values, strict=True) if value is not None and number is not None]
    if len(known) < sum(value is not None for value in values) or len(set(known)) <= MOST_NUMBERS:
        return values
    borders = np.unique(np.quantile(known, [0.25, 0.5, 0.75]))
    bins = [None if number is None else int(np.searchsorted(borders, number, "left")) for number in numbers]
    names = {}
    for place in {place for place in bins if place is not None}:
        inside = [number for number, of in zip(numbers, bins, strict=True) if of == place and number is not None]
        names[place] = f"{min(inside):.6g} to {max(inside):.6g}"
    return tuple(None if place is None else names[place] for place in bins)


def read_table(path: Path) -> dict[str, dict[str, str]]:
    """Frame id to column to value, of a CSV file (RFC 4180): a header, the ids in its first column.

    An empty cell says that the value is not known.

    Raises:
        DataError: the file cannot be read, has no column beside the ids, one without a name or a value, two of one
            name, a frame twice, or a row of another length.
    """
    try:
        rows = [row for row in csv.reader(io.StringIO(read_text(path)), strict=True) if row]
    except FileNotFoundError:
        raise DataError(
            f"metadata table {path}: no such file; name a CSV file: the frame id, then its columns"
        ) from None
    except OSError as error:
        raise DataError(f"metadata table {path}: cannot be read: {os_reason(error)}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"metadata table {path}: {error}; expected a CSV file in UTF-8") from error
    if not rows or len(rows[0]) < 2:
        raise DataError(f"metadata table {path}: expected a header: the frame id, then a column for each property")
    header, found = [name.strip() for name in rows[0]], {}
    for place, name in enumerate(header[1:], start=2):
        if not name or header.count(name) > 1:
            raise DataError(f"metadata table {path}: column {place} {name!r} needs a name of its own in the header")
        if not any(row[place - 1].strip() for row in rows[1:] if len(row) >= place):
            raise DataError(f"metadata table {path}: column {name!r} is empty; fill it, or take it out")
    for row in rows[1:]:
        if len(row) != len(header):
            raise DataError(f"metadata table {path}: the row of {row[0]!r} has {len(row)} cells, not {len(header)}")
        if row[0] in found:
            raise DataError(f"metadata table {path}: frame {row[0]!r} has two rows; keep one")
        found[row[0]] = {name: cell.strip() for name, cell in zip(header[1:], row[1:], strict=True)}
    return found


def joined(measurement: Measurement, table: Mapping[str, Mapping[str, str]]) -> Measurement:
    """The measurement with the table's columns; they come before the dataset's of the same name.

    Rows of frames that were not measured are not used.

    Raises:
        DataError: a measured frame has no row, or two measured frames share an id; names it.
    """
    _check_ids(measurement.frames, table)
    names = sorted({name for row in table.values() for name in row})
    added = {name: tuple(table[frame].get(name) or None for frame in measurement.frames) for name in names}
    return replace(measurement, columns={**measurement.columns, **added})


def _check_ids(frames: Sequence[str], table: Mapping[str, Mapping[str, str]]) -> None:
    missing = [frame for frame in frames if frame not in table]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise DataError(f"the metadata table has no row for frame {missing[0]!r}{more}; add it")
    seen: set[str] = set()
    for frame in frames:
        if frame in seen:
            raise DataError(f"two frames are called {frame!r}, so a metadata table cannot tell them apart")
        seen.add(frame)
