"""Find the plugins of a kind: the modules of its package, and users' entry points.

A plugin is one module.  Its file name is its name; a module whose name starts
with an underscore is a helper.  Users add their own through the entry-point group
``edgekit.<kind>`` (for example ``edgekit.tasks``) whose values are modules.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path
from types import ModuleType

from edgekit.core.artifacts import sha256_file, sha256_of
from edgekit.core.errors import InputError, MissingRequirement
from edgekit.core.sources import tree
from edgekit.core.suggest import allowed

KINDS = ("tasks", "data", "inputs", "prune", "distill", "quantize", "engine", "sensors", "training.losses")
APART = {("engine", "native"): "edgekit-native, built from a checkout: pip wheel cpp/python (docs/cpp.md)"}
"""Plugins of edgekit's own that are not part of it, and the distributions they are in."""


@cache
def _installed() -> dict[str, EntryPoints]:
    """Users' plugins by kind; the metadata of every installed package are read once for all of them."""
    found = entry_points()
    return {kind: found.select(group=f"edgekit.{kind}") for kind in KINDS}


@cache
def names(kind: str) -> tuple[str, ...]:
    """Names of all plugins of ``kind``, sorted; nothing is imported but the package."""
    package = importlib.import_module(f"edgekit.{kind}")
    builtin = {m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_")}
    return tuple(sorted(builtin | {e.name for e in _installed()[kind]}))


@cache
def load(kind: str, name: str) -> ModuleType:
    """The module of plugin ``name``.

    Raises:
        InputError: there is no such plugin; the message names the nearest one.
        MissingRequirement: it is in a distribution that is not installed.
    """
    known = names(kind)
    if name not in known:
        require_apart(kind, name)
        raise InputError(f"{kind}: no plugin named {name!r}; {allowed(name, known)}")
    for entry in _installed()[kind]:
        if entry.name == name:
            module: ModuleType = entry.load()
            return module
    return importlib.import_module(f"edgekit.{kind}.{name}")


def require_apart(kind: str, name: str) -> None:
    """Raise :class:`MissingRequirement` if plugin ``name``, which is not installed, is one of :data:`APART`."""
    where = APART.get((kind, name))
    if where is not None:
        raise MissingRequirement(f"{kind} {name!r}", note=f"it is in the distribution {where}")


def forget() -> None:
    """Look for installed plugins anew, after ``sys.path`` changed."""
    for cached in (_installed, names, load):
        cached.cache_clear()


def code(kind: str, name: str) -> str:
    """SHA-256 over the sources of a plugin that is not edgekit's own; empty for those that are.

    Its package, or its file, and the files of other modules that it holds when it has been imported, installed ones
    left out.
    """
    module = load(kind, name)
    if _is_own(module):
        return ""
    top = sys.modules[module.__name__.partition(".")[0]]
    folder = Path(top.__file__ or "").parent if hasattr(top, "__path__") else None
    hashes = {"package": tree(folder)} if folder is not None else {}
    found, ahead = {module.__name__: module}, [module]
    while ahead:
        for held in _held(ahead.pop()):
            if held.__name__ not in found and _is_source(held):
                found[held.__name__] = held
                ahead.append(held)
    hashes |= {other: sha256_file(Path(held.__file__ or "")) for other, held in found.items() if held.__file__}
    return sha256_of(hashes)


def _is_own(module: ModuleType) -> bool:
    return module.__name__.partition(".")[0] == "edgekit"


def _is_source(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and "-packages" not in file and not _is_own(module) and not _is_standard(module)


def _is_standard(module: ModuleType) -> bool:
    return module.__name__.partition(".")[0] in sys.stdlib_module_names


def _held(module: ModuleType) -> Iterator[ModuleType]:
    """Modules that a module's names are, or come from."""
    for value in list(vars(module).values()):
        home = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        held = sys.modules.get(home) if isinstance(home, str) else None
        if held is not None:
            yield held
