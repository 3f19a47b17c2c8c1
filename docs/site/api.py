"""Pages of the Python API: one for each room, filled from docstrings by mkdocstrings."""

from __future__ import annotations

import ast
from pathlib import Path

from docs.site.roles import prose

TEMPLATES = "templates"


def pages(root: Path) -> dict[str, str]:
    """Markdown by the name of the room, for each room of ``src/edgekit`` but the command line."""
    package = root / "src" / "edgekit"
    text = ast.get_docstring(_tree(package / "__init__.py")) or ""
    found = {"edgekit": f"# edgekit\n\n{text}\n\n::: edgekit.pipeline\n"}
    for room in sorted(p for p in package.iterdir() if p.name[0] != "_" and p.stem not in ("cli", "pipeline")):
        modules = [room] if room.suffix == ".py" else sorted(room.rglob("*.py"))
        parts = [_part(package, m) for m in modules if _public(m.relative_to(package))]
        if parts:
            found[room.stem] = "\n".join([f"# edgekit.{room.stem}\n", *parts])
    return found


def _part(package: Path, module: Path) -> str:
    """What mkdocstrings shows; of an ``__init__`` that only hands out names, its text and the names."""
    tree, name = _tree(module), _name(package, module)
    if module.name != "__init__.py" or any(isinstance(s, ast.FunctionDef | ast.ClassDef) for s in tree.body):
        return f"::: {name}\n"
    imports = [s for s in tree.body if isinstance(s, ast.ImportFrom) and s.module != "__future__"]
    handed = sorted(a.asname or a.name for s in imports for a in s.names)
    # What lies in files that have no page of their own is shown here, under the name that is imported.
    hidden = [a for s in imports if (s.module or "").rpartition(".")[2].startswith("_") for a in s.names]
    shown = [f"::: {name}.{a.asname or a.name}\n    options:\n      heading_level: 3\n" for a in hidden]
    names = f"`from {name} import` " + ", ".join(f"`{n}`" for n in handed) + "\n\n" if handed else ""
    heading = f"## {name}\n\n" if name.count(".") > 1 else ""
    return f"{heading}{prose(ast.get_docstring(tree) or '')}\n\n{names}" + "\n".join(shown)


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _public(path: Path) -> bool:
    """A module that holds something to read: no helper of a plugin folder, no template."""
    return TEMPLATES not in path.parts and all(p[0] != "_" or p == "__init__.py" for p in path.parts)


def _name(package: Path, module: Path) -> str:
    parts = module.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
