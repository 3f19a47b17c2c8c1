"""The names of classes, in the order of their ids: for tasks, and for datasets that turn names into ids."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, TypeAdapter, ValidationInfo
from pydantic_core import core_schema

from edgekit.core.spec import SpecPath
from edgekit.core.textfile import read_text

_PATH: TypeAdapter[Path] = TypeAdapter(SpecPath)
_FORM = 'a list of names or {"names": [...]}'


def _names(most: int, fewest: int = 2) -> core_schema.WithInfoValidatorFunction:
    """A validator of ``fewest`` to ``most`` names."""

    def names(value: Any, info: ValidationInfo) -> tuple[str, ...]:
        """Names from a list, or from the JSON file a path names: a bundle then holds the names, not a path."""
        where = ""
        if isinstance(value, str | Path):
            path = _PATH.validate_python(value, context=info.context)
            where, value = f"{path}: ", _read_json(path)
            if isinstance(value, dict) and "names" in value:
                value = value["names"]
        if not isinstance(value, list | tuple) or not all(isinstance(name, str) and name.strip() for name in value):
            raise ValueError(f"{where}expected {_FORM}, each name a text that is not empty")
        if not fewest <= len(value) <= most:
            hint = "; a background counts as a class" if fewest > 1 else ""
            raise ValueError(f"{where}expected {fewest} to {most} class names, found {len(value)}{hint}")
        seen: set[str] = set()
        for name in value:
            if name in seen:
                raise ValueError(f"{where}the class name {name!r} is there twice; each class has a name of its own")
            seen.add(name)
        return tuple(value)

    return names


def _read_json(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; expected a JSON file with {_FORM}, or the list itself") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}: not valid JSON: {error.msg}; expected {_FORM}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as UTF-8 text: {error}") from error


ClassNames = Annotated[tuple[str, ...], BeforeValidator(_names(256), json_schema_input_type=str | list[str])]
"""2 to 256 names, so that an id fits a uint8 mask: a list, or a JSON file with one."""

MaskNames = Annotated[tuple[str, ...], BeforeValidator(_names(256, 1), json_schema_input_type=str | list[str])]
"""1 to 256 names: as :data:`ClassNames`, where one name may stand for it and all the rest."""

ManyClassNames = Annotated[tuple[str, ...], BeforeValidator(_names(4096), json_schema_input_type=str | list[str])]
"""2 to 4096 names (a confusion matrix is then at most 128 MiB): a list, or a JSON file with one."""

ObjectNames = Annotated[tuple[str, ...], BeforeValidator(_names(4096, 1), json_schema_input_type=str | list[str])]
"""1 to 4096 names, as detectors of one kind of object have no background class: a list, or a JSON file with one."""
