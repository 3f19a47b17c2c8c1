"""Which layers does INT8 hurt?  Each layer is quantized alone and the noise at the model's outputs is measured.

The layer-wise analysis of Wu et al., "Integer quantization for deep learning inference:
principles and empirical evaluation", 2020, section 5.2, with output SQNR as the default
metric because it needs no labels and is smooth.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import islice, pairwise
from typing import Any

import numpy as np

from edgekit.core.reports import LayerNoise
from edgekit.core.tensors import Array
from edgekit.qdq.graph import Graph, module_of, run, runtime, session
from edgekit.quantize.mixed.variants import Variants
from edgekit.technique import Bench

FRAMES = 4
BLOCKS, BLAMED = 16, 0.8
"""Blocks that a deep network is cut into, and the share of the noise whose blocks are looked into layer by layer."""
SILENT_DB = 200.0
"""Reported for a layer whose quantization changes nothing."""


class _Noise:
    """Energy of what quantizing some layers alone changes in the outputs, over a few frames."""

    def __init__(self, variants: Variants) -> None:
        self.variants = variants
        self.feeds = list(islice(iter(variants.job.frames), FRAMES))
        self.exact = [_outputs(variants.graph.model, feed, variants.graph) for feed in self.feeds]
        self.signal = sum(_energy(values) for values in self.exact)

    def typed(self, layers: Collection[str]) -> bytes:
        return self.variants.model([other for other in self.variants.layers if other not in layers])

    def of(self, typed: bytes) -> float:
        return _noise(typed, self.feeds, self.exact, self.variants.graph)


def analyse(variants: Variants, bench: Bench | None = None) -> tuple[LayerNoise, ...]:
    """Layers of the model, the noisiest first.

    Args:
        variants: of the configuration to blame.
        bench: measures the loss of the task metric of every layer too; a full pass over the
            validation frames for each.
    """
    job, noises = variants.job, _Noise(variants)
    reference = bench.accuracy(job.source.read_bytes()) if bench else 0.0
    found: list[tuple[str, float, float | None]] = []
    with job.progress.track("sensitivity", len(variants.layers)) as advance:
        for name in variants.layers:
            typed = noises.typed([name])
            drop = _drop(reference, bench.accuracy(typed), bench) if bench else None
            found.append((name, noises.of(typed), drop))
            advance()
    return _ranked(variants, noises.signal, found)


def analyse_blocks(variants: Variants) -> tuple[LayerNoise, ...]:
    """As :func:`analyse`, of a deep network in a fraction of the time.

    Blocks of consecutive layers are quantized first, then alone the layers of those blocks that make most of the
    noise; the layers of the others share what their block makes.
    """
    layers = variants.layers
    if len(layers) <= 2 * BLOCKS:
        return analyse(variants)
    job, noises = variants.job, _Noise(variants)
    ends = [part * len(layers) // BLOCKS for part in range(BLOCKS + 1)]
    made: dict[tuple[str, ...], float] = {}
    with job.progress.track("sensitivity of blocks", BLOCKS) as advance:
        for start, end in pairwise(ends):
            made[layers[start:end]] = noises.of(noises.typed(layers[start:end]))
            advance()
    found: list[tuple[str, float, float | None]] = []
    blamed, left = sorted(made, key=lambda block: -made[block]), sum(made.values())
    with job.progress.track("sensitivity", len(layers)) as advance:
        for block in blamed:
            alone = left > (1 - BLAMED) * sum(made.values())
            left -= made[block]
            for name in block:
                noise = noises.of(noises.typed([name])) if alone else made[block] / len(block)
                found.append((name, noise, None))
                advance()
    return _ranked(variants, noises.signal, found)


def _ranked(
    variants: Variants, signal: float, found: Sequence[tuple[str, float, float | None]]
) -> tuple[LayerNoise, ...]:
    """Of layers with their noise and their loss of the metric, the worst first."""
    total = sum(noise for _, noise, _ in found) or 1.0
    nodes = {node.name: node for node in variants.graph.nodes}
    ranked = sorted(found, key=lambda item: (-(item[2] or 0.0), -item[1]))
    return tuple(
        LayerNoise(name, nodes[name].op_type, module_of(nodes[name]), _decibels(signal, noise), noise / total, drop)
        for name, noise, drop in ranked
    )


def _drop(reference: float, found: float, bench: Bench) -> float:
    return reference - found if bench.metric.higher else found - reference


def _noise(typed: bytes, feeds: Sequence[Any], exact: Sequence[list[Array]], graph: Graph) -> float:
    import onnx

    opened = _open(onnx.load_from_string(typed))
    total = 0.0
    for feed, wanted in zip(feeds, exact, strict=True):
        for value, true in zip(run(opened, graph.outputs, feed), wanted, strict=True):
            total += _energy([value.astype(np.float64) - true])
    return total


def _outputs(model: Any, feed: Any, graph: Graph) -> list[Array]:
    return run(_open(model), graph.outputs, feed)


def _open(model: Any) -> Any:
    options = runtime().SessionOptions()
    options.log_severity_level = 3
    return session(model, options)


def _energy(values: Sequence[Array]) -> float:
    return float(sum(np.sum(np.square(value, dtype=np.float64)) for value in values))


def _decibels(signal: float, noise: float) -> float:
    return min(SILENT_DB, float(10 * np.log10(signal / noise))) if noise > 0 and signal > 0 else SILENT_DB


def picture(layers: Sequence[LayerNoise], title: str, excluded: Collection[str] = (), count: int = 25) -> bytes:
    """A PNG bar chart of the noisiest layers' shares; those left in float (``excluded``) are hollow."""
    import io

    from matplotlib.figure import Figure

    shown = list(layers[:count])[::-1]
    figure = Figure(figsize=(9, 1.2 + 0.28 * len(shown)), layout="constrained")
    axes = figure.add_subplot()
    bars = axes.barh(
        [f"{layer.module or layer.node} ({layer.op})" for layer in shown],
        [100 * layer.noise_share for layer in shown],
        color=["white" if layer.node in excluded else "#c44e52" for layer in shown],
        edgecolor="#c44e52",
    )
    axes.bar_label(bars, [f"{layer.sqnr_db:.0f} dB" for layer in shown], padding=3, fontsize=8)
    axes.set_xlabel("share of the output noise, per cent (label: output SQNR with this layer alone in INT8)")
    axes.set_title(f"{title} (hollow: left in float)" if excluded else title)
    axes.margins(x=0.12)
    axes.tick_params(axis="y", labelsize=8)
    stored = io.BytesIO()
    figure.savefig(stored, format="png", metadata={"Software": None})
    return stored.getvalue()
