"""What a model's ``forward`` returns, as a flat list of named values.

Works by duck typing, so that it needs no PyTorch: a tensor is what has ``shape`` and ``dtype``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from edgekit.core.errors import ModelError

_LISTED = 12


def pick(result: Any, names: tuple[str, ...]) -> tuple[Any, ...]:
    """The values of ``result`` (a tensor, or nested containers of tensors) that ``names`` ask for, in that order.

    Keys of dicts and fields of dataclasses and NamedTuples are matched by name (``boxes``, or ``head.boxes``
    when nested); what a tuple, list or generator holds is matched by position, and then every value needs a name.

    Raises :class:`ModelError` that lists what the model returns.
    """
    leaves = list(_leaves(result, ()))
    by_name = [_find(name, leaves) for name in names]
    if None not in by_name and len(set(by_name)) == len(names):
        chosen = [index for index in by_name if index is not None]
    elif _is_positional(result) and len(leaves) == len(names) and all(i in (None, at) for at, i in enumerate(by_name)):
        chosen = list(range(len(leaves)))
    else:
        raise ModelError(
            f"the model returns {_listing(leaves)}, but model.outputs lists {', '.join(names)}; "
            "use the names it returns, or one name for each unnamed tensor in order"
        )
    wrong = [names[at] for at, index in enumerate(chosen) if not _is_tensor(leaves[index][1])]
    if wrong:
        raise ModelError(f"model output {wrong[0]!r} is not a tensor; the model returns {_listing(leaves)}")
    return tuple(leaves[index][1] for index in chosen)


def _leaves(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    if _is_tensor(value):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, (*path, str(key)))
    elif hasattr(value, "_fields"):
        for field in value._fields:
            yield from _leaves(getattr(value, field), (*path, field))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for entry in dataclasses.fields(value):
            yield from _leaves(getattr(value, entry.name), (*path, entry.name))
    elif isinstance(value, tuple | list | Iterator):
        for index, item in enumerate(value):
            yield from _leaves(item, (*path, index))
    elif value is not None:  # None is an optional output that this model does not compute
        yield path, value


def _find(name: str, leaves: list[tuple[tuple[str | int, ...], Any]]) -> int | None:
    whole = [at for at, (path, _) in enumerate(leaves) if ".".join(map(str, path)) == name]
    last = [at for at, (path, _) in enumerate(leaves) if path and path[-1] == name]
    found = whole or last
    return found[0] if len(found) == 1 else None


def _is_positional(result: Any) -> bool:
    return _is_tensor(result) or (isinstance(result, tuple | list | Iterator) and not hasattr(result, "_fields"))


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _listing(leaves: list[tuple[tuple[str | int, ...], Any]]) -> str:
    lines = []
    for path, value in leaves[:_LISTED]:
        kind = type(value).__name__
        if _is_tensor(value):
            kind = f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
        lines.append(f"{'.'.join(map(str, path))}: {kind}" if path else kind)
    more = f" and {len(leaves) - _LISTED} more" if len(leaves) > _LISTED else ""
    count = f"{len(leaves)} output" + ("" if len(leaves) == 1 else "s")
    return f"{count} ({', '.join(lines)}{more})" if leaves else "nothing"
