"""An engine of ONNX Runtime cut into its layers, each fed with the typed model's own tensors.

The file under test is edited in its wiring alone: nodes, weights and attributes are those that ship.  Needs NumPy and
the runtime, so it runs on the target too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.core.layers import LayerTensor
from edgekit.core.tensors import Array, Arrays
from edgekit.engine import Part
from edgekit.engine.ort import matching
from edgekit.engine.ort.fusion import COMPUTE, Origin, origins
from edgekit.engine.ort.matching import Candidate, Match
from edgekit.onnxfile import edit
from edgekit.onnxfile.edit import Cut
from edgekit.onnxfile.graph import Graph, Node, read_graph
from edgekit.onnxfile.interface import read_interface
from edgekit.runtime.denormals import flushed

Opener = Callable[[bytes], Any]
"""A session of a model that runs exactly as it is written."""
_MOVES = frozenset({"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Split", "Gather", "Cast"})
_MOVES |= {"ReorderInput", "ReorderOutput", "Identity", "Expand"}
_UNREADABLE = ("tensor(bfloat16)", "tensor(string)", "tensor(int4)", "tensor(uint4)")


def parts(engine: Path, source: Path, frames: Sequence[Arrays], opened: Opener) -> Iterator[Part]:
    """Every layer of ``engine`` that can be told apart, on every frame.

    Args:
        engine: an optimised ONNX file.
        source: the typed model it was made from.
        frames: feeds.
        opened: opens a session.
    """
    cutting = _Cutting(engine, source, frames[0], opened)
    for number, feeds in enumerate(frames):
        yield from cutting.run(number, feeds)


class _Typed:
    """The typed model, showing the tensors that an engine's may be, and what is rounded to make them."""

    def __init__(self, source: Path, wanted: Sequence[str], opened: Opener) -> None:
        graph = read_graph(source)
        rounding = [node for node in graph.nodes if node.op == "QuantizeLinear" and len(node.inputs) > 2]
        self._rounding = {node.outputs[0]: node.inputs for node in rounding}
        self._axes = {node.outputs[0]: node.attributes.get("axis", 1) for node in rounding}
        self._pairs = {
            n.outputs[0]: n.inputs[0]
            for n in graph.nodes
            if n.op == "DequantizeLinear"
            and n.inputs[0] in self._rounding
            and n.inputs[1:] == self._rounding[n.inputs[0]][1:]
        }
        given = [self._pairs.get(made, made) for made in wanted]
        rounded = [name for made in given if made in self._rounding for name in (made, *self._rounding[made])]
        names = list(dict.fromkeys([*wanted, *rounded]))
        model = source.read_bytes()
        session = opened(edit.show(model, names))
        readable = [node.name for node in session.get_outputs() if node.type not in _UNREADABLE]
        self._session = session if len(readable) == len(names) else opened(edit.show(model, readable))
        self._names = readable

    def run(self, feeds: Arrays) -> dict[str, Array]:
        with flushed():
            return dict(zip(self._names, self._session.run(None, dict(feeds)), strict=True))

    def exact(self, tensor: str, values: Mapping[str, Array]) -> Array | None:
        """What was rounded, in steps; None for what is no rounding."""
        integer = self._pairs.get(tensor, tensor)
        given = self._rounding.get(integer)
        if given is None or any(name not in values for name in (integer, *given)):
            return None
        limits = np.iinfo(values[integer].dtype)
        scale, zero = self._grid(integer, values)
        return np.clip(values[given[0]].astype(np.float64) / scale + zero, limits.min, limits.max)

    def grid(self, tensor: str, values: Mapping[str, Array]) -> tuple[Array, Array] | None:
        """Scale and zero point of floats that a Q/DQ pair rounds; None: ``tensor`` is nothing of the kind."""
        if tensor not in self._pairs or self.exact(tensor, values) is None:
            return None
        return self._grid(self._pairs[tensor], values)

    def _grid(self, integer: str, values: Mapping[str, Array]) -> tuple[Array, Array]:
        """Scale and zero point of a rounding, float64, in a shape that fits what it rounds."""
        given = self._rounding[integer]
        found = [values[name].astype(np.float64) for name in given[1:3]]
        rank, axis = values[given[0]].ndim, self._axes[integer]
        shape = [-1 if at == axis % max(1, rank) else 1 for at in range(rank)]
        scale, zero = (array.reshape(shape if array.size > 1 else ()) for array in found)
        return scale, zero


@dataclass(frozen=True)
class _Place:
    """Where the engine is cut; ``nodes``: its nodes between there and the cuts before, the one that computes first."""

    match: Match
    cut: Cut
    nodes: tuple[Node, ...]
    typed: tuple[str, ...]
    module: str


