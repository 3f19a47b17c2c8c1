"""The names of a model's classes, in the order of their ids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, TypeAdapter, ValidationInfo

from edgekit.core.spec import SpecPath

_PATH: TypeAdapter[Path] = TypeAdapter(SpecPath)
_FORM = 'a list of names or {"names": [...]}'


def _names(value: Any, info: ValidationInfo) -> tuple[str, ...]:
    """Names from a list, or from the JSON file a path names: a bundle then holds the names, not a path."""
    where = ""
    if isinstance(value, str | Path):
        path = _PATH.validate_python(value, context=info.context)
        where, value = f"{path}: ", _read_json(path)
        if isinstance(value, dict) and "names" in value:
            value = value["names"]
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) and name.strip() for name in value):
        raise ValueError(f"{where}expected {_FORM}, each name a text that is not empty")
    if not 2 <= len(value) <= 256:
        raise ValueError(f"{where}expected 2 to 256 class names, found {len(value)}; a background counts as a class")
    twice = next((name for i, name in enumerate(value) if name in value[:i]), None)
    if twice is not None:
        raise ValueError(f"{where}the class name {twice!r} is there twice; each class has a name of its own")
    return tuple(value)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; expected a JSON file with {_FORM}, or the list itself") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}: not valid JSON: {error.msg}; expected {_FORM}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as UTF-8 text: {error}") from error


ClassNames = Annotated[tuple[str, ...], BeforeValidator(_names, json_schema_input_type=str | list[str])]
"""2 to 256 names: a list, or a JSON file with one."""
