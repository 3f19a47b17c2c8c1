"""Mixed precision: leave the fewest milliseconds of layers in float that hold the accuracy floor.

Layers are ranked by the output noise they cause for each millisecond that float costs, both
measured, the milliseconds on the target itself; bisection finds how many must go, and the
slowest of them are tried again in INT8.  Then stretches of the network that are faster in
float anyway (activations without an integer kernel, small depthwise layers) are left in float.
The accuracy is always that of the engine over the validation frames.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import Field

from edgekit.core.errors import CheckFailed
from edgekit.core.reports import LayerNoise
from edgekit.qdq.graph import Graph, attribute, module_of
from edgekit.quantize.mixed.sensitivity import analyse_blocks, picture
from edgekit.quantize.mixed.variants import Variants
from edgekit.quantize.ptq import Config as PtqConfig
from edgekit.stats import faster
from edgekit.technique import Bench, Job, Quantized, TechniqueConfig

# Candidates are compared with few queries each: what decides is their order, not the figure.
QUERIES = 40
SUSPECTS = 16
STRETCHES = 4
# Layers that are tried in INT8 again, the slowest first, and times that a stretch is added.
RETRIES = 6
ROUNDS = 4
FIRST = 3
"""Layers at the input that are tried in float before any is blamed."""
_log = logging.getLogger("edgekit")


class Config(TechniqueConfig):
    """Mixed INT8 and float."""

    method: Literal["mixed"] = "mixed"
    max_drop: float = Field(
        ge=0, description="loss of the metric against FP32 on the validation frames that is allowed"
    )
    metric: str | None = Field(None, description="a metric of the task; default: its first")
    ptq: PtqConfig = PtqConfig()

    @property
    def measures(self) -> bool:
        return True


@dataclass(frozen=True)
class Found:
    """The layers to leave in float, the model, and whether it holds the floor."""

    exclude: tuple[str, ...]
    model: bytes
    accuracy: float
    holds: bool


def apply(job: Job, config: Config) -> Quantized:
    """Quantize ``job.source`` with the layers in float that the floor needs.

    Raises:
        CheckFailed: no choice of layers holds the floor.
        SpecError: there is no bench.
        DataError, ModelError: as :func:`edgekit.quantize.ptq.apply`.
    """
    bench = job.need_bench("method mixed")
    variants = Variants(job, config.ptq)
    layers = analyse_blocks(variants)
    reference = bench.control_accuracy()
    found = search(variants, bench, floor_of(reference, config.max_drop, bench), lambda: layers)
    if not found.holds:
        raise CheckFailed(
            f"no choice of float layers keeps {bench.metric.name} within {config.max_drop:g} of FP32's "
            f"{reference:.4f}; the best is {found.accuracy:.4f}: raise max_drop, or use method auto with qat"
        )
    record = variants.record() | {
        "method": "mixed",
        "config": config.model_dump(mode="json"),
        "excluded": list(found.exclude),
        "layers": [asdict(layer) for layer in layers],
        "accuracy": {"metric": bench.metric.name, "fp32": reference, "int8": found.accuracy},
    }
    return Quantized(
        found.model, record, files={"sensitivity.png": picture(layers, "Layers by output noise in INT8", found.exclude)}
    )


def floor_of(reference: float, max_drop: float, bench: Bench) -> float:
    """The worst accuracy that is allowed."""
    return reference - max_drop if bench.metric.higher else reference + max_drop


def holds(accuracy: float, floor: float, bench: Bench) -> bool:
    """Whether an accuracy is at least as good as the floor."""
    return accuracy >= floor if bench.metric.higher else accuracy <= floor


def search(variants: Variants, bench: Bench, floor: float, layers: Callable[[], Sequence[LayerNoise]]) -> Found:
    """The fastest mix found that holds ``floor``, or the most accurate one when none does.

    ``layers`` ranks the layers by their noise; it is called when leaving the first ones in float is not enough.
    """
    searcher = _Search(variants, bench, floor)
    exclude: tuple[str, ...] = ()
    if not searcher.holds(exclude):
        exclude = searcher.first() or searcher.fewest(searcher.ranked(layers()))
    if searcher.holds(exclude):
        exclude = searcher.faster_in_float(exclude)
    model = variants.model(exclude)
    accuracy = bench.accuracy(model)
    return Found(exclude, model, accuracy, holds(accuracy, floor, bench))


class _Search:
    def __init__(self, variants: Variants, bench: Bench, floor: float) -> None:
        self.variants = variants
        self.bench = bench
        self.floor = floor
        self.costs: dict[str, float] = {}
        """Milliseconds that leaving a suspect in float costs."""

    def holds(self, exclude: Collection[str]) -> bool:
        accuracy = self.bench.accuracy(self.variants.model(exclude))
        _log.info("mixed: %d layers in float: %s %.4f", len(exclude), self.bench.metric.name, accuracy)
        return holds(accuracy, self.floor, self.bench)

    def latencies(self, choices: Mapping[str, Collection[str]]) -> dict[str, float]:
        """Median milliseconds of each choice of float layers."""
        models = {name: self.variants.model(exclude) for name, exclude in choices.items()}
        with self.variants.job.progress.track("time candidates"):
            return {name: found.p50 for name, found in self.bench.latency(models, QUERIES).items()}

    def faster(self, choice: Collection[str], than: Collection[str]) -> bool:
        """Whether one choice of float layers makes the engine faster than another."""
        models = {"before": self.variants.model(than), "it": self.variants.model(choice)}
        with self.variants.job.progress.track("race"):
            times = self.bench.times_ms(models)
        return faster.faster(faster.speedup(times["before"], times["it"], faster.OPENINGS)) == "faster"

    def ranked(self, layers: Sequence[LayerNoise]) -> list[str]:
        """Layers in the order in which to leave them in float; the suspects by noise per millisecond, measured."""
        suspects = [layer for layer in layers if layer.noise_share > 0][:SUSPECTS]
        times = self.latencies({"": ()} | {layer.node: (layer.node,) for layer in suspects})
        least = 0.005 * times[""]  # what cannot be told from zero
        self.costs = {layer.node: max(times[layer.node] - times[""], least) for layer in suspects}

        def worth(layer: LayerNoise) -> float:
            return layer.noise_share / self.costs[layer.node]

        first = sorted(suspects, key=worth, reverse=True)
        named = {layer.node for layer in first}
        return [layer.node for layer in (*first, *(other for other in layers if other.node not in named))]

    def first(self) -> tuple[str, ...]:
        """The fewest layers at the input that are enough, without what turns out dispensable; empty: more are needed.

        What they lose is lost to all others, they are few, and to try them takes no sensitivity of all layers.
        """
        layers = self.variants.layers
        for count in range(1, min(FIRST, len(layers) - 1) + 1):
            if self.holds(layers[:count]):
                return self._needed(layers[:count], layers[: count - 1])
        return ()

    def _needed(self, kept: Sequence[str], doubtful: Sequence[str]) -> tuple[str, ...]:
        """``kept`` without those of ``doubtful`` that the floor does not need."""
        for name in doubtful:
            fewer = [other for other in kept if other != name]
            if self.holds(fewer):
                kept = fewer
        return tuple(kept)

    def fewest(self, order: Sequence[str]) -> tuple[str, ...]:
        """The shortest start of ``order`` that holds the floor, without what turns out dispensable.

        All but one layer when no start holds it.
        """
        order = order[:-1]
        low, high = 0, min(1, len(order))
        while high < len(order) and not self.holds(order[:high]):
            low, high = high, min(2 * high, len(order))
        if not self.holds(order[:high]):
            return tuple(order)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.holds(order[:middle]) else (middle, high)
        kept = list(order[:high])
        dearest = sorted(kept[:-1], key=lambda name: self.costs.get(name, 0.0), reverse=True)
        return self._needed(kept, dearest[:RETRIES])

    def faster_in_float(self, exclude: tuple[str, ...]) -> tuple[str, ...]:
        """Leave whole stretches of the network in float while that makes the engine faster."""
        for _ in range(ROUNDS):
            choices = {"": exclude} | self._stretches(exclude)
            times = self.latencies(choices)
            best = min(times, key=lambda name: times[name])
            # The least of many times is so by luck as well: it has to be faster in a race of two.
            if not best or not self.faster(choices[best], exclude) or not self.holds(choices[best]):
                return exclude
            exclude = tuple(choices[best])
        return exclude

    def _stretches(self, exclude: Collection[str]) -> dict[str, tuple[str, ...]]:
        """Further choices: each leaves one more kind of layer, or one more consecutive part, in float."""
        left = [name for name in self.variants.layers if name not in exclude]
        nodes = {node.name: node for node in self.variants.graph.nodes}
        groups: dict[str, list[str]] = {"depthwise": [n for n in left if _depthwise(nodes[n])]}
        for part in range(STRETCHES):
            start, end = part * len(left) // STRETCHES, (part + 1) * len(left) // STRETCHES
            groups[f"part {part}"] = left[start:end]
            groups[f"up to part {part}"] = left[:end]
            groups[f"from part {part}"] = left[start:]
        groups = {name: members for name, members in groups.items() if 0 < len(members) < len(left)}
        return {name: (*exclude, *members) for name, members in groups.items()}


def blamed(graph: Graph, exclude: Sequence[str]) -> str:
    """The excluded layers in words, in the order given."""
    nodes = {node.name: node for node in graph.nodes}
    names = [f"{module_of(nodes[name]) or name} ({nodes[name].op_type})" for name in exclude]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _depthwise(node: Any) -> bool:
    return bool(node.op_type == "Conv" and attribute(node, "group", 1) > 1)
