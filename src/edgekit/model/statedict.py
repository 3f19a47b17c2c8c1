"""Which tensors of a checkpoint are the network's: found by names and shapes, chosen by the user where two sets fit.

Training code keeps a state_dict under a key of its choice, beside optimiser, counters and often a second set of
weights: averaged ones (EMA, SWA), which are what was evaluated and published.  Where both are, none is taken silently.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.core.errors import ModelError
from edgekit.core.suggest import allowed

USUAL_KEYS = ("state_dict", "model", "model_state_dict", "net", "network", "ema", "model_ema", "module")
_AVERAGED = frozenset({"ema", "swa", "avg", "average", "averaged", "shadow", "polyak", "modelema"})
_LISTED = 8
_FITS = 0.5  # share of the network's tensors by which a set of tensors is recognised as its weights

Shapes = Mapping[str, tuple[int, ...]]
"""Names and shapes of the tensors that the network has."""


@dataclass(frozen=True)
class Wanted:
    """What ``edgekit.yaml`` says about a weights file: ``weights_key``, ``strip_prefix`` and ``ignore``."""

    key: str | None = None
    prefix: str = ""
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True)
class Entry:
    """One tensor: ``folder`` is the path of the mapping that holds it, ``name`` its key there."""

    folder: tuple[str, ...]
    name: str
    value: Any

    @property
    def full(self) -> str:
        return ".".join((*self.folder, self.name))


@dataclass(frozen=True, eq=False)
class Reading:
    """A set of tensors that has the network's names behind ``folder`` (a path in the file) and ``prefix``."""

    folder: str
    prefix: str
    tensors: Mapping[str, Any]
    share: float

    @property
    def place(self) -> str:
        """Path and prefix as one dotted name, without the last dot; ``""`` for the file itself."""
        return f"{self.folder}.{self.prefix}".strip(".")

    @property
    def averaged(self) -> bool:
        return is_averaged(self.place)

    def differs(self, other: Reading) -> bool:
        """Whether a tensor that both hold has other values."""
        both = self.tensors.keys() & other.tensors.keys()
        return any(not bool((self.tensors[name] == other.tensors[name]).all()) for name in both)


@dataclass(frozen=True)
class Chosen:
    """Tensors by name for ``load_state_dict``, names of those that were left out, and every set that fits."""

    state: Mapping[str, Any]
    left_out: tuple[str, ...]
    readings: tuple[Reading, ...]


def choose(content: Any, expected: Shapes, wanted: Wanted, path: Path) -> Chosen:
    """The network's tensors in ``content`` (what ``path`` holds), their prefix stripped.

    Raises:
        ModelError: no tensors, nothing under ``weights_key``, a prefix or pattern that no key has, or more than one
            set of weights that fits and none named; each is listed with the key that chooses it.
    """
    if not isinstance(content, Mapping):
        raise ModelError(f"weights {path} hold {type(content).__name__}; expected a state_dict")
    entries = list(_entries(content, ()))
    if not entries:
        raise ModelError(
            f"weights {path} hold no state_dict: found keys {some(list(content)) or '(none)'}; expected tensors "
            f"by name, or a state_dict under one of {', '.join(USUAL_KEYS)}"
        )
    entries = _kept(entries, wanted.ignore, path)
    if wanted.key is not None:
        entries = _under(entries, wanted.key, path)
    found = readings(entries, expected)
    base = wanted.key if wanted.key is not None else _base(entries, found, wanted.prefix, content)
    _refuse_two(_rivals(found, base, wanted), wanted, path)
    if wanted.key is None and base:
        _refuse_unnamed(content, base, expected, path)
    return _stripped(entries, base, expected, wanted.prefix, found, path)


