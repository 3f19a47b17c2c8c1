"""Which names of rclpy a module uses, and which of them a recorded rclpy has not."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

GOLDEN = Path(__file__).parents[1] / "golden" / "ros2"
DISTRIBUTIONS = ("humble", "jazzy", "kilted")
_CAUGHT = {"ImportError", "ModuleNotFoundError", "AttributeError", "TypeError"}


@dataclass(frozen=True)
class Use:
    """``name`` in full where it is imported (rclpy.qos.QoSProfile), else a member of something (.create_timer).

    ``keywords`` are the names of a call's arguments; ``guarded``: the code also runs without the name.
    """

    line: int
    name: str
    keywords: tuple[str, ...] = ()
    guarded: bool = False


@cache
def recorded(distribution: str) -> dict[str, list[str] | str | None]:
    """Public names of rclpy of a distribution; see record_rclpy."""
    names: dict[str, list[str] | str | None] = json.loads((GOLDEN / f"rclpy_{distribution}.json").read_text())["names"]
    return names


@cache
def _members(distribution: str) -> dict[str, set[str]]:
    """Last parts of names, with the parameters of all that are called so; ``**`` among them: any."""
    found: dict[str, set[str]] = {}
    for name, value in recorded(distribution).items():
        found.setdefault(name.rpartition(".")[2], set()).update(value if isinstance(value, list) else ())
    return found


def uses(tree: ast.Module) -> list[Use]:
    """Names that the module imports of rclpy, members of them, and calls and attributes that are called like some."""
    imported = _imports(tree)
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    found = [use for node, guarded in _walk(tree, False) for use in _of(node, imported, guarded, id(node) in inner)]
    return list(dict.fromkeys(found))


def lacking(use: Use, distribution: str) -> str | None:
    """What the distribution lacks of a use, or None."""
    if use.name.startswith("."):
        return _lacking_member(use, distribution)
    given = _resolved(use.name, distribution)
    if given is _ABSENT:
        return use.name
    if isinstance(given, list) and not any(one.startswith("**") for one in given):
        return next((f"{use.name}({keyword}=)" for keyword in use.keywords if keyword not in given), None)
    return None


_ABSENT = object()


def _resolved(name: str, distribution: str) -> object:
    """What is recorded of a name, through what modules import from each other."""
    names = recorded(distribution)
    for _ in range(10):
        if name in names:
            value = names[name]
            if not isinstance(value, str) or value == "?":
                return value
            name = value.removeprefix("=")
            continue
        owner, _, last = name.rpartition(".")
        if f"{owner}.*" in names:
            name = str(names[f"{owner}.*"]).removeprefix("=").replace("*", last)
        elif isinstance(names.get(owner), str):
            if names[owner] == "?":
                return None
            name = f"{str(names[owner]).removeprefix('=')}.{last}"
        else:
            return _ABSENT
    return _ABSENT


def _lacking_member(use: Use, distribution: str) -> str | None:
    """Only what some rclpy calls so can be one of rclpy; a keyword must be known of something with that name."""
    name = use.name.removeprefix(".")
    if not any(name in _members(one) for one in DISTRIBUTIONS):
        return None
    if name not in _members(distribution):
        return name
    known = _members(distribution)[name]
    if any(one.startswith("**") for one in known):
        return None
    young = [one for one in use.keywords if any(one in _members(other)[name] for other in _having(name))]
    return next((f"{name}({keyword}=)" for keyword in young if keyword not in known), None)


def _having(name: str) -> list[str]:
    return [one for one in DISTRIBUTIONS if name in _members(one)]


def _imports(tree: ast.Module) -> dict[str, str]:
    """What names of the module stand for; one that comes from several places, an older and a younger, for none."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "rclpy":
            for one in node.names:
                found.setdefault(one.asname or one.name, set()).add(f"{node.module}.{one.name}")
        elif isinstance(node, ast.Import):
            for one in node.names:
                if one.name.split(".")[0] == "rclpy":
                    found.setdefault(one.asname or "rclpy", set()).add(one.name if one.asname else "rclpy")
    return {name: places.pop() for name, places in found.items() if len(places) == 1}


def _walk(node: ast.AST, guarded: bool) -> Iterator[tuple[ast.AST, bool]]:
    """Every node, and whether it stands where a missing name is expected."""
    yield node, guarded
    for field, value in ast.iter_fields(node):
        inside = guarded or (field in ("body", "handlers") and _guards(node))
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _walk(child, inside)


def _guards(node: ast.AST) -> bool:
    if isinstance(node, ast.Try):
        caught = {name.id for one in node.handlers for name in ast.walk(one.type or node) if isinstance(name, ast.Name)}
        return bool(caught & _CAUGHT)
    asked = {"hasattr", "signature"}
    return isinstance(node, ast.If | ast.IfExp) and any(
        isinstance(one, ast.Name | ast.Attribute) and getattr(one, "id", getattr(one, "attr", "")) in asked
        for one in ast.walk(node.test)
    )


def _of(node: ast.AST, imported: dict[str, str], guarded: bool, inner: bool) -> Iterator[Use]:
    if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "rclpy":
        yield from (Use(node.lineno, f"{node.module}.{one.name}", (), guarded) for one in node.names)
    elif isinstance(node, ast.Import):
        yield from (Use(node.lineno, one.name, (), guarded) for one in node.names if one.name.startswith("rclpy"))
    elif isinstance(node, ast.Attribute):
        name = _full(node, imported)
        if name.startswith(".") or not inner:  # of rclpy.a.b only the whole
            yield Use(node.lineno, name, (), guarded)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
        keywords = tuple(one.arg for one in node.keywords if one.arg)
        name = _full(node.func, imported)
        if keywords and name:
            yield Use(node.lineno, name, keywords, guarded)


def _full(node: ast.Attribute | ast.Name, imported: dict[str, str]) -> str:
    """``rclpy...`` where the name begins with an imported one, else ``.member``; a plain name of others is empty."""
    parts: list[str] = []
    inner: ast.expr = node
    while isinstance(inner, ast.Attribute):
        parts.append(inner.attr)
        inner = inner.value
    if isinstance(inner, ast.Name) and inner.id in imported:
        return ".".join([imported[inner.id], *reversed(parts)])
    return f".{node.attr}" if isinstance(node, ast.Attribute) else ""
