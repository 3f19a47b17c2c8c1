"""Every key and every named value that the schema of a task knows, each in a section that may have it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from edgekit.core.spec import TaskSection

_BASES: dict[str, dict[str, Any]] = {
    "antispoofing": {"output": ["y"], "classes": ["a", "b"], "live_class": 1, "threshold": 0.5, "attacks": ["print"]},
    "classification": {"output": "y", "classes": ["a", "b"]},
    "detection": {"output": "y", "classes": ["a", "b"], "family": "yolox"},
    "embedding": {"output": "y"},
    "multitask": {"tasks": {"one": {"kind": "embedding", "output": "y"}}},
    "outputs": {"output": "y"},
    "regression": {"output": "y", "points": ["a"], "coordinates": "original"},
    "segmentation": {"output": "y", "classes": ["a", "b"]},
}


def _values(schema: Mapping[str, Any], of: Mapping[str, Any]) -> Iterator[Any]:
    """The named values of one key, behind references and alternatives."""
    if "$ref" in schema:
        yield from _values(of["$defs"][schema["$ref"].rsplit("/", 1)[1]], of)
    for other in schema.get("anyOf", []):
        yield from _values(other, of)
    yield from schema.get("enum", [])
    if schema.get("type") == "boolean":
        yield from (True, False)


def _properties(schema: Mapping[str, Any], of: Mapping[str, Any]) -> Mapping[str, Any]:
    """Those of a nested section, or none."""
    if "$ref" in schema:
        return _properties(of["$defs"][schema["$ref"].rsplit("/", 1)[1]], of)
    found: Mapping[str, Any] = schema.get("properties", {})
    return found


def walk() -> dict[str, Any]:
    """``sections``: each value in a section, and whether edgekit takes it; ``keys``: those of each kind."""
    adapter: TypeAdapter[Any] = TypeAdapter(TaskSection)
    sections, keys = [], {}
    for kind, base in _BASES.items():
        schema = importlib.import_module(f"edgekit.tasks.{kind}").Config.model_json_schema()
        keys[kind] = {"base": {"kind": kind, **base}, "keys": sorted(schema["properties"])}
        for key, given in schema["properties"].items():
            inner = _properties(given, schema)
            for name, part in inner.items():
                for value in _values(part, schema):
                    sections.append(_tried(adapter, {"kind": kind, **base, key: {name: value}}, f"{key}.{name}", value))
            for value in _values(given, schema) if key != "kind" else ():
                sections.append(_tried(adapter, {"kind": kind, **base, key: value}, key, value))
    return {"sections": sections, "keys": keys}


def _tried(adapter: TypeAdapter[Any], section: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    try:
        adapter.validate_python(section).create()
    except ValidationError:
        return {"section": section, "key": key, "value": value, "taken": False}
    return {"section": section, "key": key, "value": value, "taken": True}