def readings(entries: Sequence[Entry], expected: Shapes) -> tuple[Reading, ...]:
    """Every prefix behind which at least half of the network's tensors are, by name and shape; the fullest first."""
    counted = {name: shape for name, shape in expected.items() if not name.endswith("num_batches_tracked")}
    by_name = {entry.full: entry for entry in entries}
    prefixes = {full.removesuffix(name): None for name in _probes(counted) for full in by_name if _ends(full, name)}
    found = []
    for prefix in prefixes:
        tensors = {
            name: by_name[prefix + name].value
            for name, shape in counted.items()
            if prefix + name in by_name and tuple(by_name[prefix + name].value.shape) == shape
        }
        share = len(tensors) / len(counted)
        if share >= _FITS:
            folder = max((f for f in _folders(entries) if prefix.startswith(_dotted(f))), key=len, default="")
            found.append(Reading(folder, prefix.removeprefix(_dotted(folder)), tensors, share))
    return tuple(sorted(found, key=lambda reading: -reading.share))


def is_averaged(place: str) -> bool:
    """Whether a dotted name says that the weights below it are averages over training."""
    return any(re.sub(r"\d+$", "", word) in _AVERAGED for word in re.split(r"[^a-z0-9]+", place.lower()))


def some(keys: Sequence[object]) -> str:
    """The first of many names, and how many more there are."""
    listed = ", ".join(str(key) for key in keys[:_LISTED])
    return listed if len(keys) <= _LISTED else f"{listed} and {len(keys) - _LISTED} more"


def _entries(value: Mapping[Any, Any], folder: tuple[str, ...]) -> Iterator[Entry]:
    if "param_groups" in value:  # an optimiser's state has tensors of the network's shapes
        return
    for key, item in value.items():
        if hasattr(item, "shape") and hasattr(item, "dtype"):
            yield Entry(folder, str(key), item)
        elif isinstance(item, Mapping):
            yield from _entries(item, (*folder, str(key)))


def _kept(entries: list[Entry], patterns: Sequence[str], path: Path) -> list[Entry]:
    for pattern in patterns:
        left = [entry for entry in entries if not _matches(entry, pattern)]
        if len(left) == len(entries):
            first = some([entry.name for entry in entries[:3]])
            raise ModelError(f"model.ignore: no key of {path} matches {pattern!r}; the first keys are {first}")
        entries = left
    return entries


def _matches(entry: Entry, pattern: str) -> bool:
    """Keys are matched as they are in the file, with or without the keys of the mappings around them."""
    path = (*entry.folder, entry.name)
    return any(fnmatch.fnmatchcase(".".join(path[start:]), pattern) for start in range(len(path)))


def _under(entries: list[Entry], key: str, path: Path) -> list[Entry]:
    inside = [entry for entry in entries if entry.full.startswith(_dotted(key))]
    if not inside:
        known = tuple(dict.fromkeys(folder for folder in _folders(entries) if folder))
        there = allowed(key, known) if known else "its tensors are not below any key: leave weights_key out"
        raise ModelError(f"model.weights_key: {path} holds no tensors under {key!r}; {there}")
    return inside


def _folders(entries: Sequence[Entry]) -> list[str]:
    return list(dict.fromkeys(".".join(entry.folder) for entry in entries))


def _dotted(place: str) -> str:
    return f"{place}." if place else ""


def _ends(full: str, name: str) -> bool:
    return full == name or full.endswith(f".{name}")


