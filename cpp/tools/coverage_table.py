"""What a spec can name and the C++ runtime takes, as a table of docs/cpp.md.

    PYTHONPATH=src python cpp/tools/coverage_table.py build/cpp/cases [--check]

Walks the JSON Schema of every kind of input and task that edgekit has itself, and asks for each value that it can name
whether a case of the C++ tests holds it to Python (`cpp/test/cases`).  A value that no case has, and that is not
refused by name, is an error; so is, with ``--check``, a table that is not the one in the docs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgekit.core import pixels, plugins

DOCS = Path(__file__).resolve().parents[2] / "docs" / "cpp.md"
Key = tuple[str, str]
BEGIN, END = "<!-- coverage: cpp/tools/coverage_table.py writes what follows -->", "<!-- coverage ends -->"
REFUSED: dict[Key, set[str]] = {
    ("frame", "encoding"): {name for name in pixels.ENCODINGS if name.startswith("bayer_") and "16" in name},
    ("image", "dtype"): {"bool"},  # as the spec does
    ("frame_size", "dtype"): {"uint8", "bool"},
}
"""Values that are refused by name; the tests of the room hold it to that."""
UNHELD: dict[Key, set[str]] = {("antispoofing", "activation"): {"sigmoid"}}
"""Values that are taken although no case holds them to Python yet."""
UNREAD: dict[Key, str] = {
    ("regression", "normalise"): "evaluation only",
    ("embedding", "templates"): "evaluation only",
    ("multitask", "truth"): "evaluation only",
    ("multitask", "loss_weights"): "training only",
}
"""Keys that decide nothing in a runtime."""


def choices(schema: dict[str, Any], named: dict[str, Any]) -> list[str]:
    """The values that a property can name, as JSON: enumerations and constants; none: any text, number or list."""
    if "$ref" in schema:
        return choices(named[schema["$ref"].rsplit("/", 1)[1]], named)
    found = list(schema.get("enum", [schema["const"]] if "const" in schema else []))
    if schema.get("type") == "boolean" and not found:
        found = [False, True]
    listed = [json.dumps(value) for value in found]
    for one in schema.get("anyOf", []):
        listed += choices(one, named)
    return list(dict.fromkeys(listed))


def keys_of(schema: dict[str, Any], named: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Keys with their schemas; those of a mapping within are ``outer.inner``."""
    for key, one in schema.get("properties", {}).items():
        inner = [one, *one.get("anyOf", [])]
        mapped = [named[part["$ref"].rsplit("/", 1)[1]] for part in inner if "$ref" in part]
        mapped = [part for part in mapped if part.get("properties")]
        yield prefix + key, one
        for part in mapped:
            yield from keys_of(part, named, f"{prefix}{key}.")


def spec() -> dict[Key, list[str]]:
    """Every key of every kind, and the values that it can name as JSON."""
    found: dict[Key, list[str]] = {}
    for room in ("inputs", "tasks"):
        for kind in plugins.names(room):
            schema = plugins.load(room, kind).Config.model_json_schema()
            named = schema.get("$defs", {})
            for key, one in keys_of(schema, named):
                found[kind, key] = choices(one, named)
    found["frame", "encoding"] = [json.dumps(name) for name in pixels.ENCODINGS]
    return found


def _value(section: Any, key: str) -> Any:
    for part in key.split("."):
        section = section.get(part) if isinstance(section, dict) else None
    return section


def _nested(task: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield task
    for one in task.get("tasks", {}).values() if isinstance(task.get("tasks"), dict) else ():
        yield from _nested(one)


def sections(cases: Path) -> Iterator[dict[str, Any]]:
    """What every case that Python computes, and so C++ must, names."""
    for file in (cases / "preprocess" / "cases.json", *sorted((cases / "decode").glob("*.json"))):
        listed = json.loads(file.read_text())
        for case in listed if isinstance(listed, list) else ():
            if "error" in case or "refused" in case:
                continue
            yield from case.get("section", {}).values()
            yield from ({"kind": "frame", **source} for source in case.get("sources", ()) if "encoding" in source)
            if "task" in case:
                yield from _nested(case["task"])


def held(cases: Path, known: dict[Key, list[str]]) -> dict[Key, set[str]]:
    """The values that cases have; of a key that a section leaves out, its default."""
    defaults: dict[Key, str] = {}
    for room in ("inputs", "tasks"):
        for kind in plugins.names(room):
            schema = plugins.load(room, kind).Config.model_json_schema()
            for key, one in keys_of(schema, schema.get("$defs", {})):
                if "default" in one:
                    defaults[kind, key] = json.dumps(one["default"])
    found: dict[Key, set[str]] = {key: set() for key in known}
    for section in sections(cases):
        kind = section.get("kind", "image")
        for place, values in found.items():
            if place[0] == kind:
                value = _value(section, place[1])
                values.add(defaults.get(place, "null") if value is None else json.dumps(value))
    return found


def table(cases: Path) -> tuple[str, list[str]]:
    """The table, and what no case has."""
    known = spec()
    has = held(cases, known)
    lines, lacking = ["| kind | key | what C++ takes |", "|---|---|---|"], []
    free: dict[str, list[str]] = {}
    for (kind, key), values in known.items():
        if not values and (kind, key) not in UNREAD:
            free.setdefault(kind, []).append(key)
    for kind, keys in free.items():
        lines.append(f"| {kind} | {', '.join(keys)} | any value that the spec allows |")
    for (kind, key), values in known.items():
        if (kind, key) in UNREAD:
            lines.append(f"| {kind} | {key} | not read: {UNREAD[kind, key]} |")
            continue
        refused, unheld = (
            [value for value in values if json.loads(value) in listed.get((kind, key), ())]
            for listed in (REFUSED, UNHELD)
        )
        missing = [value for value in values if value not in (*has[kind, key], *refused, *unheld)]
        lacking += [f"{kind}.{key}: {value}" for value in missing]
        shown = ", ".join(f"`{json.loads(value)}`" for value in values if value not in (*refused, *unheld))
        if refused:
            shown += "; refused by name: " + ", ".join(f"`{json.loads(value)}`" for value in refused)
        if unheld:
            shown += "; without a case: " + ", ".join(f"`{json.loads(value)}`" for value in unheld)
        if key != "kind" and values:
            lines.append(f"| {kind} | {key} | {shown} |")
    return "\n".join(lines), lacking


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cases", type=Path)
    parser.add_argument("--check", action="store_true", help="change nothing; 1: the docs have another table")
    args = parser.parse_args()
    made, lacking = table(args.cases)
    if lacking:
        print("no case of cpp/test/cases has " + "; ".join(lacking), file=sys.stderr)
        return 1
    before, rest = DOCS.read_text().split(BEGIN)
    wanted = f"{before}{BEGIN}\n\n{made}\n\n{END}{rest.split(END)[1]}"
    if args.check and wanted != DOCS.read_text():
        print(f"{DOCS} has another table: run cpp/tools/coverage_table.py {args.cases}", file=sys.stderr)
        return 1
    if not args.check:
        DOCS.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
