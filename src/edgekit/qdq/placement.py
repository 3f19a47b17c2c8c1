"""Which tensors are rounded, on which shared grids, and who reads the rounded values: the plan of a profile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from edgekit.core.errors import ModelError
from edgekit.qdq.channels_last import Step, steps
from edgekit.qdq.graph import Graph, attribute, interpolates
from edgekit.qdq.perchannel import by_channel
from edgekit.qdq.profiles import MOVES, SATURATIONS, Profile
from edgekit.qdq.seen import function_of


@dataclass(frozen=True)
class Plan:
    """Where rounding goes.

    Args:
        profile: whose rules were followed.
        compute: names of the nodes that get integer weights.
        groups: every rounded tensor with the name of its group; a group shares one grid.
        reads: (node name, input index) of every reader of rounded values.
        replaced: tensors that exist rounded only: an integer kernel makes them.
        folded: names of the saturating nodes that the grid replaces.
        on_integers: names of the nodes that compute on the integers themselves.
        channels_last: names of the moves that are written on the integers, in that order of memory.
        float_nodes: compute nodes that stay float, with the reason.
        by_channel: tensors that have a grid per channel, where the ranges of channels are known.
    """

    profile: Profile
    compute: tuple[str, ...]
    groups: dict[str, str]
    reads: frozenset[tuple[str, int]]
    replaced: frozenset[str]
    folded: frozenset[str]
    on_integers: frozenset[str]
    channels_last: dict[str, tuple[Step, ...]]
    float_nodes: dict[str, str]
    by_channel: frozenset[str] = frozenset()

    @property
    def tensors(self) -> tuple[str, ...]:
        """Tensors whose range decides a grid."""
        return tuple(self.groups)


def plan(graph: Graph, profile: Profile, exclude: Collection[str] = ()) -> Plan:
    """Place rounding for ``profile``; nodes named in ``exclude`` stay float.

    Raises:
        ModelError: nothing is left to quantize.
    """
    planner = _Planner(graph, profile, exclude)
    if not planner.compute:
        kept = "; ".join(f"{name}: {why}" for name, why in list(planner.float_nodes.items())[:3])
        raise ModelError(
            f"no operator to quantize: INT8 needs one of {', '.join(sorted(profile.compute))} "
            f"with constant weights{f' ({kept})' if kept else ''}"
        )
    return planner.rounding_outputs() if profile.rounds_outputs else planner.rounding_inputs()


class _Planner:
    def __init__(self, graph: Graph, profile: Profile, exclude: Collection[str]) -> None:
        self.graph = graph
        self.profile = profile
        self.exclude = set(exclude)
        self.float_nodes: dict[str, str] = {}
        self.able: set[str] = set()
        self.compute = {node.name for node in graph.nodes if self._computes(node)}
        self.groups: dict[str, str] = {}
        self.reads: set[tuple[str, int]] = set()
        self.replaced: set[str] = set()
        self.folded: set[str] = set()
        self.on_integers: set[str] = set()
        self.channels_last: dict[str, tuple[Step, ...]] = {}
        self.tables: dict[str, str] = {}
        """What a table makes of each rounded tensor that it alone reads."""

    def _computes(self, node: Any) -> bool:
        if node.op_type not in self.profile.compute:
            return False
        reason = self._why_float(node)
        if not reason:
            self.able.add(node.name)
            reason = "excluded" if node.name in self.exclude else ""
        if reason:
            self.float_nodes[node.name] = reason
        return not reason

    def _why_float(self, node: Any) -> str:
        constants = self.graph.constants
        if self._casts_weights(node):
            return "it does not compute in float32"
        if node.input[1] not in constants:
            return "its second input is no constant"
        if not self.graph.is_float(node.input[0]) or constants[node.input[1]].data_type != 1:
            return "it does not compute in float32"
        if len(node.input) > 2 and node.input[2] and node.input[2] not in constants:
            return "its bias is no constant"
        if node.op_type == "Gemm" and _odd_gemm(node, constants):
            return "alpha, beta or transA are set, or the bias is no vector"
        return ""

    def _casts_weights(self, node: Any) -> bool:
        # ONNX Runtime wraps operators that it has in float32 only in Casts.
        maker = self.graph.producer.get(node.input[1])
        return maker is not None and maker.op_type == "Cast" and maker.input[0] in self.graph.constants

    # -- runtimes whose integer kernels give integers ------------------------------------------

    def rounding_outputs(self) -> Plan:
        integer = self._integer_region()
        by_name = {node.name: node for node in self.graph.nodes}
        for name in (node.name for node in self.graph.nodes if node.name in integer):
            node = by_name[name]
            for index in self._data_inputs(node):
                if node.input[index] not in self.graph.constants:
                    self._round(node.input[index])
                self.reads.add((name, index))
            for made in node.output:
                self._round_output(node, made, integer)
        for node in self.graph.nodes:
            if node.name in integer and _moves(node):
                self._share(node.output, node.input[0])
                self._write_channels_last(node)
            elif node.name in integer and node.op_type in self.profile.on_integers:
                self._share([*node.output, *node.input[1:]], node.input[0])
                self.on_integers.add(node.name)
        for node in self.graph.nodes:
            if node.op_type == "Concat" and node.name in integer:
                self._share(self._made_for(node), node.output[0])
        for tensor in self.replaced:
            for user in self.graph.consumers.get(tensor, []):
                self.reads.update((user.name, i) for i, name in enumerate(user.input) if name == tensor)
        if self.profile.tables:
            self._leave_tables_whole()
        return self._finished()

    def _made_for(self, node: Any) -> list[str]:
        """Integer inputs of ``node`` that nobody else reads: made on its grid, they are rounded once and not twice."""
        alone = Counter(self.groups.values())
        return [
            name
            for name in dict.fromkeys(node.input)
            if name in self.replaced
            and alone[self.groups[name]] == 1
            and len(self.graph.consumers[name]) == 1
            and name not in self.graph.outputs
            and self.graph.producer[name].name not in self.folded  # the end of a grid of its own saturates there
        ]

    def _write_channels_last(self, node: Any) -> None:
        if node.output[0] in self.replaced and node.output[0] not in self.graph.captured:
            found = steps(self.graph, node)
            if found:
                self.channels_last[node.name] = found

    def _integer_region(self) -> set[str]:
        """Compute nodes, and glue and moves between integer nodes: the largest such set."""
        integer = set(self.compute)
        for node in self.graph.nodes:
            if node.name not in self.exclude and (node.op_type in self.profile.glue or _moves(node)):
                integer.add(node.name)
        while True:
            stray = {n.name for n in self.graph.nodes if n.name in integer - self.compute and self._stray(n, integer)}
            if not stray:
                return integer
            integer -= stray

    def _stray(self, node: Any, integer: set[str]) -> bool:
        if node.op_type in self.profile.on_integers and any(name in self.graph.constants for name in node.input):
            return True  # a constant has a grid of its own
        if node.op_type in self.profile.on_integers and node.output[0] in self.graph.captured:
            return True  # a subgraph reads the values, and there would only be integers
        data = [node.input[i] for i in self._data_inputs(node) if node.input[i] not in self.graph.constants]
        if not data or not all(self.graph.is_float(name) and self._is_integer(name, integer) for name in data):
            return True
        # A shuffle of bytes costs a quarter of a shuffle of floats, whoever reads it.
        return node.op_type != "DepthToSpace" and not any(self._reaches_integer(n, integer) for n in node.output)

    def _is_integer(self, name: str, integer: set[str]) -> bool:
        producer = self.graph.producer.get(name)
        if producer is None:
            return name in self.graph.inputs
        if self._folds(producer):
            return self._is_integer(producer.input[0], integer)
        return producer.name in integer and producer.op_type not in self.profile.float_outputs

    def _reaches_integer(self, name: str, integer: set[str]) -> bool:
        for user in self.graph.consumers.get(name, []):
            if user.name in integer or (self._folds(user) and self._reaches_integer(user.output[0], integer)):
                return True
        return False

    def _folds(self, node: Any) -> bool:
        """Whether the end of the grid can replace ``node``: the only reader of an integer tensor, and zero in reach."""
        if not self.profile.folds_saturation or node.op_type not in SATURATIONS or node.name in self.exclude:
            return False
        if node.input[0] in self.graph.outputs or len(self.graph.consumers[node.input[0]]) > 1:
            return False
        if node.output[0] in self.graph.captured:
            return False  # a subgraph reads what was not rounded
        if self._shares_its_grid(node.output[0]):
            return False  # the end of a grid that others widen saturates elsewhere
        producer = self.graph.producer.get(node.input[0])
        if producer is None or producer.op_type not in self.profile.compute | {"Add", "Mul"}:
            return False
        return node.op_type == "Relu" or self._holds_zero(node)

    def _shares_its_grid(self, name: str) -> bool:
        users = self.graph.consumers.get(name, [])
        return any(
            user.op_type in self.profile.on_integers or (_moves(user) and self._shares_its_grid(user.output[0]))
            for user in users
        )

    def _holds_zero(self, clip: Any) -> bool:
        bounds = [name for name in clip.input[1:] if name]
        if any(name not in self.graph.constants for name in bounds):
            return False
        low, high = (
            float(self.graph.array(clip.input[i]).item()) if len(clip.input) > i and clip.input[i] else limit
            for i, limit in ((1, float("-inf")), (2, float("inf")))
        )
        return low <= 0 <= high

    def _data_inputs(self, node: Any) -> Iterator[int]:
        if node.op_type in self.profile.compute or _moves(node):
            yield 0
        else:
            yield from range(len(node.input))

    def _round_output(self, node: Any, made: str, integer: set[str]) -> None:
        gives_float = node.op_type in self.profile.float_outputs
        if gives_float and not self._reaches_integer(made, integer):
            return
        users = self.graph.consumers.get(made, [])
        if len(users) == 1 and self._folds(users[0]):
            self.folded.add(users[0].name)
            made = users[0].output[0]
            gives_float = False
        self._round(made)
        if not gives_float:
            self.replaced.add(made)

    # -- runtimes that round inputs and fuse the rest ------------------------------------------

    def rounding_inputs(self) -> Plan:
        for node in self.graph.nodes:
            if node.name in self.compute:
                self._round(node.input[0])
                self.reads.add((node.name, 0))
            elif node.op_type == "Add" and node.name not in self.exclude:
                self._round_residual(node)
        for node in reversed(self.graph.nodes):
            if node.output[0] not in self.groups or not (_moves(node) or node.op_type == "Concat"):
                continue
            if self._carries(node):
                self._round_before(node)
            else:
                # Rounding moves through these, so that their inputs are stored as integers too.
                self._share([name for name in node.input if name in self.groups], node.output[0])
        return self._finished()

    def _carries(self, node: Any) -> bool:
        """Whether rounding before ``node`` does for everybody who reads it."""
        made = node.output[0]
        if node.op_type not in self.profile.carriers or node.name in self.exclude:
            return False
        if made in self.graph.outputs or made in self.graph.captured:
            return False
        if any(name in self.graph.constants or not self.graph.is_float(name) for name in self._carried(node)):
            return False
        users = self.graph.consumers.get(made, [])
        return all((u.name, i) in self.reads for u in users for i, name in enumerate(u.input) if name == made)

    def _carried(self, node: Any) -> list[str]:
        return list(node.input) if node.op_type == "Concat" else [node.input[0]]

    def _round_before(self, node: Any) -> None:
        made, given = node.output[0], self._carried(node)
        self._share([made, *given], given[0])
        self.reads.update((node.name, index) for index in range(len(given)))
        for user in self.graph.consumers.get(made, []):
            self.reads.difference_update((user.name, i) for i, name in enumerate(user.input) if name == made)
        del self.groups[made]

    def _is_one_kernel(self, node: Any, given: str) -> bool:
        """Whether the runtime makes an integer kernel of its own of ``node`` alone, which reads one grid."""
        own = self.profile.glue | self.profile.on_integers | SATURATIONS
        return node.op_type in own and all(name == given or name in self.graph.constants for name in node.input)

    def _leave_tables_whole(self) -> None:
        """Round nothing inside of a function of one rounded tensor that a table computes."""
        for given in sorted(self.replaced & self.groups.keys()):
            function = function_of(self.graph, given)
            if function is None or function.nodes[-1].output[0] not in self.groups:
                continue
            if not self._is_one_kernel(function.nodes[-1], given):
                self.tables[given] = function.nodes[-1].output[0]
            for inside in (node.output[0] for node in function.nodes[:-1]):
                self.groups.pop(inside, None)
                self.replaced.discard(inside)
                for user in self.graph.consumers[inside]:
                    self.reads.difference_update((user.name, i) for i, name in enumerate(user.input) if name == inside)

    def _round_residual(self, add: Any) -> None:
        """Round the branch that does not end in the last convolution; the runtime fuses Add into that one.

        Which branch that is does not depend on ``exclude``, so that excluding more never rounds more.
        """
        order = {node.name: index for index, node in enumerate(self.graph.nodes)}
        if any(not self.graph.is_float(n) or n in self.graph.constants for n in add.input):
            return
        fused = [i for i, name in enumerate(add.input) if self._sole_compute_output(name)]
        if not fused:
            return
        kept = max(fused, key=lambda i: order[self.graph.producer[add.input[i]].name])
        if self.graph.producer[add.input[kept]].name in self.compute:
            self._round(add.input[1 - kept])
            self.reads.add((add.name, 1 - kept))

    def _sole_compute_output(self, name: str) -> bool:
        producer = self.graph.producer.get(name)
        alone = len(self.graph.consumers.get(name, [])) == 1 and name not in self.graph.outputs
        return producer is not None and producer.name in self.able and alone

    # -- both --------------------------------------------------------------------------------

    def _round(self, name: str) -> None:
        self.groups.setdefault(name, name)

    def _share(self, names: Collection[str], with_name: str) -> None:
        """Join the groups of ``names`` with that of ``with_name``."""
        self._round(with_name)
        for name in names:
            old, new = self.groups.setdefault(name, name), self.groups[with_name]
            for member, group in self.groups.items():
                if group == old:
                    self.groups[member] = new

    def _finished(self) -> Plan:
        compute = tuple(node.name for node in self.graph.nodes if node.name in self.compute)
        return Plan(
            self.profile,
            compute,
            dict(self.groups),
            reads=frozenset(self.reads),
            replaced=frozenset(self.replaced),
            folded=frozenset(self.folded),
            on_integers=frozenset(self.on_integers),
            channels_last=self.channels_last,
            float_nodes=self.float_nodes,
            by_channel=by_channel(self.graph, self.profile, self.groups, self.reads, self.tables),
        )


def _moves(node: Any) -> bool:
    """Whether values pass unchanged; an Identity would have been removed."""
    if node.op_type == "Resize":
        return not interpolates(node)
    return node.op_type in MOVES and len(node.output) == 1


def _odd_gemm(node: Any, constants: Any) -> bool:
    bias = constants[node.input[2]] if len(node.input) > 2 and node.input[2] else None
    plain = attribute(node, "alpha", 1.0) == 1.0 and attribute(node, "beta", 1.0) == 1.0
    return not plain or attribute(node, "transA", 0) == 1 or (bias is not None and len(bias.dims) != 1)
