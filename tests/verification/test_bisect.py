"""The first layer of an engine that departs from its typed model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgekit import pipeline
from edgekit.core.errors import CheckFailed, MissingRequirement, ModelError
from edgekit.core.golden import Golden
from edgekit.core.progress import Progress, Silent
from edgekit.engine import Backend, ort
from edgekit.stages import prove
from edgekit.verification import bisect
from edgekit.verification.parity import LIMITS

LAYERS = 9
CPU = ort.Config(engine="ort")
LIMIT = 1e-3
SILENT = Silent()


def chain(path: Path, integers: bool = False) -> Path:
    """``LAYERS`` convolutions of 4 channels, tensors named like ``a[3]``, a second output beside the last."""
    rng = np.random.default_rng(0)
    nodes, weights = [], []
    for layer in range(LAYERS):
        weights.append(numpy_helper.from_array(rng.normal(0, 0.5, (4, 4, 1, 1)).astype(np.float32), f"w{layer}"))
        nodes.append(helper.make_node("Conv", [f"a[{layer}]", f"w{layer}"], [f"a[{layer + 1}]"], name=f"conv{layer}"))
    nodes.append(helper.make_node("Relu", ["a[2]"], ["early"], name="relu"))
    ends = (f"a[{LAYERS}]", "early")
    if integers:
        nodes, weights = [helper.make_node("Cast", ["a[0]"], [end], to=TensorProto.INT32) for end in ends], []
    kind, shape = TensorProto.INT32 if integers else TensorProto.FLOAT, [1, 4, 3, 3]
    given = [helper.make_tensor_value_info("a[0]", TensorProto.FLOAT, shape)]
    made = [helper.make_tensor_value_info(end, kind, shape) for end in ends]
    graph = helper.make_graph(nodes, "chain", given, made, weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def golden_of(model: Path) -> Golden:
    rng = np.random.default_rng(1)
    golden = Golden(tuple({"a[0]": rng.normal(size=(1, 4, 3, 3)).astype(np.float32)} for _ in range(2)))
    with ort.reference(model, CPU) as engine:
        return golden.with_reference("fp32", [engine.infer(feeds) for feeds in golden.inputs])


class Changed(ort.Backend):
    """Builds another model than it is given, and shows no inner tensors."""

    parts = Backend.parts  # type: ignore[assignment]

    def __init__(self, change: Callable[[onnx.ModelProto], None]) -> None:
        super().__init__(CPU)
        self._change = change

    def build(self, source: Path, target: Path, progress: Progress = SILENT) -> None:
        model = onnx.load(source)
        self._change(model)
        changed = target.with_suffix(".changed")
        onnx.save(model, changed)
        super().build(changed, target)


def wrong_at(*layers: int) -> Changed:
    """A backend that gets the weights of some layers wrong."""

    def change(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            if tensor.name in {f"w{layer}" for layer in layers}:
                tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1.1), tensor.name))

    return Changed(change)


@pytest.mark.parametrize("layer", range(LAYERS))
def test_the_layer_that_departs_is_found(layer: int, tmp_path: Path) -> None:
    model = chain(tmp_path / "m.onnx")
    found = bisect.find(wrong_at(layer), model, golden_of(model), LIMIT, Silent())
    assert found is not None
    assert (found.node, found.op, found.tensor) == (f"conv{layer}", "Conv", f"a[{layer + 1}]")
    assert found.rel_l2 == pytest.approx(0.1, rel=0.01)
    assert found.before <= LIMIT == found.limit_rel_l2
    assert 2 <= found.builds <= 2 + 4  # both outputs, and the logarithm of nine layers


def test_the_first_of_several(tmp_path: Path) -> None:
    model = chain(tmp_path / "m.onnx")
    found = bisect.find(wrong_at(3, 5, 8), model, golden_of(model), LIMIT, Silent())
    assert found is not None
    assert found.node == "conv3"


def test_an_engine_that_computes_what_is_written(tmp_path: Path) -> None:
    model = chain(tmp_path / "m.onnx")
    assert bisect.find(wrong_at(), model, golden_of(model), LIMIT, Silent()) is None


def test_the_error_of_a_failed_proof_names_the_layer(tmp_path: Path) -> None:
    model, backend = chain(tmp_path / "m.onnx"), wrong_at(4)
    engine = tmp_path / f"m{ort.Backend.suffix}"
    backend.build(model, engine)
    message = r"the first layer that departs is Conv 'conv4': 0\.1, after .* before it; build again"
    with pytest.raises(CheckFailed, match=message):
        prove.prove(backend, (engine, model), "fp32", golden_of(model), "", Silent())


def test_a_model_without_float_layers(tmp_path: Path) -> None:
    model = chain(tmp_path / "m.onnx", integers=True)

    def negate(negated: onnx.ModelProto) -> None:
        last = f"a[{LAYERS}]"
        negated.graph.node[0].output[0] = "before"
        negated.graph.node.append(helper.make_node("Neg", ["before"], [last]))

    with pytest.raises(ModelError, match=r"no layer on the way to output 'a\[9\]' computes in float"):
        bisect.find(Changed(negate), model, golden_of(model), LIMIT, Silent())


def test_without_polygraphy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = chain(tmp_path / "m.onnx")
    golden = golden_of(model)
    monkeypatch.setitem(__import__("sys").modules, "polygraphy", None)
    with pytest.raises(MissingRequirement, match=r"edgekit\[compress\]"):
        bisect.find(ort.Backend(CPU), model, golden, LIMIT, Silent())


def test_a_bundle(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    healthy = pipeline.verify(tiny_bundle, bisect=True)
    assert healthy.verdict == "pass"
    assert healthy.departure is None
    monkeypatch.setitem(LIMITS, "int8", -1.0)  # even no error at all is too much: the first layer departs
    strict = pipeline.verify(tiny_bundle, bisect=True)
    assert strict.outputs[0].verdict == "fail"
    assert strict.departure is not None
    assert strict.departure.op == "DequantizeLinear"  # of the input: the first float tensor
    assert strict.departure.before == 0
    assert strict.to_dict()["departure"]["node"] == strict.departure.node
