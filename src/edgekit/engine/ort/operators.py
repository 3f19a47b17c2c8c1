"""What operators of ``edgekit-ops`` compute of a typed model: found, kept through the optimisation, and put in.

What lies between two roundings and works element by element (SiLU, GELU, hard-swish, PReLU, with all roundings in
between) is a function of one byte: ``LutU8``, a table of 256, or one for each channel.  The table is what ONNX Runtime
computes for the 256 values with the nodes of the typed model, so the engine computes what that model says.

An operator that ONNX Runtime does not know would keep its layout of tensors from spreading: it moves a Transpose past
operators that it knows only.  So a Sigmoid between two grids stands in while the model is optimised, and is exchanged
in the optimised graph.  A part whose stand-in does not come out as an integer operator stays what it was.

Convolutions of some kinds are exchanged in that graph, too, and bilinear Resizes: ``convolutions.py``,
``interpolation.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.core.errors import ModelError
from edgekit.core.tensors import Array
from edgekit.engine.ort import convolutions, grids, interpolation
from edgekit.engine.ort.extension import DOMAIN
from edgekit.onnxfile.graph import Node
from edgekit.onnxfile.parts import Parts, node_bytes, parts_of, small_model, tensor_bytes

Optimise = Callable[[bytes], bytes]
"""ONNX Runtime's optimised graph of a serialised model."""
Opener = Callable[[bytes], Any]
"""A session that runs a serialised model as it is written."""

