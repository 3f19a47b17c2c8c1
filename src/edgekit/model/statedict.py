"""A state_dict as a plain mapping: found in a checkpoint, renamed, compared with what the model expects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekit.core.errors import ModelError

_STATE_KEYS = ("state_dict", "model", "model_state_dict")
_LISTED = 8


def find(content: Any, path: Path) -> dict[str, Any]:
    """The tensors by name in what a weights file holds, itself or under the usual keys; ``path`` is for the message."""
    if isinstance(content, Mapping):
        for key in _STATE_KEYS:
            if isinstance(content.get(key), Mapping):
                content = content[key]
                break
    if not isinstance(content, Mapping):
        raise ModelError(f"weights {path} hold {type(content).__name__}; expected a state_dict")
    if not any(hasattr(value, "shape") for value in content.values()):
        raise ModelError(
            f"weights {path} hold no state_dict: found keys {_some(list(content)) or '(none)'}; expected tensors "
            f"by name, or a state_dict under one of {', '.join(_STATE_KEYS)}"
        )
    return {str(key): value for key, value in content.items()}


def strip(state: dict[str, Any], prefix: str, path: Path) -> dict[str, Any]:
    """``state`` without ``prefix`` in its keys; an error when no key has it."""
    if not any(key.startswith(prefix) for key in state):
        first = _some(list(state)[:3])
        raise ModelError(f"model.strip_prefix: no key of {path} begins with {prefix!r}; the first keys are {first}")
    return {key.removeprefix(prefix): value for key, value in state.items()}


def mismatch(state: dict[str, Any], expected: dict[str, Any], stripped: str) -> str:
    """Which keys do not fit, and the prefix that would make them fit; ``""`` when all do."""
    missing = [key for key in expected if key not in state]
    unexpected = [key for key in state if key not in expected]
    shapes = [
        f"{key} is {list(state[key].shape)}, expected {list(value.shape)}"
        for key, value in expected.items()
        if hasattr(state.get(key), "shape") and state[key].shape != value.shape
    ]
    groups = [("missing", missing), ("unexpected", unexpected), ("mis-shaped", shapes)]
    text = "; ".join(f"{len(keys)} {what}: {_some(keys)}" for what, keys in groups if keys)
    prefix = next(iter(state), "").partition(".")[0] + "."
    if missing and all(key.startswith(prefix) for key in state):
        fits = any(key.removeprefix(prefix) in expected for key in state)
        if fits or prefix == "module.":
            text += f"; every key begins with {prefix!r}: add strip_prefix: {stripped}{prefix}"
    return text


def _some(keys: Sequence[object]) -> str:
    listed = ", ".join(str(key) for key in keys[:_LISTED])
    return listed if len(keys) <= _LISTED else f"{listed} and {len(keys) - _LISTED} more"
