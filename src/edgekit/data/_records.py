"""Label files read from disk, checked field by field; every message names the place, the value and the fix."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from edgekit.core.errors import DataError, os_reason
from edgekit.core.textfile import read_text

# What float() takes beyond this (nan, 1_0, digits of other scripts) is a mistake in a label file.
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)

Kind = TypeVar("Kind")


def shown(value: object) -> str:
    """``value`` as it stands in a message: at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def read_json(path: Path, key: str) -> Any:
    """The document of a JSON file that the spec's ``key`` names.

    Raises:
        DataError: the file is missing, unreadable or no JSON.
    """
    content = _text(path, key)
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        place = f"{path}:{error.lineno}:{error.colno}"
        fix = "it may be cut short: copy it again from its source or write it anew"
        raise DataError(f"{place}: is not valid JSON: {error.msg.lower()}; {fix}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read as JSON: {error}; write it anew") from error


def read_lines(path: Path, key: str) -> list[tuple[int, str]]:
    """The lines of a text file that are not blank, with their numbers from 1.

    A byte order mark and Windows line ends are taken away.

    Raises:
        DataError: the file is missing, unreadable or no UTF-8 text.
    """
    lines = enumerate(map(str.strip, _text(path, key).split("\n")), start=1)
    return [(number, line) for number, line in lines if line]


def _text(path: Path, key: str) -> str:
    try:
        return read_text(path)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is no UTF-8 text: {error.reason} at byte {error.start}; save it as UTF-8") from error
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; point the key '{key}' to a file that exists, or restore it") from None
    except OSError as error:
        reason = os_reason(error)
        raise DataError(f"{path}: cannot be read: {reason}; the key '{key}' needs a readable file") from error


def inside(root: Path, name: str, where: str) -> Path:
    """``root / name``, where ``name`` comes from a label file.

    Raises:
        DataError: ``name`` is empty or leads out of ``root``.
    """
    parts = PurePosixPath(name)
    if not parts.name or parts.is_absolute() or ".." in parts.parts or "\\" in name or "\0" in name:
        raise DataError(
            f"{where}: the file name is {shown(name)}; expected one below {root}, with / between folders and no '..'"
        )
    return root / parts


def record(value: object, where: str) -> dict[str, Any]:
    """``value`` as a JSON object."""
    if not isinstance(value, dict):
        raise DataError(f"{where}: is {shown(value)}; expected a JSON object, {{...}}")
    return value


def field(entry: dict[str, Any], key: str, kind: type[Kind], where: str) -> Kind:
    """``entry[key]``, which has to be there and of ``kind`` (a bool is no int)."""
    if key not in entry:
        raise DataError(f"{where}: has no {key!r}; expected {_article(kind)}: write the labels with this field")
    value = entry[key]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise DataError(f"{where}: {key!r} is {shown(value)}; expected {_article(kind)}")
    return value


def _article(kind: type) -> str:
    return {int: "a whole number", str: "a text", list: "a list, [...]", dict: "a JSON object, {...}"}[kind]


def number(value: object, where: str, what: str) -> float:
    """``value`` of a JSON field as a finite float; a text that looks like a number is none."""
    kind = type(value)
    if kind is float or kind is int:
        try:
            found = float(value)  # type: ignore[arg-type]
        except OverflowError:
            found = math.inf
        if math.isfinite(found):
            return found
    raise DataError(f"{where}: {what} is {shown(value)}; expected a finite number: correct the labels")


def numeral(text: str, where: str, what: str) -> float:
    """The finite number that a column of a text file holds."""
    found = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(found):
        raise DataError(f"{where}: {what} is {shown(text)}; expected a finite number: correct the labels")
    return found


def flag(entry: dict[str, Any], key: str, where: str) -> bool:
    """``entry[key]`` that is true, false, 0 or 1; absent or null means false."""
    value = entry.get(key)
    if value is None or value is False or value is True:
        return bool(value)
    if type(value) is int and value in (0, 1):
        return bool(value)
    raise DataError(f"{where}: {key!r} is {shown(value)}; expected 0, 1, true or false")