_ROUNDING = frozenset({"QuantizeLinear", "DequantizeLinear"})
_SATURATING = frozenset({"Relu", "Clip"})  # cheaper where the runtime makes them part of a kernel
_ELEMENTWISE = _ROUNDING | _SATURATING
_ELEMENTWISE |= {"Sigmoid", "Tanh", "Erf", "Gelu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "HardSigmoid", "Mish"}
_ELEMENTWISE |= {"HardSwish", "Softplus", "Softsign", "ThresholdedRelu", "Exp", "Log", "Sqrt", "Abs", "Neg", "Sign"}
_ELEMENTWISE |= {"Reciprocal", "Floor", "Ceil", "Round", "Identity", "Add", "Sub", "Mul", "Div", "Pow", "Max", "Min"}
_INTEGERS = frozenset({"uint8", "int8"})
_STAND_IN = "QLinearSigmoid"
_VALUES = 256


def rewritten(model: bytes, version: int, optimise: Optimise, opened: Opener, vectors: bool) -> bytes:
    """The optimised graph of a typed model, with operators where they apply.

    Args:
        model: the typed model, serialised.
        version: of the operators.
        optimise: as the runtime does without them.
        opened: for the tables.
        vectors: whether the processor has those that make the convolutions of ``edgekit-ops`` the faster ones.

    Raises:
        ModelError: the runtime refuses the model.
    """
    try:
        typed = parts_of(model)
    except ModelError:
        return optimise(model)  # which says what is wrong with it
    found, apart = regions(typed), grids.convolutions(typed) if vectors else []
    made, plain = None, b""
    while made is None and (found or apart):
        optimised = parts_of(optimise(_with_stand_ins(typed, found, apart).serialised()))
        places = _places(optimised, found)
        if len(places) == len(found):
            tables = {one.name: _table(typed, one, opened) for one in found}
            zeros = {one.mark: one.zeros for one in apart if one.zeros is not None}
            made = _with_others(_exchanged(optimised, places, tables), vectors, zeros)
            if left := (zeros.keys() - optimised.tensors.keys()) | (zeros.keys() & made.tensors.keys()):
                made, apart = None, [one for one in apart if one.mark not in left]
        found = [one for one in found if one.name in places]
    if made is None:
        plain = optimise(model)
        made = _with_others(parts_of(plain), vectors, {})
    if not any(node.domain == DOMAIN for node in made.nodes):
        return plain or optimise(model)
    made.opsets[DOMAIN] = version
    return made.serialised()


def _with_others(made: Parts, vectors: bool, zeros: Mapping[str, Array]) -> Parts:
    return interpolation.exchanged(convolutions.exchanged(made, zeros) if vectors else made)


def applicable(model: bytes) -> int:
    """How many parts of a serialised typed model operators would compute."""
    try:
        typed = parts_of(model)
        return len(regions(typed)) + interpolation.applicable(typed)
    except ModelError:
        return 0


@dataclass(frozen=True)
class Region:
    """Nodes that make one rounded tensor of another, element by element.

    Args:
        given: the rounded tensor that they read.
        nodes: their positions, in order; the last rounds.
        name: of the stand-in: that of the node that computes last, so that layer profiles find it.
        dtype: of both tensors.
        channels: how many functions, one for each channel; 0: a single one.
    """

    given: str
    nodes: tuple[int, ...]
    name: str
    dtype: str
    channels: int


def regions(typed: Parts) -> list[Region]:
    """What can be a table in a typed model, in its order."""
    finder, found, names = _Finder(typed), list[Region](), set[str]()
    for at, node in enumerate(typed.nodes):
        if node.op == "QuantizeLinear" and (region := finder.region(at)) is not None and region.name not in names:
            found.append(region)
            names.add(region.name)
    # One of them may be a part of another that nobody else reads.
    kept = {node.name for node in _with_stand_ins(typed, found, ()).nodes if node.op == "Sigmoid"}
    return [one for one in found if one.name in kept]


class _Finder:
    def __init__(self, typed: Parts) -> None:
        self.typed = typed
        self.producers = typed.producers()
        self.readers = typed.readers()

    def region(self, end: int) -> Region | None:
        """That which ends with the QuantizeLinear at ``end``."""
        members, leaves = self._before(end)
        if len(leaves) != 1:
            return None
        (leaf,) = leaves
        given = self._rounded(leaf, members - {end})
        if given is None:
            return None
        members -= {self.producers[given]} if given != leaf else set()
        inside = tuple(sorted(members))
        computing = [at for at in inside if self.typed.nodes[at].op not in _ROUNDING]
        if all(self.typed.nodes[at].op in _SATURATING for at in computing) or not self._sealed(computing, members):
            return None
        channels = self._channels(inside, given, leaf)
        dtypes = {self._dtype(at) for at in (end, *self._reading(given, members))}
        name = self.typed.nodes[computing[-1]].name
        if channels is None or not name or len(dtypes) != 1 or not dtypes <= _INTEGERS:
            return None
        return Region(given, inside, name, dtypes.pop(), channels)

    def _before(self, end: int) -> tuple[set[int], set[str]]:
        """Nodes that work element by element and lead to ``end``, and what they read that is no constant."""
        members, leaves, pending = {end}, set[str](), list(self.typed.nodes[end].inputs)
        while pending:
            tensor = pending.pop()
            if not tensor or tensor in self.typed.constants:
                continue
            at = self.producers.get(tensor)
            if at is None or self.typed.nodes[at].op not in _ELEMENTWISE or self.typed.nodes[at].domain:
                leaves.add(tensor)
            elif at not in members:
                members.add(at)
                pending += self.typed.nodes[at].inputs
        return members, leaves

    def _reading(self, tensor: str, members: set[int]) -> list[int]:
        return [at for at in self.readers.get(tensor, ()) if at in members]

    def _rounded(self, leaf: str, members: set[int]) -> str | None:
        """The rounded tensor that everything comes from: the leaf, or what the only node that reads it makes of it."""
        reading = self._reading(leaf, members)
        ops = {self.typed.nodes[at].op for at in reading}
        if ops == {"DequantizeLinear"} and all(self.typed.nodes[at].inputs[0] == leaf for at in reading):
            return leaf
        return self.typed.nodes[reading[0]].outputs[0] if ops == {"QuantizeLinear"} and len(reading) == 1 else None

    def _sealed(self, computing: Sequence[int], members: set[int]) -> bool:
        """Whether nobody else reads what is computed on the way, so that none of it must be computed after all."""
        made = [name for at in computing for name in self.typed.nodes[at].outputs]
        shown = self.typed.outputs | self.typed.captured
        return all(name not in shown and members.issuperset(self.readers.get(name, ())) for name in made)

    def _dtype(self, at: int) -> str:
        """Of the integers that a rounding makes or reads."""
        inputs = self.typed.nodes[at].inputs
        found = self.typed.constants.get(inputs[2]) if len(inputs) > 2 else None
        return "uint8" if len(inputs) < 3 else "" if found is None else found.dtype

    def _channels(self, inside: Sequence[int], given: str, leaf: str) -> int | None:
        """How many functions there are; None: something is no function of the element, or of its channel."""
        found, deep = set[int](), False
        for at in inside:
            node = self.typed.nodes[at]
            for place, name in enumerate(node.inputs):
                constant = self.typed.constants.get(name)
                if constant is None:
                    continue
                shape = constant.shape
                deep |= len(shape) > 1
                if int(np.prod(shape)) == 1:
                    continue
                grid = node.op in _ROUNDING and place > 0
                if (
                    len(shape) == 1
                    if grid
                    else shape[-2:] == (1, 1) and len(shape) in (3, 4) and shape[:-3] in ((), (1,))
                ):
                    found.add(shape[0] if grid else shape[-3])
                    deep |= not grid or node.attributes.get("axis", 1) != 1
                else:
                    return None
        made = self._channels_of(leaf)
        if not found:
            return 0 if made or not deep else None
        return made if found == {made} else None

    def _channels_of(self, tensor: str) -> int:
        """Of the image that a convolution makes; 0: it is something else."""
        at = self.producers.get(tensor)
        node = None if at is None else self.typed.nodes[at]
        if node is None or node.op != "Conv" or node.domain:
            return 0
        weight = self._shape(node.inputs[1])
        return weight[0] if len(weight) == 4 else 0

    def _shape(self, weight: str) -> tuple[int, ...]:
        """Of a weight, rounded or not."""
        if weight not in self.typed.constants and weight in self.producers:
            weight = self.typed.nodes[self.producers[weight]].inputs[0]
        found = self.typed.constants.get(weight)
        return () if found is None else found.shape


def _with_stand_ins(typed: Parts, found: Sequence[Region], apart: Sequence[grids.Convolution]) -> Parts:
    """The typed model with a Sigmoid in place of each region, and with convolutions whose grids kernels take.

    Each stand-in reads on a grid of its own, so that the runtime does not take two of one tensor for the same.
    """
    changed, tensors = grids.written(typed, apart)
    for number, one in enumerate(found):
        prefix = f"{DOMAIN}/{number}"
        scale, zero = f"{prefix}/scale", f"{prefix}/zero"
        tensors[scale] = tensor_bytes(scale, np.array(1 / 64 + number / 65536, np.float32))
        tensors[zero] = tensor_bytes(zero, np.array(0, one.dtype))
        made = typed.nodes[one.nodes[-1]].outputs[0]
        changed[one.nodes[-1]] = [
            node_bytes("DequantizeLinear", [one.given, scale, zero], [f"{prefix}/x"], f"{prefix}/DequantizeLinear"),
            node_bytes("Sigmoid", [f"{prefix}/x"], [f"{prefix}/y"], one.name),
            node_bytes("QuantizeLinear", [f"{prefix}/y", scale, zero], [made], f"{prefix}/QuantizeLinear"),
        ]
    return typed.replaced(changed, tensors)


def _places(made: Parts, found: Sequence[Region]) -> dict[str, tuple[int, bool]]:
    """Position of each stand-in that came out as an integer operator, by name, and whether channels are last there."""
    wanted, producers = {one.name: one for one in found}, made.producers()
    places = dict[str, tuple[int, bool]]()
    for at, node in enumerate(made.nodes):
        if node.op != _STAND_IN or node.name not in wanted:
            continue
        layout = _channels_last(made, producers, node) if wanted[node.name].channels else False
        if layout is not None:
            places[node.name] = (at, layout)
    return places


def _channels_last(made: Parts, producers: Mapping[str, int], node: Node) -> bool | None:
    """Where the channels of the image are that a stand-in reads; None: not known."""
    at = producers.get(node.inputs[0])
    maker = None if at is None else made.nodes[at]
    if maker is not None and maker.op == "Transpose" and maker.lists.get("perm") == (0, 3, 1, 2):
        return False
    if maker is None or maker.op != "QLinearConv":
        return None
    return maker.attributes.get("channels_last", 0) == 1


def _exchanged(made: Parts, places: Mapping[str, tuple[int, bool]], tables: Mapping[str, Array]) -> Parts:
    changed, tensors = dict[int, list[bytes]](), dict[str, bytes]()
    for name, (at, channels_last) in places.items():
        node = made.nodes[at]
        table = f"{name}/table"
        tensors[table] = tensor_bytes(table, tables[name])
        inputs = [node.inputs[0], table]
        changed[at] = [node_bytes("LutU8", inputs, node.outputs, name, DOMAIN, channels_last=int(channels_last))]
    return made.replaced(changed, tensors)


def _table(typed: Parts, region: Region, opened: Opener) -> Array:
    """What the nodes of a region make of every byte: uint8 ``(256,)``, or ``(channels, 256)``."""
    made = typed.nodes[region.nodes[-1]].outputs[0]
    values = np.arange(_VALUES, dtype=np.uint8).view(region.dtype)
    given = np.broadcast_to(values[None, None, :, None], (1, max(1, region.channels), _VALUES, 1))
    model = small_model(typed, region.nodes, {region.given: (region.dtype, given.shape)}, [made])
    (found,) = opened(model).run([made], {region.given: np.ascontiguousarray(given)})
    table: Array = np.ascontiguousarray(found).view(np.uint8).reshape(-1, _VALUES)
    return table if region.channels else table[0]
