"""Records the public names of a checkout of rclpy: modules, classes, members, functions and their parameters.

python -m tests.support.record_rclpy FOLDER "WHERE IT IS FROM" > tests/golden/ros2/rclpy_DISTRIBUTION.json

Only names are read, by parsing; nothing is imported. What ``__init__`` sets and what the C++ part defines is not
among them, but for the names that a module gives to it.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path

Names = dict[str, "list[str] | str | None"]
"""Of a function: its parameters; of a name that is imported: ``=`` and what it stands for; of one that is set to a name
of C++, whose members cannot be read: ``?``; else None."""


def public_names(package: Path) -> Names:
    """Every public name below a package's folder, by its full name."""
    found: Names = {}
    for path in sorted(package.rglob("*.py")):
        parts = (package.name, *path.relative_to(package).with_suffix("").parts)
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[module] = None
        inside = module if path.name == "__init__.py" else module.rpartition(".")[0]
        found |= dict(_names(ast.parse(path.read_text("utf-8")).body, module, inside))
    return {name: found[name] for name in sorted(found) if not _private(name)}


def _names(body: list[ast.stmt], owner: str, inside: str) -> Iterator[tuple[str, list[str] | str | None]]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield f"{owner}.{node.name}", _constructor(node)
            yield from _names(node.body, f"{owner}.{node.name}", inside)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{owner}.{node.name}", _parameters(node)
        elif isinstance(node, ast.Assign):
            yield from ((f"{owner}.{one.id}", _opaque(node.value)) for one in node.targets if isinstance(one, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield f"{owner}.{node.target.id}", _opaque(node.value)
        elif isinstance(node, ast.ImportFrom):
            home = ".".join(filter(None, (_anchor(inside, node.level), node.module)))
            if home.startswith("rclpy"):
                yield from ((f"{owner}.{one.asname or one.name}", f"={home}.{one.name}") for one in node.names)
        elif isinstance(node, ast.If | ast.Try):
            yield from _names([*node.body, *node.orelse], owner, inside)


def _opaque(value: ast.expr | None) -> str | None:
    return "?" if value is not None and ast.unparse(value).startswith("_rclpy.") else None


def _anchor(inside: str, level: int) -> str:
    return "" if level == 0 else ".".join(inside.split(".")[: len(inside.split(".")) - level + 1])


def _constructor(node: ast.ClassDef) -> list[str] | None:
    made = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
    return _parameters(made[-1]) if made else None


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    given = node.args
    named = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return [one for one in named if one not in ("self", "cls")] + ([f"**{given.kwarg.arg}"] if given.kwarg else [])


def _private(name: str) -> bool:
    return any(part.startswith("_") for part in name.split("."))


def main(folder: str, source: str) -> None:
    """One name a line, so that a difference can be read."""
    rows = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in public_names(Path(folder)).items()]
    print(f'{{"source": {json.dumps(source)}, "names": {{\n' + ",\n".join(rows) + "\n}}")


if __name__ == "__main__":
    main(*sys.argv[1:])
