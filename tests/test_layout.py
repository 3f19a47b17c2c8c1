"""The tree keeps its rules: few rooms, imports without a circle, and what begins with an underscore stays inside."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "edgekit"
MOST_ROOMS = 30
COMING = {"prune", "distill", "ros2_node", "search", "images"}
"""Rooms that come on top of the 30."""
NO_ROOMS = {"__init__", "__main__", "py.typed", "__pycache__"}
CODE = ("src", "tests", "benchmarks", "examples")
MOST_LINES = 400


def rooms() -> set[str]:
    return {path.stem for path in SOURCE.iterdir()} - NO_ROOMS - {"py"}


def python_files(*folders: str) -> list[Path]:
    return [path for folder in folders or CODE for path in sorted((ROOT / folder).rglob("*.py"))]


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything of edgekit or the tests that a file imports, inside functions too."""
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module:
            named = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        else:
            continue
        yield from ((node.lineno, name) for name in named if name.split(".")[0] in ("edgekit", "tests"))


def home_of(path: Path) -> tuple[str, ...]:
    """The folder whose private names a file may use, from the package down; a test uses those of what it mirrors."""
    if path.is_relative_to(SOURCE):
        return ("edgekit", *path.parent.relative_to(SOURCE).parts)
    if path.is_relative_to(ROOT / "tests"):
        return ("edgekit", *path.parent.relative_to(ROOT / "tests").parts)
    return ()


def private_owner(name: str) -> tuple[str, ...] | None:
    """The folder, or the module, that a private part of ``name`` belongs to; None: all of it is public."""
    parts = name.split(".")
    for place, part in enumerate(parts):
        if part.startswith("_") and not part.startswith("__"):
            return tuple(parts[:place])
    return None


def test_there_are_few_rooms() -> None:
    found = rooms() - COMING
    assert len(found) <= MOST_ROOMS, f"{len(found)} rooms; at most {MOST_ROOMS}: {sorted(found)}"


def test_what_begins_with_an_underscore_is_imported_in_its_folder_only() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in python_files("src", "tests")
        for line, name in imports(path)
        if (owner := private_owner(name)) is not None and home_of(path)[: len(owner)] != owner
    ]
    assert not wrong, "private to another folder; make it public, or move what uses it:\n" + "\n".join(wrong)


@pytest.mark.parametrize(
    ("file", "name", "inside"),
    [
        ("src/edgekit/data/camvid.py", "edgekit.data._files", True),
        ("src/edgekit/data/rendered/classic.py", "edgekit.data._files", True),
        ("tests/data/test_images.py", "edgekit.data._files", True),
        ("src/edgekit/tasks/segmentation.py", "edgekit.data._files", False),
        ("tests/core/test_textfile.py", "edgekit.data._records", False),
        ("src/edgekit/engine/trt/__init__.py", "edgekit.engine.ort._PROBE", False),
        ("tests/engine/trt/test_conformance.py", "tests.support.fake_gpu._names", False),
    ],
)
def test_whose_a_private_name_is(file: str, name: str, inside: bool) -> None:
    owner = private_owner(name)
    assert owner is not None
    assert (home_of(ROOT / file)[: len(owner)] == owner) is inside


def arrows() -> dict[str, set[str]]:
    """Which room imports which others, by what stands in the files, those for annotations too."""
    known = rooms()
    found: dict[str, set[str]] = {room: set() for room in known}
    for path in SOURCE.rglob("*.py"):
        room = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        if room in known:
            named = {name.split(".")[1] for _, name in imports(path) if name.startswith("edgekit.")}
            found[room] |= (named & known) - {room}
    return found


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Nodes that lead back to the first of them; empty: there are none."""
    left = {node: set(to) for node, to in graph.items()}
    while ends := [node for node, to in left.items() if not to & left.keys()]:
        for node in ends:
            del left[node]
    if not left:
        return []
    way = [min(left)]
    while way.count(way[-1]) == 1:
        way.append(min(left[way[-1]] & left.keys()))
    return way[way.index(way[-1]) :]


def test_rooms_import_each_other_in_no_circle() -> None:
    found = circle(arrows())
    assert not found, " -> ".join(found)


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) == ["b", "c", "b"]


def test_no_file_is_long() -> None:
    lines = {path: len(path.read_text("utf-8").splitlines()) for path in python_files()}
    long = {str(path.relative_to(ROOT)): count for path, count in lines.items() if count > MOST_LINES}
    assert not long, f"more than {MOST_LINES} lines: {long}"