def _probes(expected: Shapes) -> list[str]:
    """A few names by which prefixes are found: more than one, for a set may lack some."""
    names = sorted(expected, key=len, reverse=True)
    return [*names[:4], *names[4 :: max(1, len(names) // 4)]]


def _base(entries: Sequence[Entry], found: Sequence[Reading], prefix: str, content: Mapping[Any, Any]) -> str:
    """The path of the mapping to load: of the fullest set that fits, else of the usual names, else the largest."""
    fitting = [reading for reading in found if reading.prefix == prefix] or list(found)
    if fitting:
        return fitting[0].folder
    folders = _folders(entries)
    top = [key for key in USUAL_KEYS if key in folders and isinstance(content.get(key), Mapping)]
    return (top or sorted(folders, key=lambda folder: -sum(".".join(e.folder) == folder for e in entries)))[0]


def _rivals(found: Sequence[Reading], base: str, wanted: Wanted) -> list[Reading]:
    """The set that would be taken, and those that could be meant instead; empty when there is no doubt."""
    at = [reading for reading in found if reading.prefix == wanted.prefix]
    taken = next((r for r in at if r.folder == base or wanted.key is not None), None)
    if taken is None:
        return []
    as_full = [r for r in at if r.share == taken.share]
    averaged = [] if taken.averaged and (wanted.prefix or wanted.key) else [r for r in found if r.averaged]
    others = [r for r in (*as_full, *averaged) if r is not taken and taken.differs(r)]
    return [taken, *dict.fromkeys(others)] if others else []


def _refuse_two(rivals: Sequence[Reading], wanted: Wanted, path: Path) -> None:
    if not rivals:
        return
    ways = []
    for reading in rivals:
        kind = " (averaged: usually what was evaluated and published)" if reading.averaged else ""
        chosen = [f"weights_key: {reading.folder}"] if len({r.folder for r in rivals}) > 1 else []
        if reading.prefix != wanted.prefix and reading.prefix:
            chosen.append(f"strip_prefix: {reading.prefix}")
        if not chosen or (not reading.averaged and len({r.folder for r in rivals}) == 1):
            patterns = ", ".join(f'"{r.prefix}*"' for r in rivals if r is not reading)
            chosen.append(f"ignore: [{patterns}]")
        ways.append(f"{reading.place or 'the file itself'}{kind} with {' and '.join(chosen)}")
    raise ModelError(
        f"weights {path} hold {len(rivals)} sets of weights that fit the network and differ; choose one under model: "
        f"{'; or '.join(ways)}"
    )


def _refuse_unnamed(content: Mapping[Any, Any], base: str, expected: Shapes, path: Path) -> None:
    """Averaged weights as a list, in the order of the parameters, are what some training code keeps beside the raw."""
    if is_averaged(base):
        return
    for place, count in _lists(content, ()):
        if is_averaged(place) and count >= _FITS * len(expected) and count > 1:
            raise ModelError(
                f"weights {path} hold raw weights under {base!r} and {count} averaged tensors without names under "
                f"{place!r}: copy the averaged ones into the network and save its state_dict, or choose the raw ones "
                f"with weights_key: {base}"
            )


def _lists(value: Any, folder: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    if isinstance(value, Mapping) and "param_groups" not in value:
        for key, item in value.items():
            yield from _lists(item, (*folder, str(key)))
    elif isinstance(value, list | tuple):
        yield ".".join(folder), sum(hasattr(item, "shape") and len(item.shape) > 0 for item in value)


def _stripped(
    entries: Sequence[Entry], base: str, expected: Shapes, prefix: str, found: tuple[Reading, ...], path: Path
) -> Chosen:
    inside = {e.full.removeprefix(_dotted(base)): e for e in entries if e.full.startswith(_dotted(base))}
    if prefix and not any(name.startswith(prefix) for name in inside):
        raise ModelError(
            f"model.strip_prefix: no key of {path} begins with {prefix!r}; the first keys are {some(list(inside)[:3])}"
        )
    innermost = max((f for f in _folders(entries) if f"{base}.".startswith(_dotted(f))), key=len, default="")
    state: dict[str, Any] = {}
    left: list[str] = []
    for name, entry in inside.items():
        short = name.removeprefix(prefix) if prefix else name
        both = prefix and not name.startswith(prefix) and prefix + name in inside
        if both and name in expected:
            raise ModelError(
                f"weights {path} hold {name!r} and {prefix + name!r}, which become one name without the prefix "
                f'{prefix!r}; leave one out with ignore: ["{name}"]'
            )
        # Strictness is for the state_dict itself: what does not begin with the prefix belongs to the trainer, and
        # what other mappings hold (queues, statistics) to whoever made them, unless the network asks for it.
        elsewhere = ".".join(entry.folder) != innermost
        bare = prefix != "" and not name.startswith(prefix)
        if short in expected or not (elsewhere or bare):
            state[short] = entry.value
        elif not elsewhere:
            left.append(name)
    return Chosen(state, tuple(left), found)
