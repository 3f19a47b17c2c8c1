"""Which tensor of the typed model each tensor of an optimised graph is, and in which layout.

Names and places say which it may be (:mod:`edgekit.engine.ort.fusion`), layouts follow from the operators, and
where more than one reading is left, the values of a frame choose.  A wrong reading hides no fault: every part of the
engine is held against the typed model between tensors read so, from the inputs to the outputs, which are the same in
both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np

from edgekit.core.tensors import Array
from edgekit.engine.ort.fusion import members
from edgekit.onnxfile.graph import Graph, Node

Order = tuple[int, ...]
_BLOCKS = "com.microsoft.nchwc"
_MOST_AXES = 5
"""Axes whose orders are tried; a tensor of more is read as it stands."""


@dataclass(frozen=True)
class Candidate:
    """A tensor of the engine and the typed tensors that it may be, the likeliest first.

    ``order``: the layout that the operators suggest; ``blocked``: ONNX Runtime's own, of which only the runtime knows
    the blocks.
    """

    tensor: str
    node: int
    typed: tuple[str, ...]
    order: Order | None
    blocked: bool
    settled: bool = False
    """What restores a layout gives the typed tensor of its name as it is: no other reading, whatever the values say."""


@dataclass(frozen=True)
class Match:
    """A tensor of the engine that is ``typed`` with its axes in ``order``; ``node`` of the engine makes it.

    ``dtype`` is the engine's: floats may be wider than the typed model's, and signed integers may be stored unsigned,
    moved by half the grid.
    """

    tensor: str
    node: int
    typed: str
    order: Order
    blocked: bool
    dtype: np.dtype[Any]

    def arranged(self, typed: Array) -> Array:
        """The typed tensor as the engine has it."""
        turned = np.ascontiguousarray(typed.transpose(self.order)) if typed.ndim and not self.blocked else typed
        if (shift := _shift(typed.dtype, self.dtype)) != 0:
            turned = turned.astype(np.int32) + shift
        return turned.astype(self.dtype, copy=False)

    def restored(self, engine: Array, typed: np.dtype[Any]) -> Array:
        """The engine's tensor as the typed model has it; integers may be wider."""
        turned = engine.transpose(np.argsort(self.order)) if engine.ndim == len(self.order) else engine
        return turned if (shift := _shift(typed, self.dtype)) == 0 else turned.astype(np.int32) - shift


def _shift(typed: np.dtype[Any], engine: np.dtype[Any]) -> int:
    """What the engine adds to integers: 128 to int8 that it stores as uint8."""
    return 128 if (typed.name, engine.name) == ("int8", "uint8") else 0


def _fits(typed: np.dtype[Any], engine: np.dtype[Any]) -> bool:
    return typed == engine or typed.kind == engine.kind == "f" or _shift(typed, engine) != 0


def candidates(engine: Graph, source: Graph) -> tuple[Candidate, ...]:
    """What each tensor that a node of ``engine`` makes may be, in the engine's order."""
    made = source.producers()
    readers, taken = _readers(source), _taken(engine, source)
    # The runtime calls what it moves a transposition over after the node.
    named = {node.name: node.outputs for node in source.nodes if node.name}
    blocked: set[str] = set()
    orders: dict[str, Order] = {}
    seen: dict[str, tuple[str, ...]] = {}
    found = []
    for at, (node, group) in enumerate(zip(engine.nodes, members(engine, source), strict=True)):
        inside = _left(source, group, readers)
        layout = _is_blocked(node, blocked)
        for tensor in filter(None, node.outputs):
            typed = ((tensor,) if tensor in made else ()) + named.get(tensor, ())
            typed += (*inside, *_sums(node, inside, source, readers)) if len(node.outputs) == 1 else ()
            typed += () if tensor in made else taken.get(tensor, ())
            if not typed and node.inputs and node.op in ("Transpose", "ReorderInput", "ReorderOutput"):
                typed = seen.get(node.inputs[0], (node.inputs[0],) if node.inputs[0] in made else ())
            order = _order(node, orders, exact=tensor in made)
            if order is not None:
                orders[tensor] = order
            if layout:
                blocked.add(tensor)
            seen[tensor] = tuple(dict.fromkeys(typed))
            settled = tensor in made and node.op in ("Transpose", "ReorderOutput") and not layout
            if typed:
                own = (tensor,) if settled else seen[tensor]
                found.append(Candidate(tensor, at, own, order, layout, settled))
    return tuple(found)


