"""What to say of tensors that do not fit the network: which names, and the key of the spec that makes them fit."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping, Sequence
from typing import Any

from edgekit.model.statedict import Chosen, Shapes, Wanted, some

_PATTERNS = 6  # more of them are no advice


def describe(chosen: Chosen, expected: Shapes, wanted: Wanted) -> str:
    """Names that are missing, unexpected or of another shape, and the fix where there is one; ``""`` when all fit."""
    state = chosen.state
    missing = [key for key in expected if key not in state]
    unexpected = [key for key in state if key not in expected]
    shapes = [
        f"{key} is {list(state[key].shape)}, expected {list(shape)}"
        for key, shape in expected.items()
        if key in state and tuple(state[key].shape) != shape
    ]
    groups = [("missing", missing), ("unexpected", unexpected), ("mis-shaped", shapes)]
    parts = [f"{len(keys)} {what}: {some(keys)}" for what, keys in groups if keys]
    advice = _advice(chosen, expected, wanted, missing, unexpected, bool(shapes)) if parts else ""
    return "; ".join([*parts, *([advice] if advice else [])])


def patterns(unexpected: Sequence[str], expected: Shapes) -> tuple[str, ...]:
    """Globs for ``model.ignore`` that match every one of ``unexpected`` and nothing that the network has."""
    found: list[str] = []
    for name in unexpected:
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern in found):
            found.append(_pattern(name, expected))
    return tuple(found)


def _pattern(name: str, expected: Shapes) -> str:
    parts = name.split(".")
    owners = [".".join(parts[:count]) + "." for count in range(1, len(parts))]
    whole = [f"{owner}*" for owner in owners if not any(key.startswith(owner) for key in expected)]
    leaf = f"*{parts[-1]}"
    if not whole and not any(fnmatch.fnmatchcase(key, leaf) for key in expected):
        return leaf
    return whole[0] if whole else name


def _advice(
    chosen: Chosen, expected: Shapes, wanted: Wanted, missing: Sequence[str], unexpected: Sequence[str], misshaped: bool
) -> str:
    prefixes = [r.prefix for r in chosen.readings if r.prefix != wanted.prefix]
    if missing and prefixes:
        ways = " or ".join(dict.fromkeys(f"strip_prefix: {prefix}" for prefix in prefixes if prefix))
        return f"the network's names come after {prefixes[0]!r}: add {ways}" if ways else "leave strip_prefix out"
    if missing and unexpected:
        return _wrapper(chosen.state, expected, wanted.prefix)
    if missing or misshaped or not unexpected:
        return ""
    globs = patterns(unexpected, expected)
    listed = json.dumps(list(globs)) if len(globs) <= _PATTERNS else "[...] of their names or patterns"
    return f"the network has all of its own: leave the others out with ignore: {listed}"


def _wrapper(state: Mapping[str, Any], expected: Shapes, stripped: str) -> str:
    """One side has a prefix that the other one lacks."""
    first = next(iter(state)).partition(".")[0] + "."
    if all(key.startswith(first) for key in state):
        fits = any(key.removeprefix(first) in expected for key in state)
        if fits or first == "module.":
            return f"every key begins with {first!r}: add strip_prefix: {stripped}{first}"
    name = next(iter(expected))
    outer = next((name.removesuffix(key) for key in state if name.endswith(f".{key}")), "")
    if outer and all(key.startswith(outer) for key in expected):
        return (
            f"the network's names begin with {outer!r} and those of the file do not: let the factory return what is "
            f"inside its wrapper (.{outer.rstrip('.')}), or load the weights there"
        )
    return ""
