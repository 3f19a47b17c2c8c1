"""Where an engine departs from its typed model: the first layer whose output is too far from the reference.

The search builds the engine again and again, each time with one more tensor among its outputs, and halves the part
of the network that can be to blame: log2(tensors) builds.  One tensor at a time, because every output that is added
keeps a backend from fusing what surrounds it.
Polygraphy (https://github.com/NVIDIA/TensorRT/tree/main/tools/Polygraphy) marks the tensors.
"""

from __future__ import annotations

import glob
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.core.errors import MissingRequirement, ModelError
from edgekit.core.golden import Golden
from edgekit.core.progress import Progress
from edgekit.core.reports import Departure
from edgekit.core.tensors import Array
from edgekit.engine import Backend
from edgekit.onnxfile.graph import Node, read_graph
from edgekit.runtime import sessions
from edgekit.runtime.denormals import flushed
from edgekit.verification.parity import relative_l2


@dataclass(frozen=True)
class _Candidate:
    tensor: str
    node: Node


def find(
    backend: Backend,
    model: Path,
    golden: Golden,
    limit_rel_l2: float,
    progress: Progress,
) -> Departure | None:
    """The first layer of an engine that departs from its typed model, in the model's order.

    Everything before it holds the limit, as far as halving can tell: an error that a later layer hides stays unseen.

    Args:
        backend: that of the target.
        model: the typed ONNX file that the engine is built from.
        golden: gives the inputs; the largest difference over these frames counts.
        limit_rel_l2: relative L2 that is still no departure.
        progress: shows the builds.

    Returns:
        None when an engine that shows its tensors holds the limit at every output: what is shown cannot be fused away.

    Raises:
        MissingRequirement: onnx or polygraphy is not installed.
        ModelError: the model has no layer that could be to blame.
    """
    typed = _typed(model)
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder, progress.track("bisect"):
        probe = _Probe(backend, typed, golden, Path(folder))
        ends = {value.name: probe.error(value.name) for value in typed.graph.output}
        worst = max(ends, key=lambda name: ends[name])
        if not ends[worst] > limit_rel_l2:
            return None
        return _bisect(_candidates(typed, model, worst), ends[worst], limit_rel_l2, probe)


def _bisect(blamed: Sequence[_Candidate], error: float, limit: float, probe: _Probe) -> Departure:
    good, bad, before = -1, len(blamed) - 1, 0.0
    while bad - good > 1:
        middle = (good + bad) // 2
        found = probe.error(blamed[middle].tensor)
        if found > limit:
            bad, error = middle, found
        else:
            good, before = middle, found
    node = blamed[bad].node
    return Departure(node.name, node.op, node.module, blamed[bad].tensor, error, before, limit, probe.builds)


def reference(typed: Any, feeds: Mapping[str, Array], tensors: Sequence[str]) -> dict[str, Array]:
    """What an ONNX model, run without any graph optimisation, has at ``tensors``; it may not need all ``feeds``."""
    import onnxruntime

    if not tensors:
        return {}
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    sessions.configure(options)
    with flushed():
        session = onnxruntime.InferenceSession(
            marked(typed, tensors).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        known = {value.name for value in session.get_inputs()}
        wanted = {name: array for name, array in feeds.items() if name in known}
        return dict(zip(tensors, session.run(list(tensors), wanted), strict=True))


class _Probe:
    """Engines that show one tensor, against its reference."""

    def __init__(
        self,
        backend: Backend,
        typed: Any,
        golden: Golden,
        folder: Path,
    ) -> None:
        self._backend, self._typed = backend, typed
        self._golden, self._folder = golden, folder
        self.builds = 0

    def error(self, tensor: str) -> float:
        """Relative L2 at ``tensor``, the largest of the golden frames."""
        self.builds += 1
        source = self._folder / f"{self.builds}.onnx"
        engine = self._folder / f"{self.builds}{self._backend.suffix}"
        outputs = [value.name for value in self._typed.graph.output]
        source.write_bytes(marked(self._typed, [*outputs, tensor]).SerializeToString())
        self._backend.build(source, engine)
        with self._backend.engine(engine) as opened:
            return max(
                relative_l2(opened.infer(feeds)[tensor], reference(self._typed, feeds, [tensor])[tensor])
                for feeds in self._golden.inputs
            )


def _typed(model: Path) -> Any:
    try:
        import onnx
        import polygraphy  # noqa: F401  marks the outputs later
    except ImportError as error:
        raise MissingRequirement("onnx and polygraphy", 'pip install "edgekit[compress]"') from error
    return onnx.shape_inference.infer_shapes(onnx.load(model))


def marked(typed: Any, outputs: Sequence[str]) -> Any:
    """A copy of an ONNX model that has just these ``outputs``."""
    from polygraphy.backend.onnx import modify_outputs

    kept = {value.name: value for value in typed.graph.output}
    marked = modify_outputs(typed, outputs=[_literal(name) for name in dict.fromkeys(outputs)], copy=True)
    for value in marked.graph.output:
        # Polygraphy knows the types of inner tensors only.
        if value.name in kept:
            value.CopyFrom(kept[value.name])
    return marked


def _literal(name: str) -> str:
    """A tensor's name as the pattern that means just it; without wildcards Polygraphy takes it as it is."""
    return glob.escape(name)


def _candidates(typed: Any, model: Path, output: str) -> list[_Candidate]:
    """Float tensors that are computed from the inputs on the way to ``output``, in the model's order."""
    from onnx import TensorProto

    graph = read_graph(model)
    floats = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16}
    values = [*typed.graph.value_info, *typed.graph.output]
    typed_float = {value.name for value in values if value.type.tensor_type.elem_type in floats}
    live = {value.name for value in typed.graph.input} - set(graph.constants)
    for node in graph.nodes:
        if live.intersection(node.inputs):
            live.update(node.outputs)
    needed = {output}
    for node in reversed(graph.nodes):
        if needed.intersection(node.outputs):
            needed.update(node.inputs)
    wanted = typed_float & live & needed
    found = [_Candidate(tensor, node) for node in graph.nodes for tensor in node.outputs if tensor in wanted]
    if not found:
        raise ModelError(
            f"{model}: no layer on the way to output {output!r} computes in float; nothing can be compared"
        )
    return found
