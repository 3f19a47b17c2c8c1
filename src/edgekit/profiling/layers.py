"""Where the time of a query goes: by layer, by module, by operator."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.core.errors import DataError, InputError
from edgekit.core.reports import LayerTime
from edgekit.core.tensors import Arrays
from edgekit.engine import Engine, LayerEvent
from edgekit.profiling.roofline import flops, traffic

COLUMNS = ("layer", "operator", "dtype", "ms", "share", "GFLOP/s", "bound")
"""Headings of :func:`rows`."""

LAYOUT = frozenset({"Reorder", "ReorderInput", "ReorderOutput", "Transpose"})
CONVERSION = frozenset({"Cast", "DequantizeLinear", "DynamicQuantizeLinear", "QuantizeLinear"})

WARMUP = 5
_ROOT = "model"


def layer_events(
    engine: Engine, feeds: Arrays, queries: int = 50, source: Path | None = None, warmup: int = WARMUP
) -> tuple[LayerEvent, ...]:
    """Layer events of ``queries`` queries after ``warmup`` others, numbered from 0.

    Args:
        engine: open; it runs in a profiled session of its own.
        feeds: one set of inputs.
        queries: at least 1.
        source: the typed ONNX model of the engine, which names its layers.
        warmup: queries that do not count.

    Raises:
        InputError: the backend has no layer profile.
    """
    if warmup < 0 or queries < 1:
        raise InputError(f"a layer profile of {queries} queries after {warmup}; expected at least 1 after at least 0")
    events = engine.profile_layers(feeds, warmup + queries, source)
    return tuple(dataclasses.replace(e, query=e.query - warmup) for e in events if e.query >= warmup)


def layer_times(
    engine: Engine, feeds: Arrays, queries: int = 50, source: Path | None = None, warmup: int = WARMUP
) -> tuple[LayerTime, ...]:
    """Mean time of each layer in a query, the slowest first: :func:`summarise_layers` of :func:`layer_events`."""
    return summarise_layers(layer_events(engine, feeds, queries, source, warmup))


def summarise_layers(events: Sequence[LayerEvent]) -> tuple[LayerTime, ...]:
    """Mean time of each layer in a query, the slowest first.

    A layer that runs others (a loop, a branch) counts only the time that is its own. ``node`` is the node of
    the typed model where it is known, otherwise the runtime's name.

    Raises:
        DataError: there are no events.
    """
    if not events:
        raise DataError("a layer profile without events; run at least one query")
    queries = len({event.query for event in events})
    total_us: dict[str, float] = defaultdict(float)
    for event, own_us in zip(events, _own_times(events), strict=True):
        total_us[event.name] += own_us
    first = {event.name: event for event in reversed(events)}
    mains = Counter(event.nodes[0] for event in first.values() if event.nodes)
    whole = sum(total_us.values())
    layers = [
        _layer(first[name], us / queries / 1e3, us / whole if whole else 0.0, mains) for name, us in total_us.items()
    ]
    return tuple(sorted(layers, key=lambda layer: (-layer.ms, layer.node)))


def _layer(event: LayerEvent, ms: float, share: float, mains: Counter[str]) -> LayerTime:
    known = bool(event.nodes) and mains[event.nodes[0]] == 1
    return LayerTime(
        node=event.nodes[0] if known else event.name,
        op=event.op,
        module=event.module,
        dtype=next((tensor.dtype for tensor in (*event.inputs, *event.outputs)), ""),
        ms=ms,
        share=share,
        flops=flops(event),
        bytes=traffic(event),
        fused=event.nodes[1:] if known else event.nodes,
    )


def _own_times(events: Sequence[LayerEvent]) -> list[float]:
    """Microseconds of each event less those of the events inside it (on its thread, in its query)."""
    times_us = [event.duration_us for event in events]
    order = sorted(
        range(len(events)),
        key=lambda i: (events[i].query, events[i].thread, events[i].start_us, -events[i].duration_us),
    )
    around: list[int] = []
    for at in order:
        event = events[at]
        while around and not _holds(events[around[-1]], event):
            around.pop()
        if around:
            times_us[around[-1]] -= event.duration_us
        around.append(at)
    return [max(0.0, us) for us in times_us]


def _holds(outer: LayerEvent, inner: LayerEvent) -> bool:
    same = (outer.query, outer.thread) == (inner.query, inner.thread)
    return same and inner.start_us + inner.duration_us <= outer.start_us + outer.duration_us


def rows(layers: Sequence[LayerTime], top: int = 10) -> list[tuple[str, ...]]:
    """The slowest ``top`` layers as a table under :data:`COLUMNS`, and one line for the rest."""
    ranked = sorted(layers, key=lambda layer: -layer.ms)
    table: list[tuple[str, ...]] = [
        (
            layer.module or layer.node,
            layer.op,
            layer.dtype,
            f"{layer.ms:.3f}",
            f"{layer.share:.1%}",
            f"{layer.flops / layer.ms / 1e6:.1f}" if layer.flops and layer.ms > 0 else "",
            layer.bound or "",
        )
        for layer in ranked[:top]
    ]
    rest = ranked[top:]
    if rest:
        ms, share = sum(layer.ms for layer in rest), sum(layer.share for layer in rest)
        table.append((f"{len(rest)} more", "", "", f"{ms:.3f}", f"{share:.1%}", "", ""))
    return table


@dataclass(frozen=True)
class Group:
    """Layers of one kind together: their number, milliseconds in a query, and share of all."""

    name: str
    layers: int
    ms: float
    share: float


def by_operator(layers: Iterable[LayerTime]) -> tuple[Group, ...]:
    """Time by the runtime's operator, the most first."""
    found: dict[str, list[LayerTime]] = defaultdict(list)
    for layer in layers:
        found[layer.op].append(layer)
    return tuple(sorted((_group(op, members) for op, members in found.items()), key=lambda g: (-g.ms, g.name)))


