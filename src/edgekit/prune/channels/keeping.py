"""Layers that the user wants to stay as they are, by patterns of their names."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase

from edgekit.core.errors import SpecError
from edgekit.core.suggest import allowed
from edgekit.prune.channels.groups import Group


def kept(groups: Sequence[Group], patterns: Sequence[str], names: Collection[str]) -> dict[str, str]:
    """Groups that hold a layer which a pattern names, or a module around it, with the pattern.

    Args:
        groups: of the network.
        patterns: as in a shell: ``features.0*``, ``classifier``.
        names: of all modules of the network.

    Raises:
        SpecError: a pattern that matches no module.
    """
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise SpecError(f"prune: keep: no layer is called {pattern!r}; {allowed(pattern, tuple(sorted(names)))}")
    found: dict[str, str] = {}
    for group in groups:
        for layer in group.layers:
            hit = next((one for one in patterns if any(fnmatchcase(name, one) for name in _around(layer))), None)
            if hit is not None:
                found.setdefault(group.name, hit)
    return found


def _around(layer: str) -> list[str]:
    """The layer and the modules around it: ``a.b.c``, ``a.b``, ``a``."""
    parts = layer.split(".")
    return [".".join(parts[:end]) for end in range(len(parts), 0, -1)]