class _Cutting:
    def __init__(self, engine: Path, source: Path, feeds: Arrays, opened: Opener) -> None:
        self._graph, typed_graph = read_graph(engine), read_graph(source)
        outputs = {spec.name for spec in read_interface(source)[1]}
        made = set(typed_graph.producers())
        found = [
            replace(c, typed=(c.tensor,) if c.tensor in outputs else tuple(t for t in c.typed if t in made))
            for c in matching.candidates(self._graph, typed_graph)
        ]
        found = [c for c in found if c.typed]
        self._typed = _Typed(source, list(dict.fromkeys(t for c in found for t in c.typed)), opened)
        values = self._typed.run(feeds)
        model = engine.read_bytes()
        shown = _shown(model, found, values, feeds, opened)
        matches = [m for c in found if c.tensor in shown and (m := matching.resolve(c, shown[c.tensor], values))]
        known = origins(self._graph, typed_graph)
        between = _between(self._graph, {m.tensor for m in matches})
        self._places = [_place(m, _cut_of(m, shown[m.tensor], values), self._graph, between, known) for m in matches]
        self._session = opened(edit.cut(model, [place.cut for place in self._places]))
        self._inputs = {node.name for node in self._session.get_inputs()}

    def run(self, number: int, feeds: Arrays) -> Iterator[Part]:
        values = self._typed.run(feeds)
        given = dict(feeds)
        for place in self._places:
            given[place.cut.feed] = place.match.arranged(values[place.match.typed])
        with flushed():
            found = self._session.run(None, {name: array for name, array in given.items() if name in self._inputs})
        magnitudes = {place.match.tensor: _magnitude(values[place.match.typed]) for place in self._places}
        magnitudes |= {name: _magnitude(array) for name, array in feeds.items()}
        for place, array in zip(self._places, found, strict=True):
            yield self._part(place, array, values, magnitudes, number)

    def _part(
        self, place: _Place, array: Array, values: Mapping[str, Array], magnitudes: Mapping[str, float], number: int
    ) -> Part:
        match = place.match
        return Part(
            layer=place.nodes[0].name or f"{place.nodes[0].op} of {match.tensor}",
            op=place.nodes[0].op,
            inside=tuple(node.name for node in place.nodes),
            nodes=place.typed,
            module=place.module,
            tensor=match.typed,
            expected=values[match.typed],
            found=match.restored(array, values[match.typed].dtype),
            exact=self._typed.exact(match.typed, values),
            magnitude=max((magnitudes.get(name, 0.0) for node in place.nodes for name in node.inputs), default=0.0),
            frame=number,
            grid=self._typed.grid(match.typed, values) if _rounds(place.nodes) else None,
        )


def _between(graph: Graph, cuts: Collection[str]) -> dict[str, tuple[int, ...]]:
    """Positions of the nodes that make each cut from the cuts before it, the last first."""
    producers = graph.producers()
    found = {}
    for cut in cuts:
        pending, seen = [producers[cut]], []
        while pending:
            at = pending.pop()
            if at in seen:
                continue
            seen.append(at)
            pending += [producers[name] for name in graph.nodes[at].inputs if name in producers and name not in cuts]
        found[cut] = tuple(seen)
    return found


def _place(
    match: Match, cut: Cut, graph: Graph, between: Mapping[str, tuple[int, ...]], known: Sequence[Origin]
) -> _Place:
    inside = sorted(between[match.tensor], key=lambda at: _weight_of(graph.nodes[at]))
    typed = tuple(dict.fromkeys(name for at in inside for name in known[at].nodes))
    module = next((known[at].module for at in inside if known[at].module), "")
    return _Place(match, cut, tuple(graph.nodes[at] for at in inside), typed, module)


def _rounds(nodes: Sequence[Node]) -> bool:
    """Whether a part may round: one that only takes integers back to floats has no ties."""
    return any(node.op != "DequantizeLinear" and node.op not in _MOVES for node in nodes)


def _weight_of(node: Node) -> int:
    """Of the nodes of a part, one that computes gives it its name, rather than one that moves values."""
    return 0 if node.op in COMPUTE else 2 if node.op in _MOVES else 1


def _shown(
    model: bytes, found: Sequence[Candidate], values: Mapping[str, Array], feeds: Arrays, opened: Opener
) -> dict[str, Array]:
    """The engine's own tensors on one frame."""
    blocked: dict[str, int] = {}
    for candidate in found:
        shapes = [values[t].shape for t in candidate.typed if t in values and values[t].ndim > 2]
        if candidate.blocked and shapes:
            blocked[candidate.tensor] = shapes[0][1]
    plain = [c.tensor for c in found if not c.blocked]
    session = opened(edit.show(model, plain, blocked))
    readable = {node.name for node in session.get_outputs() if node.type not in _UNREADABLE}
    plain = [name for name in plain if name in readable]
    if len(readable) < len(plain) + len(blocked):
        session = opened(edit.show(model, plain, blocked))
    names = [*plain, *(name + edit.FOUND for name in blocked)]
    with flushed():
        arrays = session.run(names, dict(feeds))
    return dict(zip([*plain, *blocked], arrays, strict=True))


def _cut_of(match: Match, shown: Array, values: Mapping[str, Array]) -> Cut:
    shape = values[match.typed].shape if match.blocked else shown.shape
    return Cut(match.tensor, LayerTensor(shown.dtype.name, shape), match.blocked)


def _magnitude(array: Array) -> float:
    if array.dtype.kind != "f" or not array.size:  # integers are exact, and in steps of a grid
        return 0.0
    largest = float(np.abs(array.astype(np.float64)).max())
    return largest if np.isfinite(largest) else 0.0
