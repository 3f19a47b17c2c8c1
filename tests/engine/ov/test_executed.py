"""What really ran, against what a typed model asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.engine.ov.rounded import rounded
from tests.support.graphs import node, normal, relative_l2, write

from edgekit.core.errors import InputError
from edgekit.engine import ort, ov
from edgekit.engine.ov import executed
from edgekit.onnxfile.graph import read_graph


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> ov.OvEngine:
    folder = tmp_path_factory.mktemp("rounded")
    backend = ov.Backend(ov.Config(engine="ov"))
    backend.build(rounded(folder / "typed.onnx"), folder / "int8.ov")
    return backend.engine(folder / "int8.ov")


@pytest.fixture(scope="module")
def listed(engine: ov.OvEngine) -> str:
    with engine:
        found = engine.layer_list()
    assert found is not None
    return found


def source_of(engine: ov.OvEngine) -> Path:
    return engine.path.with_name("typed.onnx")


def test_rounded_convolutions_run_on_integers(engine: ov.OvEngine, listed: str) -> None:
    found = executed.achieved(listed, "int8", read_graph(source_of(engine)))
    computing = [layer for layer in found.layers if layer.wanted]
    assert [(layer.nodes[0], layer.achieved, layer.wanted) for layer in computing] == [
        ("Conv_c1", "int8", "int8"),
        ("Conv_c2", "int8", "int8"),
    ]
    assert (found.verdict, found.missed, found.unknown) == ("pass", (), 0)
    assert found.numbers["missed_layers"] == 0
    assert found.numbers["layers"] == len(found.layers)


def test_they_compute_what_the_typed_model_says(engine: ov.OvEngine) -> None:
    with engine, ort.reference(source_of(engine)) as reference:
        for seed in range(3):
            x = {"x": normal(seed, 1, 8, 16, 16)}
            assert relative_l2(engine.infer(x)["y"], reference.infer(x)["y"]) < 0.01


def test_what_ran_wider_is_named(engine: ov.OvEngine, listed: str) -> None:
    document = json.loads(listed)
    wide = next(layer for layer in document["layers"] if "Conv_c2" in str(layer["sources"]))
    wide["precision"] = "f32"
    found = executed.achieved(json.dumps(document), "int8", read_graph(source_of(engine)))
    assert (found.verdict, found.missed) == ("fail", (wide["name"],))
    assert found.numbers["missed_layers"] == 1
    wide["precision"] = "dynamic"
    found = executed.achieved(json.dumps(document), "int8", read_graph(source_of(engine)))
    assert (found.verdict, found.unknown) == ("undecided", 1)
    document["layers"].remove(wide)
    found = executed.achieved(json.dumps(document), "int8", read_graph(source_of(engine)))
    assert (found.verdict, found.unknown) == ("undecided", 1)


def test_rounding_of_its_own_is_counted(engine: ov.OvEngine, listed: str) -> None:
    found = executed.achieved(listed, "int8", read_graph(source_of(engine)))
    assert found.unfused == ("QuantizeLinear_xq",)
    reorders = [layer for layer in json.loads(listed)["layers"] if layer["op"] == "Reorder"]
    assert found.reformats == len(reorders)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null"])
def test_no_layer_list(text: str, tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", [node("Neg", "x", "y")], [("x", (1,), "float32")], [("y", (1,), "float32")])
    with pytest.raises(InputError, match="not a layer list of OpenVINO; build the engine again"):
        executed.achieved(text, "int8", read_graph(path))


def test_names_that_transformations_lengthen(engine: ov.OvEngine) -> None:
    graph = read_graph(source_of(engine))
    sources = executed.Sources(graph)
    told = ("rq", "Multiply_3", "Conv_c1/WithoutBiases", "r1_original", "QuantizeLinear_rq/a/b", "")
    assert [sources.name(at) for at in sources.of(told)] == ["Conv_c1", "Relu_r1"]
    assert [sources.name(at) for at in sources.of(("QuantizeLinear_rq",))] == ["QuantizeLinear_rq"]
    assert sources.of(("Multiply_3", "nobody/knows")) == ()


def test_layers_have_their_tensors(engine: ov.OvEngine) -> None:
    with engine:
        layers = executed.layers_of(engine.model)
    (first,) = [layer for layer in layers if "Conv_c1" in str(layer.sources)]
    assert first.inputs[0].shape == (1, 8, 16, 16)
    assert first.inputs[0].dtype in ("uint8", "int8")
    assert first.outputs[0].shape == (1, 16, 16, 16)
    assert np.all([layer.name for layer in layers])
    assert len({layer.name for layer in layers}) == len(layers)
