"""Find the plugins of a kind: the modules of its package, and users' entry points.

A plugin is one module.  Its file name is its name; a module whose name starts
with an underscore is a helper.  Users add their own through the entry-point group
``edgekit.<kind>`` (for example ``edgekit.tasks``) whose values are modules.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from types import ModuleType

from edgekit.core.errors import InputError

KINDS = ("tasks", "data", "quantize", "engine", "sensors")


@cache
def names(kind: str) -> tuple[str, ...]:
    """Names of all plugins of ``kind``, sorted; nothing is imported but the package."""
    package = importlib.import_module(f"edgekit.{kind}")
    own = {m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_")}
    return tuple(sorted(own | {e.name for e in entry_points(group=f"edgekit.{kind}")}))


@cache
def load(kind: str, name: str) -> ModuleType:
    """The module of plugin ``name``.

    Raises:
        InputError: there is no such plugin; the message names the nearest one.
    """
    known = names(kind)
    if name not in known:
        raise InputError(f"{kind}: no plugin named {name!r}; {allowed(name, known)}")
    for entry in entry_points(group=f"edgekit.{kind}"):
        if entry.name == name:
            module: ModuleType = entry.load()
            return module
    return importlib.import_module(f"edgekit.{kind}.{name}")


def allowed(value: object, known: tuple[str, ...]) -> str:
    """ "did you mean 'x'? allowed: ..." for an error message."""
    near = difflib.get_close_matches(str(value), known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}allowed: {', '.join(known)}"
