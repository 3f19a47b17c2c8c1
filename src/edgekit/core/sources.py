"""What a run of somebody's code used, as a list that can be looked at again: what a compiler keeps in its depfile.

An item is a kind and a name, its value what was found there:

    file PLACE        SHA-256 of the content; empty: there was none
    folder PLACE      SHA-256 of the sorted names in it; empty: there was none
    kind PLACE        "folder", "file" or empty: it was asked whether something is there
    variable NAME     SHA-256 of the value; empty: not set.  ``*``: of all names
    module PLACE/NAME "there", or empty: it was asked for in that folder and was not there.  ``*``: on the search path
    package NAME      version of an installed distribution; empty: not installed

A place below the folder of the spec is written from there, one that was named relative to the working folder begins
with ``$PWD/``, any other is absolute.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from edgekit.core.artifacts import sha256_file, sha256_of

_HERE = "$PWD/"
_NOT_LISTED = frozenset({"__pycache__", ".edgekit", "artifacts"})
"""Names that a build itself adds to a folder."""


@dataclass(frozen=True)
class Sources:
    """``items`` as above; ``unseen`` says why the list may not be whole: what no list can tell about a run."""

    items: Mapping[str, str] = field(default_factory=dict)
    unseen: tuple[str, ...] = ()

    def changes(self, base: Path) -> tuple[str, ...]:
        """Names of the items that are otherwise now; ``base`` is the folder of the spec."""
        importlib.invalidate_caches()
        return tuple(name_of(item) for item, found in self.items.items() if look(item, base) != found)

    def content(self) -> dict[str, str]:
        """The items as they enter a key: where a file outside the folder of the spec lies does not count."""
        found: dict[str, list[str]] = {}
        for item, value in self.items.items():
            kind, _, name = item.partition(" ")
            outside = kind in _PLACES and name.startswith("/")
            found.setdefault(f"{kind} {os.path.basename(name)}" if outside else item, []).append(value)
        return {item: sha256_of(sorted(values)) if len(values) > 1 else values[0] for item, values in found.items()}

    def listing(self) -> dict[str, Any]:
        """The document of a manifest: files, versions, and of variables the names only: they may be secret."""
        files = {name_of(i): v for i, v in self.items.items() if i.startswith("file ") and v}
        packages = {name_of(i): v for i, v in self.items.items() if i.startswith("package ") and v}
        rest = {f"{kind}s": sorted(name_of(i) for i in self.items if i.startswith(f"{kind} ")) for kind in _NAMED}
        return {"files": files, "packages": packages, **rest, "unseen": list(self.unseen)}

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"items": dict(self.items), "unseen": list(self.unseen)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Sources:
        """From :meth:`to_dict`.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        return cls(dict(document["items"]), tuple(document["unseen"]))


_NAMED = ("folder", "variable")
_PLACES = ("file", "folder", "kind", "module")


def name_of(item: str) -> str:
    """The name or place in an item."""
    return item.partition(" ")[2]


def place(path: str, base: Path) -> str:
    """How ``path``, as somebody's code named it, is written in an item."""
    if not os.path.isabs(path):
        return _HERE + os.path.normpath(path)
    whole = os.path.normpath(path)
    return os.path.relpath(whole, base) if whole == str(base) or whole.startswith(f"{base}{os.sep}") else whole


def look(item: str, base: Path) -> str:
    """The value of an item now."""
    kind, _, name = item.partition(" ")
    if kind == "variable":
        value = "\0".join(sorted(os.environ)) if name == "*" else os.environ.get(name)
        return "" if value is None else _sha256(value)
    if kind == "package":
        return _version(name)
    if kind == "module":
        folder, _, leaf = name.rpartition("/")
        searched = [str(base), *sys.path] if folder == "*" else [str(_path(folder, base))]
        return "" if PathFinder.find_spec(leaf, searched) is None else "there"
    path = _path(name, base)
    if kind == "kind":
        return "folder" if path.is_dir() else "file" if path.is_file() else ""
    try:
        if kind == "folder":
            return _sha256("\0".join(sorted(set(os.listdir(path)) - _NOT_LISTED)))
        return sha256_file(path) if path.is_file() else ""
    except OSError:  # it cannot be listed or read: for whoever asked it was not there either
        return ""


def tree(folder: Path) -> str:
    """SHA-256 over the names and contents of all files below ``folder``, bytecode left out; empty: no such folder."""
    if not folder.is_dir():
        return ""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.parent.name != "__pycache__")
    return sha256_of({path.relative_to(folder).as_posix(): sha256_file(path) for path in files})


@cache
def own_code() -> str:
    """SHA-256 over edgekit's own files: what they compute is part of every result."""
    return tree(Path(__file__).parents[1])


def _path(name: str, base: Path) -> Path:
    return Path(name.removeprefix(_HERE)) if name.startswith(_HERE) else base / name


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
