"""Which rounded tensors have a grid for each channel: those that depthwise convolutions alone read.

Its scales go into the multipliers that a depthwise kernel has for each channel anyway, so there it costs nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from edgekit.qdq.graph import Graph, is_depthwise
from edgekit.qdq.profiles import Profile


def by_channel(
    graph: Graph,
    profile: Profile,
    groups: Mapping[str, str],
    reads: Collection[tuple[str, int]],
    tables: Mapping[str, str],
) -> frozenset[str]:
    """Names of these tensors, of a plan's ``groups`` and ``reads``.

    Args:
        graph: the network.
        profile: whose rules are followed.
        groups: every rounded tensor with the name of its group, which shares one grid.
        reads: (node name, input index) of every reader of rounded values.
        tables: what a table makes of each rounded tensor that it alone reads.  With tables only what one makes of a
            convolution's image can have such a grid, and then what it reads has one, too.
    """
    if not profile.by_channel:
        return frozenset()
    members = Counter(groups.values())
    alone = {name for name, group in groups.items() if members[group] == 1}
    able = _read_by_depthwise(graph, profile, groups, reads) & alone
    if not profile.tables:
        return frozenset(able)
    given = {name for name in alone & tables.keys() if tables[name] in able and _is_image_of_convolution(graph, name)}
    return frozenset(given | {tables[name] for name in given})


def _read_by_depthwise(
    graph: Graph, profile: Profile, groups: Mapping[str, str], reads: Collection[tuple[str, int]]
) -> set[str]:
    """Rounded tensors that depthwise convolutions alone read rounded."""
    readers: dict[str, list[Any]] = {}
    for node in graph.nodes:
        for index, name in enumerate(node.input):
            if name in groups and (node.name, index) in reads:
                readers.setdefault(name, []).append(node)
    kernels = profile.kernels
    return {name for name, nodes in readers.items() if all(is_depthwise(graph, node, kernels) for node in nodes)}


def _is_image_of_convolution(graph: Graph, name: str) -> bool:
    maker = graph.producer.get(name)
    return maker is not None and maker.op_type == "Conv" and len(graph.shapes.get(maker.input[1], ())) == 4