def _sums(node: Node, inside: Sequence[str], source: Graph, readers: Mapping[str, Sequence[int]]) -> tuple[str, ...]:
    """Typed sums that a blocked convolution adds its result up to: nothing of the engine need bear their names."""
    if node.domain != _BLOCKS or not node.inputs[3:] or not node.inputs[3]:
        return ()
    adding = dict.fromkeys(at for tensor in inside for at in readers.get(tensor, ()) if source.nodes[at].op == "Add")
    return tuple(tensor for at in adding for tensor in source.nodes[at].outputs)


def _taken(engine: Graph, source: Graph) -> dict[str, tuple[str, ...]]:
    """Integers that a node of the typed model rounds back, by the tensors that its namesake in the engine reads.

    The runtime stores signed integers unsigned under names of its own, and moves the rounding over what reshapes.
    """
    made = source.producers()
    named = {node.name: node for node in source.nodes if node.name}
    found: dict[str, tuple[str, ...]] = {}
    for node in engine.nodes:
        given = named[node.name].inputs if node.name in named else ()
        makers = [source.nodes[made[tensor]] for tensor in given if tensor in made]
        rounded = tuple(n.inputs[0] for n in makers if n.op == "DequantizeLinear" and n.inputs[0] in made)
        found |= {tensor: (*found.get(tensor, ()), *rounded) for tensor in node.inputs if tensor} if rounded else {}
    return found


def _readers(source: Graph) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for at, node in enumerate(source.nodes):
        for tensor in node.inputs:
            found.setdefault(tensor, []).append(at)
    return found


def _left(source: Graph, group: Sequence[int], readers: Mapping[str, Sequence[int]]) -> tuple[str, ...]:
    """Tensors of a group, those that leave it first, the last of them before all others."""
    own = set(group)
    made = [tensor for at in reversed(group) for tensor in source.nodes[at].outputs if tensor]
    leaving = [t for t in made if not readers.get(t) or any(at not in own for at in readers[t])]
    return tuple(dict.fromkeys([*leaving, *made]))


def _is_blocked(node: Node, blocked: set[str]) -> bool:
    if node.op == "ReorderOutput":
        return False
    return node.domain == _BLOCKS or any(tensor in blocked for tensor in node.inputs)


def _order(node: Node, orders: Mapping[str, Order], exact: bool) -> Order | None:
    """The layout of a node's result, as far as operators say."""
    before = next((orders[tensor] for tensor in node.inputs if tensor in orders), None)
    if exact:
        return None
    if node.op == "Transpose" and "perm" in node.lists:
        turned = node.lists["perm"]
        before = before if before is not None and len(before) == len(turned) else tuple(range(len(turned)))
        return tuple(before[axis] for axis in turned)
    if node.attributes.get("channels_last") == 1:
        return (0, 2, 3, 1)
    return before


def resolve(found: Candidate, shown: Array, typed: Mapping[str, Array]) -> Match | None:
    """The reading of a tensor that fits its shape and, of several, its values ``shown`` on one frame."""
    readings = list(_readings(found, shown, typed))
    if not readings:
        return None
    if len(readings) == 1:
        return readings[0]
    errors = [_error(shown, reading.arranged(typed[reading.typed])) for reading in readings]
    return readings[int(np.argmin(errors))]  # the first of equals: the likeliest


def _readings(found: Candidate, shown: Array, typed: Mapping[str, Array]) -> Iterator[Match]:
    for name in found.typed:
        array = typed.get(name)
        if array is None or not _fits(array.dtype, shown.dtype) or array.ndim != shown.ndim:
            continue
        if found.settled:
            yield Match(found.tensor, found.node, name, tuple(range(array.ndim)), False, shown.dtype)
            continue
        if array.size != shown.size:
            # How many there are depends on scores; the name alone says what it is.
            if name == found.tensor and not found.blocked:
                yield Match(found.tensor, found.node, name, tuple(range(array.ndim)), False, shown.dtype)
            continue
        for order in _orders(found, array, shown):
            yield Match(found.tensor, found.node, name, order, found.blocked, shown.dtype)


def _orders(found: Candidate, array: Array, shown: Array) -> list[Order]:
    same = tuple(range(array.ndim))
    if found.blocked or array.ndim > _MOST_AXES:
        return [same] if array.shape == shown.shape else []
    first = [order for order in (found.order, same) if order is not None and len(order) == array.ndim]
    tried = dict.fromkeys([*first, *permutations(range(array.ndim))])
    return [order for order in tried if tuple(array.shape[axis] for axis in order) == shown.shape]


def _error(shown: Array, wanted: Array) -> float:
    if shown.dtype.kind not in "fui" or not shown.size:
        return float(np.mean(shown != wanted)) if shown.size else 0.0
    return float(np.mean(np.abs(shown.astype(np.float32) - wanted.astype(np.float32))))
