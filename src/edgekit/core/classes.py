"""The names of classes, in the order of their ids: for tasks, and for datasets that turn names into ids."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, TypeAdapter, ValidationInfo
from pydantic_core import core_schema

from edgekit.core.spec import SpecPath
from edgekit.core.textfile import read_text

_PATH: TypeAdapter[Path] = TypeAdapter(SpecPath)
_FORM = 'a list of names or {"names": [...]}'


def _names(most: int, fewest: int = 2, alone: bool = False) -> core_schema.WithInfoValidatorFunction:
    """A validator of ``fewest`` to ``most`` names; ``alone`` lets a single one pass, for the task to judge."""

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
        if not fewest <= len(value) <= most and not (alone and len(value) == 1):
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

MaskNames = Annotated[tuple[str, ...], BeforeValidator(_names(256, alone=True), json_schema_input_type=str | list[str])]
"""As :data:`ClassNames`; one name passes too, where it may stand for its class beside all the rest."""

ManyClassNames = Annotated[tuple[str, ...], BeforeValidator(_names(4096), json_schema_input_type=str | list[str])]
"""2 to 4096 names (a confusion matrix is then at most 128 MiB): a list, or a JSON file with one."""

ObjectNames = Annotated[tuple[str, ...], BeforeValidator(_names(4096, 1), json_schema_input_type=str | list[str])]
"""1 to 4096 names, as detectors of one kind of object have no background class: a list, or a JSON file with one."""


def _table(value: Any, info: ValidationInfo) -> tuple[str, ...] | dict[int, str]:
    """Names by class id, from a list, a mapping, or the JSON or YAML file that a path names."""
    where = ""
    if isinstance(value, str | Path):
        path = _PATH.validate_python(value, context=info.context)
        where, value = f"{path}: ", _read_document(path)
        if isinstance(value, dict) and "names" in value:
            value = value["names"]
    pairs = list(value.items() if isinstance(value, dict) else enumerate(value)) if _iterable(value) else []
    wanted = f"{where}expected the class names: a list in the order of the class ids, or a mapping from ids to names"
    if not pairs:
        raise ValueError(f"{wanted}; {{0: person, 1: car}}")
    made: dict[int, str] = {}
    for key, name in pairs:
        if not re.fullmatch(r"[0-9]{1,9}", str(key)):
            raise ValueError(f"{wanted}; {str(key)!r} is no class id: expected a whole number of 0 or more")
        if not isinstance(name, str) or not name.strip():
            raise ValueError(f"{wanted}; the class {key} has the name {name!r}: write a text, in quotes if need be")
        if not isinstance(value, dict) and name in made.values():
            raise ValueError(f"{where}the class name {name!r} is there twice; each class has a name of its own")
        made[int(key)] = name
    made = dict(sorted(made.items()))
    return tuple(made.values()) if list(made) == list(range(len(made))) else made


def _iterable(value: Any) -> bool:
    return isinstance(value, list | tuple | dict)


def _read_document(path: Path) -> Any:
    """A JSON or YAML document; YAML is what ``data.yaml`` of detection data sets is."""
    if path.suffix.lower() not in (".yaml", ".yml"):
        return _read_json(path)
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(read_text(path))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; expected a YAML file with names, or the names themselves") from None
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise ValueError(f"{path}: cannot be read as YAML: {error}") from error


ClassTable = Annotated[
    tuple[str, ...] | dict[int, str],
    BeforeValidator(_table, json_schema_input_type=str | list[str] | dict[str, str]),
]
"""Names by class id: a list, a mapping (with gaps if need be), or a JSON or YAML file with one of them.

Ids of one name are one class.
"""


def by_id(table: tuple[str, ...] | dict[int, str]) -> dict[int, str]:
    """A :data:`ClassTable` as a mapping."""
    return dict(table) if isinstance(table, dict) else dict(enumerate(table))


def _changes(value: Any, info: ValidationInfo) -> Any:
    """A mapping of names, from the JSON or YAML file that a path names; ids become texts."""
    if isinstance(value, str | Path):
        path = _PATH.validate_python(value, context=info.context)
        value = _read_document(path)
    wanted = "expected a mapping from the data set's class names to the task's, {van: car, misc: null}"
    if not isinstance(value, dict):
        raise ValueError(f"{wanted}, or a JSON or YAML file with one")
    for name, target in value.items():
        if target is not None and not (isinstance(target, str) and target.strip()):
            raise ValueError(f"{wanted}; {str(name)!r} becomes {target!r}: write a text, in quotes if need be, or null")
    return {str(name): target for name, target in value.items()}


NameChanges = Annotated[
    dict[str, str | None], BeforeValidator(_changes, json_schema_input_type=str | dict[str, str | None])
]
"""The data set's class names to the task's, None: left out; or a JSON or YAML file with such a mapping."""