def overhead(layers: Sequence[LayerTime]) -> dict[str, Group]:
    """What the model does not ask for: ``layout`` (moving tensors between layouts) and ``quantization``
    (conversions between dtypes that no kernel took in).

    Judged by the operator: a Transpose or Cast that the model itself holds counts too.
    """
    kinds = {"layout": LAYOUT, "quantization": CONVERSION}
    return {name: _group(name, [layer for layer in layers if layer.op in kind]) for name, kind in kinds.items()}


def _group(name: str, members: Sequence[LayerTime]) -> Group:
    return Group(name, len(members), sum(m.ms for m in members), sum(m.share for m in members))


def tree(layers: Iterable[LayerTime]) -> dict[str, list[str] | list[float]]:
    """The layers in their modules, for a treemap, sunburst or icicle: columns of equal length.

    ``ids``, ``labels``, ``parents`` (ids; the root's is empty) and ``values``: milliseconds in a query, where a
    module's value is the sum of what is in it (Plotly: ``branchvalues="total"``). Parents come before their children.
    """
    labels, parents = {_ROOT: _ROOT}, {_ROOT: ""}
    values: dict[str, float] = defaultdict(float)
    for layer in layers:
        parts = layer.module.split(".") if layer.module else []
        path = [_ROOT]
        for depth, part in enumerate(parts, start=1):
            path.append(f"{_ROOT}/{'.'.join(parts[:depth])}")
            labels[path[-1]], parents[path[-1]] = part, path[-2]
        leaf = f"{path[-1]}#{layer.node}"
        labels[leaf], parents[leaf] = f"{layer.op} {layer.node}", path[-1]
        for place in (*path, leaf):
            values[place] += layer.ms
    ids = list(labels)
    return {
        "ids": ids,
        "labels": [labels[i] for i in ids],
        "parents": [parents[i] for i in ids],
        "values": [values[i] for i in ids],
    }
